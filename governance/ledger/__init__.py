"""The ledger: entries in, written in the transaction of the commit that each speaks of; reports and proofs out.

Start with `entry` (canonical bytes, leaf hash, per-writer counter), then `verify` and `merkle` (RFC 9162).
"""
