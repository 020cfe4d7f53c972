"""The ledger: entries in, written in the transaction of the commit that each speaks of; reports, checkpoints and proofs
out. docs/LEDGER.md says what is promised.

Start with `entry` (canonical bytes, leaf hash, per-writer counter), then `sequencer` (positions and signed checkpoints),
`tiles` and `merkle` (RFC 9162), `note` (a checkpoint as text), `verify` and `prove`; `publish` and `witness` are what
happens outside.
"""
