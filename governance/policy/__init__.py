"""What may be seen: access rules parsed, decided, met with one another and compiled to restrictions. Pure: no I/O, no
clock of its own.

In: the text of `access.yaml` and the catalogue. Out: `restrictions.Restrictions`, one canonical value per (subject,
purpose, table, snapshot), with the `decision_hash` that the ledger records. Start reading at `access.py` (the
format), then `decide.py`.
"""
