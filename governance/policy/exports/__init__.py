"""Exports: compiled restrictions in, the same policy in another system's words out, with a report of what is lost.

Pure. Start at `model.py` (the values), then `openings.py` (what a target can express at all); a module a target after
that, each with `export(scopes) -> Export`, and `targets.py` that lists them. What a target cannot express exactly is
closed there and named in the report; nothing is ever wider than the restrictions that came in.
"""
