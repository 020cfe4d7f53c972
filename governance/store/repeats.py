"""The key scan: which keys repeat, which rows repeat whole, which keys a batch has. Only where a contract has rules about sets of rows.

One pass over the landed originals that projects the key columns. What it keeps are salted 128-bit hashes and positions: they may spill, values
never reach a blocking operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from governance.catalog.rules import ReferenceRule, UniqueRule
from governance.lake.stream import batches
from governance.store.parsers.relation import LINE, Relation, quoted
from governance.store.plan import Plan, full_text, halves, key_hash, unique_hash, with_fails
from governance.store.typed import typed_columns

Opened = Callable[[duckdb.DuckDBPyConnection], Iterator[AbstractContextManager[Relation]]]
"""Gives the landed files in name order, each opened for a connection."""

_ROWS = 122_880


@dataclass(frozen=True, slots=True)
class Repeats:
    """Hashes by reason bit, as (low, high) halves: keys that repeat, keys that the batch has; and rows that repeat whole with the
    position of the first."""

    repeated: Mapping[int, pa.Table]
    present: Mapping[int, pa.Table]
    firsts: pa.Table | None = None


def scan(plan: Plan, opened: Opened, parsing: duckdb.DuckDBPyConnection, hashing: duckdb.DuckDBPyConnection) -> Repeats:
    """Scan the keys of all files; no scan, and nothing repeated, when no rule asks for it.

    `parsing` sees values and never spills, `hashing` sees hashes and may.
    """
    unique = {bit: r for bit, r in enumerate(plan.reasons) if isinstance(r, UniqueRule) and r.id not in plan.errored}
    own = {
        bit: r
        for bit, r in enumerate(plan.reasons)
        if isinstance(r, ReferenceRule) and r.dataset == plan.dataset.name and r.id not in plan.errored
    }
    whole = plan.dataset.deduplicate == "identical"
    if not (unique or own or whole):
        return Repeats({}, {})
    columns = {f"u{bit}": unique_hash(plan, rule) for bit, rule in unique.items()}
    columns |= {f"o{bit}": key_hash([quoted(rule.field)], plan.salt) for bit, rule in own.items()}
    _collect(plan, opened, parsing, hashing, columns, whole)
    repeated = {bit: hashing.sql(_repeated(f"u{bit}", whole)).to_arrow_table() for bit in unique}
    present = {bit: hashing.sql(_present(f"o{bit}")).to_arrow_table() for bit in own}
    firsts = hashing.sql(_FIRSTS).to_arrow_table() if whole else None
    hashing.execute("DROP TABLE hashes")
    return Repeats(repeated, present, firsts)


def _collect(
    plan: Plan,
    opened: Opened,
    parsing: duckdb.DuckDBPyConnection,
    hashing: duckdb.DuckDBPyConnection,
    columns: Mapping[str, str],
    whole: bool,
) -> None:
    """Fill the table `hashes`: the halves of every hash, and the position of their record in the batch."""
    names = [*columns, *(["f"] if whole else [])]
    parts = [f"{name}_low UBIGINT, {name}_high UBIGINT" for name in names]
    hashing.execute(f"CREATE OR REPLACE TEMP TABLE hashes ({', '.join([*parts, 'position BIGINT'])})")
    position = 0
    for source in opened(parsing):
        with source as relation:
            reader = parsing.sql(_hashes(plan, relation, columns, whole)).to_arrow_reader(_ROWS)
            counted = Counted(reader, position)
            hashing.register("counted", counted.reader())
            hashing.execute("INSERT INTO hashes SELECT * FROM counted")
            hashing.unregister("counted")
            relation.rejected()
            position = counted.position


class Counted:
    """A stream with the ordinal of each row in a last column `position`; `position` is the last one given out."""

    def __init__(self, source: pa.RecordBatchReader, position: int) -> None:
        self._source = source
        self.position = position

    def reader(self) -> pa.RecordBatchReader:
        schema = self._source.schema.append(pa.field("position", pa.int64()))
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for batch in batches(self._source):
            yield pa.record_batch([*batch.columns, ordinals(self.position, batch.num_rows)], schema=schema)
            self.position += batch.num_rows


def ordinals(after: int, rows: int) -> pa.Array:
    """`rows` numbers that follow `after`."""
    return pa.array(np.arange(after + 1, after + 1 + rows, dtype=np.int64))


def _hashes(plan: Plan, relation: Relation, columns: Mapping[str, str], whole: bool) -> str:
    typed = typed_columns(plan.dataset.fields, relation.types)
    extra = [LINE] if relation.has_lines else []
    parts = [f"{expression} AS {name}" for name, expression in columns.items()]
    if whole:
        parts.append(f"md5_number({full_text(typed, plan.salt)}) AS f")
    where = f" WHERE {quoted(LINE)} IS NULL" if relation.has_lines else ""
    hashed = f"SELECT {', '.join(parts)} FROM ({with_fails(typed, relation.types, relation.sql, extra)}){where}"  # noqa: S608
    names = [*columns, *(["f"] if whole else [])]
    return f"SELECT {', '.join(halves(name, name) for name in names)} FROM ({hashed})"  # noqa: S608


def _repeated(name: str, whole: bool) -> str:
    """Keys that repeat; where identical rows are declared duplicates, keys of rows that differ."""
    more = "min((f_low, f_high)) <> max((f_low, f_high))" if whole else "count(*) > 1"
    return (
        f"SELECT {name}_low AS low, {name}_high AS high FROM hashes"  # noqa: S608
        f" WHERE {name}_low IS NOT NULL GROUP BY ALL HAVING {more}"
    )


def _present(name: str) -> str:
    return f"SELECT DISTINCT {name}_low AS low, {name}_high AS high FROM hashes WHERE {name}_low IS NOT NULL"  # noqa: S608


_FIRSTS = """
    SELECT f_low AS low, f_high AS high, min(position) AS first FROM hashes GROUP BY f_low, f_high HAVING count(*) > 1
"""
