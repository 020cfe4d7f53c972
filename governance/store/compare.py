"""Two sides that should hold the same rows, compared in one connection without order and in bounded memory.

    summary   one streaming pass a side: rows, checksums by column and row, exact sums, each by bucket        (a table of 1,024 rows)
    differing buckets whose checksums are not equal
    rows      another pass over those buckets alone: position, key and digest of each row                     (at most `MOST_ROWS`)

A side is a SELECT of the fields at the contract's types and `ROW`, its position. Checksums are sums of salted 64-bit hashes, digests 128-bit
MD5: both are of this comparison alone, and no value is in what comes out, but for the sums that the caller asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from governance.catalog.types import Dataset, Field
from governance.errors import GovernanceError
from governance.store.judge_pass import Parser
from governance.store.landed import Originals
from governance.store.parsers.relation import literal, quoted
from governance.store.plan import ROW, Plan, key_hash

BUCKETS = 1024
MOST_ROWS = 500_000
"""Rows of differing buckets that are looked at one by one, both sides together; of more, only the first buckets."""
LISTED = 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What is compared: the fields, and what binds a row of one side to one of the other: its position, its key, or (no key) all of it."""

    fields: tuple[Field, ...]
    by: str
    """`position`, `key` or `row`."""
    salt: str

    @property
    def bound(self) -> str:
        """An expression of what binds."""
        if self.by == "position":
            return quoted(ROW)
        keys = [f for f in self.fields if f.primary_key_position] if self.by == "key" else list(self.fields)
        return key_hash([quoted(f.name) for f in keys], self.salt, nulls=True)

    @property
    def digest(self) -> str:
        return key_hash([quoted(f.name) for f in self.fields], self.salt, nulls=True)

    @property
    def bucket(self) -> str:
        return f"CAST(({self.bound}) % {BUCKETS} AS INTEGER)"


@dataclass(frozen=True, slots=True)
class Summary:
    """What differs between two sides, by bucket. `columns` are fields whose checksums are not equal, `sums` by side and numeric field."""

    rows: tuple[int, int]
    buckets: tuple[int, ...]
    columns: tuple[str, ...]
    sums: Mapping[str, tuple[str, str]]
    rows_inside: int
    """Rows of both sides in `buckets`."""


def original_rows(originals: Originals, dataset: Dataset, con: duckdb.DuckDBPyConnection) -> Rows:
    """The parsed records of originals, typed as the store pass types them. `con` keeps order and is not the comparing one."""
    fields = tuple(replace(f, domain=None) for f in dataset.fields)
    bare = replace(dataset, fields=fields)
    plan = Plan(bare, (), (), "", "", {})
    return Rows(Parser(plan, originals, con, originals.keystore, originals.grant_id))


@dataclass(slots=True)
class Rows:
    """A stream that can be read once."""

    parser: Parser

    def reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self.parser.schema(), self.parser.stream())

    def raise_own(self) -> None:
        """Raises what the source itself raised while an engine read it, if anything."""
        error = self.parser.error
        if error is not None and isinstance(error, GovernanceError):
            raise error from None


def summarise(con: duckdb.DuckDBPyConnection, name: str, side: str, terms: Terms) -> None:
    """Make the table `name`: a row a bucket of the SELECT `side`."""
    parts = [f"{terms.bucket} AS bucket", "count(*) AS rows", f"sum({_checked(terms, None)}) AS whole"]
    parts += [f"sum({_checked(terms, f)}) AS c{n}" for n, f in enumerate(terms.fields)]
    parts += [f"{_summed(f)} AS s{n}" for n, f in enumerate(terms.fields) if adds_up(f)]
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {', '.join(parts)} FROM ({side}) GROUP BY 1")  # noqa: S608


