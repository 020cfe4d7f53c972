"""Use: Built -> Published. Releases, per-field access, the query service.

`release.propose`, `approve` and `publish` make curated tables a release; `query.query` answers one SELECT for a subject
and purpose; `who_sees.who_sees` and `explain` say why. Start reading at `query.py`.

Nothing is imported here: the locked worker lives in this package and must load nothing of the lake, the keys or the
state.
"""
