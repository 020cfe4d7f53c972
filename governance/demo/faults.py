"""Faults put into known rows of a department's table, and the answer key of where they are.

A row gets at most one fault. Rows that others refer to get none, so that a fault is found where it was put and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from governance.demo.kinds import INJECTIONS, OUTSIDE_VALUES, RANGE_VALUES, UNREADABLE_VALUES, Injection, Kind
from governance.demo.population import stream

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HANDFUL = 5
ANSWERS = pa.schema(
    [
        ("month", pa.string()),
        ("dataset", pa.string()),
        ("row", pa.int64()),
        ("ordinal", pa.int64()),
        ("kind", pa.string()),
        ("role", pa.string()),
    ]
)
"""`row` counts records from 1 as the source holds them, unparsable lines included; databases by primary key. `ordinal` counts parsable
records only, as `_row` of the lake does, and is NULL for a line that no parser accepts. `role` tells the copy of a duplicate from its
original and is empty otherwise."""


@dataclass(frozen=True, slots=True)
class Pools:
    """Which rows of a table may get a fault: `free` in general, `special` narrows one kind further."""

    free: Bools
    special: Mapping[Kind, Bools] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Faulty:
    """A table with its faults. `broken` are rows (from 0) whose line must be written so that no parser accepts it."""

    table: pa.Table
    broken: Ints
    answers: pa.Table


def inject(
    table: pa.Table,
    dataset: str,
    pools: Pools,
    replacements: Mapping[Kind, pa.Array],
    *,
    seed: int,
    month: str,
    rate: float,
    copy_ids: int | None = None,
) -> Faulty:
    """`table` with the faults that INJECTIONS lists for `dataset`.

    A share `rate` of the rows for each kind, at least a handful, fewer where the pool is small. `replacements` has, for kinds whose
    new value depends on the row, the value for every row. Copies of duplicates stand somewhere after their original, the same in all
    columns; with `copy_ids` (databases, whose records are read by id) at the end, under ids from there on.
    """
    rng = stream(seed, "faults", dataset, month)
    planned = [i for i in INJECTIONS if i.dataset == dataset]
    chosen = _choose(rng, table.num_rows, planned, pools, rate)
    state = Faulty(table, np.zeros(0, np.int64), ANSWERS.empty_table())
    marks: list[tuple[Kind, Ints]] = []
    copied = np.zeros(0, np.int64)
    for injection, rows in chosen.items():
        if injection.kind is Kind.DUPLICATE_RECORD:
            copied = np.sort(rows)
        elif injection.kind is Kind.UNPARSABLE_LINE:
            state = replace(state, broken=np.sort(rows))
        else:
            column = _spoilt(state.table, injection, rows, replacements)
            state = replace(state, table=_with(state.table, injection.column, rows, column))
        marks.append((injection.kind, rows))
    return _ordered(state, marks, copied, rng, dataset, month, copy_ids)


def wrong_check(numbers: pa.Array, rows: Ints) -> list[str]:
    """The numbers of `rows` with another last character.

    >>> wrong_check(pa.array(["11010519491231002X", "110105194912310038"]), np.array([0, 1]))
    ['110105194912310021', '110105194912310039']
    """
    found = numbers.take(pa.array(rows)).to_pylist()
    return [text[:-1] + ("1" if not text[-1].isdigit() else str((int(text[-1]) + 1) % 10)) for text in found]


def _choose(
    rng: np.random.Generator, rows: int, planned: Sequence[Injection], pools: Pools, rate: float
) -> dict[Injection, Ints]:
    """Different rows for each injection; those with a pool of their own choose first."""
    wanted = max(HANDFUL, round(rate * rows))
    taken = np.zeros(rows, np.bool_)
    chosen: dict[Injection, Ints] = {}
    for injection in sorted(planned, key=lambda i: (i.kind not in pools.special, planned.index(i))):
        pool = np.flatnonzero(pools.special.get(injection.kind, pools.free) & ~taken)
        count = min(wanted, len(pool) // (2 * len(planned)) + len(pool) // 20)
        rows_of = np.sort(rng.choice(pool, min(count, len(pool)), replace=False)) if len(pool) else pool
        taken[rows_of] = True
        chosen[injection] = rows_of
    return {injection: chosen[injection] for injection in planned}


def _spoilt(table: pa.Table, injection: Injection, rows: Ints, replacements: Mapping[Kind, pa.Array]) -> pa.Array:
    """The new values of the column in `rows`."""
    match injection.kind:
        case Kind.WRONG_CHECK_DIGIT:
            return pa.array(wrong_check(table[injection.column], rows), pa.string())
        case Kind.MISSING_REQUIRED:
            return pa.nulls(len(rows), pa.string())
        case Kind.OUTSIDE_CODE_SET:
            return pa.repeat(OUTSIDE_VALUES[injection.column], len(rows))
        case Kind.OUT_OF_RANGE:
            return pa.repeat(RANGE_VALUES[injection.column], len(rows))
        case Kind.NOT_CONVERTIBLE:
            return pa.repeat(UNREADABLE_VALUES[injection.column], len(rows))
        case Kind.BIRTH_DATE_MISMATCH | Kind.DIVISION_NOT_VALID | Kind.REFERENCE_TO_NOBODY | Kind.CONTRADICTION:
            return replacements[injection.kind].take(pa.array(rows))
        case Kind.DUPLICATE_RECORD | Kind.UNPARSABLE_LINE:
            raise AssertionError("whole records are handled apart")
        case unknown:
            assert_never(unknown)


def _with(table: pa.Table, column: str, rows: Ints, values: pa.Array) -> pa.Table:
    old = table[column].combine_chunks()
    position = np.arange(len(old))
    position[rows] = len(old) + np.arange(len(rows))
    new = pa.concat_arrays([old, values.cast(old.type)]).take(pa.array(position))
    return table.set_column(table.column_names.index(column), column, new)


def _ordered(
    state: Faulty,
    marks: Sequence[tuple[Kind, Ints]],
    copied: Ints,
    rng: np.random.Generator,
    dataset: str,
    month: str,
    copy_ids: int | None,
) -> Faulty:
    """The records in the order of the source, copies among them, and the answer key by that order."""
    rows = state.table.num_rows
    after = rng.integers(copied, rows) if copy_ids is None else np.full(len(copied), rows)
    source = np.concatenate([np.arange(rows), copied])
    order = np.argsort(np.concatenate([np.arange(rows, dtype=np.float64), after + 0.5]), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    table = state.table.take(pa.array(source[order])) if len(copied) else state.table
    if copy_ids is not None and len(copied):
        table = _with(table, table.column_names[0], place[rows:], pa.array(copy_ids + np.arange(len(copied))))
    broken = np.sort(place[state.broken])
    parts = [
        _key(month, dataset, place[found], broken, kind, "original" if kind is Kind.DUPLICATE_RECORD else "")
        for kind, found in marks
    ]
    parts.append(_key(month, dataset, place[rows:], broken, Kind.DUPLICATE_RECORD, "copy"))
    answers = pa.concat_tables(parts).sort_by("row")
    return replace(state, table=table, broken=broken, answers=answers)


def _key(month: str, dataset: str, at: Ints, broken: Ints, kind: Kind, role: str) -> pa.Table:
    """Lines of the answer key for the records at these places, from 0."""
    count = len(at)
    ordinal = pa.array(at + 1 - np.searchsorted(broken, at), mask=np.isin(at, broken))
    columns = [pa.repeat(month, count), pa.repeat(dataset, count), pa.array(at + 1), ordinal]
    return pa.table([*columns, pa.repeat(str(kind), count), pa.repeat(role, count)], schema=ANSWERS)