def compare(con: duckdb.DuckDBPyConnection, left: str, right: str, terms: Terms) -> Summary:
    """What differs between two summaries."""
    equal = "l.rows IS NOT DISTINCT FROM r.rows AND l.whole IS NOT DISTINCT FROM r.whole"
    joined = f"{left} l FULL JOIN {right} r USING (bucket)"
    found = con.execute(
        f"SELECT bucket, coalesce(l.rows, 0) + coalesce(r.rows, 0) FROM {joined} WHERE NOT ({equal}) ORDER BY 1"  # noqa: S608
    ).fetchall()
    unequal = [
        f"bool_or(l.c{n} IS DISTINCT FROM r.c{n} AND l.rows IS NOT DISTINCT FROM r.rows)"
        for n in range(len(terms.fields))
    ]
    flags = con.execute(f"SELECT {', '.join(unequal)} FROM {joined}").fetchall()[0]  # noqa: S608
    return Summary(
        rows=(_total(con, left), _total(con, right)),
        buckets=tuple(int(bucket) for bucket, _ in found),
        columns=tuple(f.name for f, flag in zip(terms.fields, flags, strict=True) if flag),
        sums=_sums(con, left, right, terms),
        rows_inside=sum(int(rows) for _, rows in found),
    )


def looked_into(con: duckdb.DuckDBPyConnection, left: str, right: str, buckets: Sequence[int]) -> tuple[int, ...]:
    """As many of the buckets, in order, as hold `MOST_ROWS` together; at least one."""
    query = f"""
        SELECT bucket, sum(rows) FROM (SELECT bucket, rows FROM {left} UNION ALL SELECT bucket, rows FROM {right}) GROUP BY 1"""  # noqa: S608
    rows = {int(bucket): int(n) for bucket, n in con.execute(query).fetchall()}
    taken: list[int] = []
    total = 0
    for bucket in buckets:
        total += rows.get(bucket, 0)
        if taken and total > MOST_ROWS:
            break
        taken.append(bucket)
    return tuple(taken)


