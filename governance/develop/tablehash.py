"""`order_free_hash`: equal exactly when two relations hold the same multiset of rows at the contract's types,
whatever their order.

Each row is written as text, every value with its length so that no two rows read alike, NULL apart from the empty
text; the 128-bit hashes of the rows are summed modulo 2^128, in two halves. A sum, not XOR: a row that comes twice
does not vanish.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
from sqlglot import exp


def order_free_hash(con: duckdb.DuckDBPyConnection, relation: str, types: Mapping[str, str]) -> str:
    """Number of rows and 128-bit sum of `relation` (a table or view name of `con`), columns cast to these DuckDB
    types, in order of name.

    >>> con = duckdb.connect()
    >>> _ = con.execute("CREATE TABLE a AS FROM (VALUES (1, 'x'), (2, NULL)) t(n, s)")
    >>> _ = con.execute("CREATE TABLE b AS FROM (VALUES (2, NULL), (1, 'x')) t(n, s)")
    >>> types = {"n": "BIGINT", "s": "VARCHAR"}
    >>> order_free_hash(con, "a", types) == order_free_hash(con, "b", types)
    True
    """
    parts = [_text(name, kind) for name, kind in sorted(types.items())]
    row = " || ".join(parts) if parts else "''"
    name = ".".join(exp.to_identifier(part, quoted=True).sql("duckdb") for part in relation.split("."))
    halves = (f"coalesce(sum(md5_number_{h}(r)::HUGEINT) % 18446744073709551616, 0)" for h in ("lower", "upper"))
    query = f"SELECT count(*), {', '.join(halves)} FROM (SELECT {row} AS r FROM {name})"  # noqa: S608 - quoted names
    rows, low, high = con.execute(query).fetchall()[0]
    return f"{rows}:{int(high):016x}{int(low):016x}"


def _text(name: str, kind: str) -> str:
    """A value as length-prefixed text. Numbers of one value read alike (`20` and `20.0` as integers), as do zeros of
    either sign."""
    column = exp.to_identifier(name, quoted=True).sql("duckdb")
    value = f"CAST({column} AS {kind})"
    if kind in ("DOUBLE", "FLOAT"):
        value = f"({value} + 0.0)"
    text = f"hex({value})" if kind == "BLOB" else f"CAST({value} AS VARCHAR)"
    return f"CASE WHEN {column} IS NULL THEN '-' ELSE length({text}) || ':' || {text} END"
