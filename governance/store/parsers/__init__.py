"""Parsers: one landed original becomes a relation of raw values that DuckDB can stream, and the lines that no parser accepts.

Every adapter is a function `open_<format>(original, fields, ...)` that gives a `governance.store.parsers.relation.Relation`; `choose` picks
it by the format that was landed. Start reading in `relation.py`.
"""