def open_rows(con: duckdb.DuckDBPyConnection, name: str, side: str, terms: Terms, buckets: Sequence[int]) -> None:
    """Make the table `name` (position, key, digest, n) of the side's rows in the buckets; equal rows are numbered, so that each has its pair."""
    listed = ", ".join(str(bucket) for bucket in buckets)
    con.execute(f"""
        CREATE OR REPLACE TEMP TABLE {name} AS
        SELECT *, row_number() OVER (PARTITION BY key, digest ORDER BY position) AS n FROM (
            SELECT {quoted(ROW)} AS position, CAST({terms.bound} AS UHUGEINT) AS key, {terms.digest} AS digest
            FROM ({side}) WHERE {terms.bucket} IN ({listed}))""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of the opened buckets that have no pair: of the left side alone, of the right side alone, and pairs by what binds them whose
    content differs; with at most `LISTED` positions of each (of the left side for pairs)."""

    left: int
    right: int
    altered: int
    left_at: tuple[int, ...]
    right_at: tuple[int, ...]
    altered_at: tuple[int, ...]


def find(con: duckdb.DuckDBPyConnection, left: str, right: str) -> Found:
    """Pair the opened rows; what has no equal stays, and of that what shares key and place in its key's order is one altered row."""
    for name, own, other in (("left_only", left, right), ("right_only", right, left)):
        con.execute(f"""
            CREATE OR REPLACE TEMP TABLE {name} AS
            SELECT o.position, o.key, o.digest, row_number() OVER (PARTITION BY o.key ORDER BY o.position) AS n
            FROM {own} o ANTI JOIN {other} t ON t.key = o.key AND t.digest = o.digest AND t.n = o.n""")  # noqa: S608
    pairs = "left_only l {} JOIN right_only r ON r.key = l.key AND r.n = l.n"
    alone = "right_only r ANTI JOIN left_only l ON r.key = l.key AND r.n = l.n"
    kinds = (
        f"l.position FROM {pairs.format('ANTI')}",
        f"r.position FROM {alone}",
        f"l.position FROM {pairs.format('SEMI')}",
    )
    counts, places = [], []
    for kind in kinds:
        counts.append(int(con.execute(f"SELECT count(*) FROM (SELECT {kind})").fetchall()[0][0]))  # noqa: S608
        rows = con.execute(f"SELECT {kind} ORDER BY 1 LIMIT {LISTED}").fetchall()
        places.append(tuple(int(position) for (position,) in rows))
    return Found(counts[0], counts[1], counts[2], *places)


def pushed_sql(fields: Sequence[Field], salt: str, side: str) -> str:
    """A SELECT of what `collect.pushdown` asks of a database, over a side: rows, checksum, then values present and sums by field."""
    parts = ["count(*)"]
    sized = []
    for f in fields:
        text = _printed(f)
        sized.append(f"coalesce(CAST(strlen({text}) AS VARCHAR) || ':' || {text}, '~')")
    row = " || ".join([literal(salt), *sized])
    parts.append(f"coalesce(sum(CAST(CAST('0x' || substr(md5({row}), 1, 15) AS BIGINT) AS HUGEINT)), 0)")
    parts += [f"count({quoted(f.name)})" for f in fields]
    parts += [f"CAST({_summed(f)} AS VARCHAR)" if adds_up(f) else "NULL" for f in fields]
    return f"SELECT {', '.join(parts)} FROM ({side})"  # noqa: S608


def adds_up(field: Field) -> bool:
    """Whether sums of the field are exact."""
    return field.type.kind == "integer" or (field.type.kind == "decimal" and (field.type.precision or 38) <= 28)


def typed(columns: Mapping[str, str], fields: Sequence[Field], position: str, relation: str, where: str) -> str:
    """A side over a table of the lake: `columns` gives the table's column by field, fields without one are NULL."""
    parts = [
        f"CAST({quoted(columns[f.name]) if f.name in columns else 'NULL'} AS {f.type.duckdb()}) AS {quoted(f.name)}"
        for f in fields
    ]
    return f"SELECT {', '.join(parts)}, {position} AS {quoted(ROW)} FROM {relation} WHERE {where}"  # noqa: S608


def _checked(terms: Terms, field: Field | None) -> str:
    """A salted hash that binds a value (without a field: the whole row) to its key or position."""
    names = [quoted(f.name) for f in (terms.fields if field is None else (field,))]
    bound = [] if terms.by == "row" and field is not None else [terms.bound]
    return f"hash({', '.join([literal(terms.salt), *bound, *names])})"


def _summed(field: Field) -> str:
    name = quoted(field.name)
    return f"sum(CAST({name} AS HUGEINT))" if field.type.kind == "integer" else f"sum({name})"


def _printed(field: Field) -> str:
    name = quoted(field.name)
    return f"strftime({name}, '%Y-%m-%d %H:%M:%S.%f')" if field.type.kind == "timestamp" else f"CAST({name} AS VARCHAR)"


def _total(con: duckdb.DuckDBPyConnection, name: str) -> int:
    return int(con.execute(f"SELECT coalesce(sum(rows), 0) FROM {name}").fetchall()[0][0])  # noqa: S608


def _sums(con: duckdb.DuckDBPyConnection, left: str, right: str, terms: Terms) -> dict[str, tuple[str, str]]:
    numbered = [(n, f) for n, f in enumerate(terms.fields) if adds_up(f)]
    if not numbered:
        return {}
    asked = ", ".join(f"CAST(coalesce(sum(s{n}), 0) AS VARCHAR)" for n, _ in numbered)
    sides = [con.execute(f"SELECT {asked} FROM {name}").fetchall()[0] for name in (left, right)]  # noqa: S608
    return {f.name: (str(a), str(b)) for (_, f), a, b in zip(numbered, *sides, strict=True)}


@contextmanager
def streamed(con: duckdb.DuckDBPyConnection, rows: Rows) -> Iterator[str]:
    """A SELECT of the rows, good for one statement of `con`. Raises the source's own error rather than the engine's."""
    con.register("originals_now", rows.reader())
    try:
        yield "SELECT * FROM originals_now"
    except duckdb.Error:
        rows.raise_own()
        raise
    finally:
        con.unregister("originals_now")
