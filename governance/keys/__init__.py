"""Custody of keys: master keys never leave; data keys, tokens and row digests are made and opened under grants.

In: key names and a grant id. Out: wrapped and unwrapped data keys, tokens, encrypted originals. Start reading in
`names.py` (the seam), then `keyring.py` (the embedded custody) and `grants.py` (who may use what, until when).
"""
