"""Aggregates over aggregate-only columns, as one query of the trusted scanner: groups, their size in persons, and what
of them is released.

One pass makes, with GROUPING SETS, a row for each group and one for each group and person (each identifier's token); a
table without identifiers counts rows. A group is released when, for every identifier,

- at least `min_group` persons are in it, and at least `min_group` of them have a value in each aggregate-only column,
- no part of WHERE dropped fewer than `min_group` of its persons, unless it dropped none: with any of the conditions left
  out, the group would be the same or have that many more (no "all but one"),
- of what is added up, nobody has more than half, and not all is zero.

Sums and averages of aggregate-only columns are rounded to a step (1, 2 or 5 times a power of ten) not below what the
average person adds, counts
of them cut to a multiple of `min_group`: what two answers differ by does not tell one person's value. Nothing here can fail
on a value, and no group changes what is said of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlglot
from sqlglot import exp

from governance.catalog.types import ColumnType

_NUMBERS = frozenset({"integer", "decimal", "double"})


def released_groups(
    seen: exp.Select, request: Mapping[str, Any], types: Mapping[str, ColumnType], closed: Sequence[str]
) -> exp.Select:
    """The released rows, as columns r0, r1, … in the order of `terms`, ordered by the groups.

    `seen` selects the rows under the row filter, with every used column and every identifier's token by its own name.
    Request: `groups`, `terms` ([function, column]), `where`, `min_group`, `identifiers` (token columns). `closed` are the
    aggregate-only columns.
    """
    groups, identifiers, least = request["groups"], request["identifiers"], int(request["min_group"])
    terms = [(str(function), str(column)) for function, column in request["terms"]]
    measures = list(dict.fromkeys(column for function, column in terms if function in ("count", "sum", "avg")))
    numbers = [types[column].kind in _NUMBERS for column in measures]
    keys, persons = [f"g{at}" for at in range(len(groups))], range(len(identifiers))

    items = []
    for at, (function, column) in enumerate(terms):
        measure = measures.index(column) if column in measures and function != "group" else 0
        made = _exact(function, measure) if column not in closed else _rounded(function, measure, persons, least)
        items.append(f"{f'g{groups.index(column)}' if function == 'group' else made} AS r{at}")
    query = exp.select(*items, dialect="duckdb").from_("totals")
    for test in _tests(terms, measures, closed, len(request["where"]), persons, least):
        query = query.where(test, dialect="duckdb")
    query = query.order_by(*(f"{key} NULLS LAST" for key in keys), dialect="duckdb") if keys else query
    drops = (1 << len(request["where"])) - 1
    steps = {
        "seen": seen,
        "marked": _marked(groups, measures, numbers, identifiers, request["where"]),
        "parts": _parts(keys, numbers, drops, len(identifiers)),
        "totals": _totals(keys, numbers, drops, len(identifiers)),
    }
    for name, step in steps.items():
        query = query.with_(name, as_=step)
    return query


def _tests(
    terms: Sequence[tuple[str, str]],
    measures: Sequence[str],
    closed: Sequence[str],
    conditions: int,
    persons: range,
    least: int,
) -> list[str]:
    """When a group of `totals` is released: all of them hold."""
    added = {column for function, column in terms if function in ("sum", "avg")}
    tests = [f"p{k} >= {least}" for k in persons] or [f"n >= {least}"]
    for part in range(1, 1 << conditions):
        dropped = " AND ".join(f"q{k}_{part} >= {least}" for k in persons) or f"d{part} >= {least}"
        tests.append(f"(d{part} = 0 OR ({dropped}))")
    for at, column in enumerate(measures):
        if column in closed:
            tests += [f"p{k}_{at} >= {least}" for k in persons] or [f"n_{at} >= {least}"]
            tests += [f"a_{at} > 0", f"2 * x_{at} <= a_{at}"] if column in added else []
    return tests


def _exact(function: str, at: int) -> str:
    match function:
        case "sum":
            return f"s_{at}"
        case "avg":
            return f"s_{at} / nullif(n_{at}, 0)"
        case "count":
            return f"CAST(n_{at} AS BIGINT)"
        case _:
            return "CAST(n AS BIGINT)"


def _rounded(function: str, at: int, persons: range, least: int) -> str:
    """A released number of an aggregate-only column; NULL where it is not finite."""
    if function == "count":
        return f"CAST(floor(n_{at} / {least}) * {least} AS BIGINT)"
    number = f"least({', '.join(f'p{k}_{at}' for k in persons)})" if persons else f"n_{at}"
    each = f"a_{at} / nullif({number}, 0)" + (f" / nullif(n_{at}, 0)" if function == "avg" else "")
    power = f"pow(10.0, floor(log10(nullif({each}, 0))))"
    step = f"{power} * CASE WHEN {each} <= {power} THEN 1 WHEN {each} <= 2 * {power} THEN 2 WHEN {each} <= 5 * {power} THEN 5 ELSE 10 END"
    places = f"TRY_CAST(-floor(log10(nullif({each}, 0))) AS INTEGER)"
    exact = _exact(function, at)
    return f"CASE WHEN isfinite(s_{at}) THEN round(round(({exact}) / ({step})) * ({step}), {places}) END"


def _marked(
    groups: Sequence[str],
    measures: Sequence[str],
    numbers: Sequence[bool],
    identifiers: Sequence[str],
    where: Sequence[str],
) -> exp.Select:
    """Each row with its groups g, measures m (as numbers), whether it has them (v), its identifiers t, and the bits of
    the conditions that it fails.
    """
    items = [exp.alias_(_column(name), f"g{at}") for at, name in enumerate(groups)]
    items += [exp.alias_(_column(name), f"t{at}") for at, name in enumerate(identifiers)]
    for at, name in enumerate(measures):
        items.append(exp.alias_(exp.not_(exp.Is(this=_column(name), expression=exp.null())), f"v_{at}"))
        if numbers[at]:
            items.append(exp.alias_(exp.cast(_column(name), "DOUBLE", dialect="duckdb"), f"m_{at}"))
    failed: exp.Expr = exp.Literal.number(0)
    for at, text in enumerate(where):
        held = sqlglot.parse_one(text, dialect="duckdb")
        bit = exp.Case().when(held, exp.Literal.number(0)).else_(exp.Literal.number(1 << at))
        failed = exp.Add(this=failed, expression=bit)
    items.append(exp.alias_(failed, "failed"))
    return exp.select(*items).from_("seen")


def _parts(keys: Sequence[str], numbers: Sequence[bool], drops: int, identifiers: int) -> exp.Select:
    """A row for each group, and for each group and value of each identifier: `level` tells which.

    n: rows kept; dP: rows dropped by the conditions of P (a set of bits) alone; n_j: kept rows with measure j; s_j, a_j,
    x_j: its sum, and sum and maximum without sign.
    """
    tokens = [f"t{k}" for k in range(identifiers)]
    items = [*keys, *tokens, f"grouping({', '.join(tokens)}) AS level" if tokens else "0 AS level"]
    items.append("count(*) FILTER (WHERE failed = 0) AS n")
    items += [
        f"count(*) FILTER (WHERE failed <> 0 AND (failed & {drops & ~part}) = 0) AS d{part}"
        for part in range(1, drops + 1)
    ]
    for at, number in enumerate(numbers):
        items.append(f"count(*) FILTER (WHERE failed = 0 AND v_{at}) AS n_{at}")
        if number:
            items.append(f"fsum(m_{at}) FILTER (WHERE failed = 0) AS s_{at}")
            items.append(f"fsum(abs(m_{at})) FILTER (WHERE failed = 0) AS a_{at}")
            items.append(f"max(abs(m_{at})) FILTER (WHERE failed = 0) AS x_{at}")
    sets = [exp.Tuple(expressions=[exp.column(name) for name in each]) for each in ([], *([token] for token in tokens))]
    for each in sets:
        each.set("expressions", [*map(exp.column, keys), *each.expressions])
    group = exp.Group(grouping_sets=[exp.GroupingSets(expressions=sets)])
    made = exp.select(*items, dialect="duckdb").from_("marked")
    made.set("group", group)
    return made


def _totals(keys: Sequence[str], numbers: Sequence[bool], drops: int, identifiers: int) -> exp.Select:
    """A row for each group: what `_parts` says of it, persons by identifier k (pk kept, qk_P dropped by P alone, pk_j with
    measure j), and in x_j the most that one person adds.
    """
    every = (1 << identifiers) - 1
    whole = f"FILTER (WHERE level = {every})"
    own = [f"level = {every & ~(1 << (identifiers - 1 - k))}" for k in range(identifiers)]
    items = [*keys, f"max(n) {whole} AS n"]
    items += [f"max(d{part}) {whole} AS d{part}" for part in range(1, drops + 1)]
    for k, level in enumerate(own):
        items.append(f"count(*) FILTER (WHERE {level} AND NOT t{k} IS NULL AND n > 0) AS p{k}")
        for part in range(1, drops + 1):
            items.append(f"count(*) FILTER (WHERE {level} AND NOT t{k} IS NULL AND d{part} > 0) AS q{k}_{part}")
    for at, number in enumerate(numbers):
        items.append(f"max(n_{at}) {whole} AS n_{at}")
        for k, level in enumerate(own):
            items.append(f"count(*) FILTER (WHERE {level} AND NOT t{k} IS NULL AND n_{at} > 0) AS p{k}_{at}")
        if number:
            items += [f"max(s_{at}) {whole} AS s_{at}", f"max(a_{at}) {whole} AS a_{at}"]
            most = f"max(a_{at}) FILTER (WHERE level <> {every})" if identifiers else f"max(x_{at})"
            items.append(f"{most} AS x_{at}")
    made = exp.select(*items, dialect="duckdb").from_("parts")
    return made.group_by(*keys) if keys else made


def _column(name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True))
