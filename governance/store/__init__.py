"""store: Landed -> Stored. Parsed, typed to the contract and split by the row rules in one pass.

In: a landed batch, its contract, the compiled `RowRules` and the code sets. Out: files of passed and of quarantined rows, and what every rule
counted; nothing is visible to readers before `manage` lets the batch in. Start reading in `stage.py` (the order of things), then `work.py` (one
run), `plan.py` (how rules become bits), `judge_pass.py` (the stream), `versions.py` (datasets that keep versions).
"""

from governance.store.stage import store

__all__ = ["store"]
