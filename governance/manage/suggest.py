"""Expectations that the rows of a dataset suggest: profiled in a few aggregates, tried by the compiler's own rules, each with its support.

What is encrypted is described by its form alone (presence, length, character class, check digit); values are proposed only of columns that lie
in the clear. Nothing that the contract or the suite says already is proposed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from governance.catalog.rules import RowRule, UniqueRule
from governance.catalog.suites import parse_suite
from governance.catalog.types import CodeSet, Dataset, Field, Suite
from governance.manage.compile import compile_rules
from governance.manage.profile import CLASSES, Column, profile
from governance.manage.sql import quoted

MIN_ROWS = 50
"""Fewer rows of a column suggest nothing."""
MIN_SUPPORT = 0.995
HABIT = 0.0005
"""What a larger share of rows lacks, repeats or writes in another form, it does so by habit. Measured (`make bench NAME=suggest`): on
real tables rules with such exceptions made most of the false alarms of the months after, and found few of the faults.
"""
_HABITS = {"present": 1, "form": 1, "unique": 2}
"""Kinds, with how many rows are no habit however few there are: keys repeat in pairs."""
MOST_VALUES = 30
_ROWS_A_VALUE = 20
_SPREAD = 3
_CHECKS = ("resident_number", "credit_code", "bank_card", "phone")


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed expectation, or one line for the contract. `support` is the share of the rows spoken of that meet it, `rows` their number;
    `examples` are positions (batch, row) that do not.
    """

    kind: str
    column: str
    says: str
    expectation: Mapping[str, Any] | None
    """In GX's form; None: it belongs into the contract, as `says` tells."""
    rows: int
    support: float
    examples: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> str:
        """By which a refusal is remembered."""
        return f"{self.kind}:{self.column}"


@dataclass(frozen=True, slots=True)
class _Candidate:
    kind: str
    column: str
    says: str
    expectation: Mapping[str, Any]


def suggest(
    con: duckdb.DuckDBPyConnection, dataset: Dataset, suite: Suite | None, code_sets: Mapping[str, CodeSet]
) -> tuple[Proposal, ...]:
    """Proposals from the relation `rows` of `con` (the dataset's typed columns, `_batch`, `_row`), best supported first."""
    columns = [profile(con, field) for field in dataset.fields]
    said = _said(suite)
    candidates = [
        c for column in columns for c in _candidates(con, column) if (c.expectation["type"], c.column) not in said
    ]
    candidates += [c for c in _orders(columns) if (c.expectation["type"], c.column) not in said]
    tried = _tried(con, dataset, candidates, code_sets)
    stronger = [*_checks(con, dataset, columns, code_sets), *_code_sets(con, columns, code_sets)]
    described = {proposal.column for proposal in stronger}
    tried = [p for p in tried if p.kind not in ("form", "length", "values") or p.column not in described]
    kept = [p for p in (*tried, *stronger, *_determined(con, columns)) if _holds(p)]
    return tuple(sorted(kept, key=lambda p: (-p.support, p.column, p.kind)))


def _holds(proposal: Proposal) -> bool:
    """Whether the rows support it well enough to be proposed."""
    broken = round((1 - proposal.support) * proposal.rows)
    if broken > max(_HABITS.get(proposal.kind, proposal.rows), HABIT * proposal.rows):
        return False
    return proposal.support >= MIN_SUPPORT


def _candidates(con: duckdb.DuckDBPyConnection, column: Column) -> Iterator[_Candidate]:
    field, name = column.field, column.field.name
    if column.present < MIN_ROWS:
        return
    if not field.required and column.present >= MIN_SUPPORT * column.rows:
        yield _of("present", name, "is always there", "expect_column_values_to_not_be_null")
    is_key = field.type.kind in ("string", "integer") and column.distinct >= MIN_SUPPORT * column.present
    if is_key and not field.unique and field.primary_key_position is None:
        yield _of("unique", name, "never repeats", "expect_column_values_to_be_unique")
    if field.type.kind == "string":
        yield from _text(con, column)
    elif column.low is not None and not field.encrypted and field.minimum is field.maximum is None and not is_key:
        yield from _range(column)


def _text(con: duckdb.DuckDBPyConnection, column: Column) -> Iterator[_Candidate]:
    field, name = column.field, column.field.name
    if field.code_set or field.check:
        return  # a stronger rule speaks already
    if field.min_length is None and field.max_length is None and column.longest:
        if column.shortest == column.longest:
            says = f"has {column.longest} characters"
            yield _of("length", name, says, "expect_column_value_lengths_to_equal", value=column.longest)
        elif column.longest <= 64:
            says = f"has {column.shortest} to {column.longest} characters"
            bounds = {"min_value": column.shortest, "max_value": column.longest}
            yield _of("length", name, says, "expect_column_value_lengths_to_be_between", **bounds)
    if field.pattern is None and column.classes:
        fitting = (p for p in CLASSES if column.classes[p] >= MIN_SUPPORT * column.present)
        if pattern := next(fitting, None):
            says = f"is {CLASSES[pattern]}"
            yield _of("form", name, says, "expect_column_values_to_match_regex", regex=pattern)
    # One value alone tells of this delivery (its month, its kind), not of the column.
    few = 2 <= column.distinct <= MOST_VALUES and column.present >= _ROWS_A_VALUE * column.distinct
    if few and not field.encrypted and field.code_set is None:
        query = f"SELECT DISTINCT {quoted(name)} FROM rows WHERE {quoted(name)} IS NOT NULL ORDER BY ALL"  # noqa: S608
        values = [value for (value,) in con.execute(query).fetchall()]
        yield _of(
            "values", name, f"is one of {len(values)} values", "expect_column_values_to_be_in_set", value_set=values
        )


def _range(column: Column) -> Iterator[_Candidate]:
    """Three quartile distances beyond the first and last hundredth; not below zero where nothing is."""
    assert column.low is not None
    assert column.high is not None
    wide = _SPREAD * ((column.third or 0) - (column.first or 0))
    if wide <= 0:
        return
    low, high = column.low - wide, column.high + wide
    if column.least is not None and column.least >= 0:
        low = max(low, 0.0)
    bounds = {"min_value": _rounded(low), "max_value": _rounded(high)}
    says = f"lies between {bounds['min_value']} and {bounds['max_value']}"
    yield _of("range", column.field.name, says, "expect_column_values_to_be_between", **bounds)


def _orders(columns: Sequence[Column]) -> Iterator[_Candidate]:
    """Pairs of dates or instants of which one may never come before the other."""
    for kind in ("date", "timestamp"):
        named = [c.field.name for c in columns if c.field.type.kind == kind and c.present >= MIN_ROWS]
        for later in named:
            for earlier in named:
                if later != earlier:
                    kwargs = {"column_A": later, "column_B": earlier, "or_equal": True}
                    config = {"type": "expect_column_pair_values_a_to_be_greater_than_b", "kwargs": kwargs}
                    yield _Candidate("order", f"{later},{earlier}", f"is not before {earlier}", config)


def _tried(
    con: duckdb.DuckDBPyConnection, dataset: Dataset, candidates: Sequence[_Candidate], code_sets: Mapping[str, CodeSet]
) -> list[Proposal]:
    """Each candidate counted by the rule that it compiles to."""
    bare = replace(dataset, fields=tuple(map(_bare, dataset.fields)))
    made = []
    for candidate in candidates:
        text = json.dumps({"name": dataset.name, "expectations": [candidate.expectation]}, ensure_ascii=False)
        suite, _ = parse_suite(text, file="suggested", dataset=dataset.name)
        assert suite is not None
        rules = [r for r in compile_rules(bare, suite, code_sets).rules if r.id.startswith("suite:")]
        for rule in rules[:1]:
            counted = _counted(con, rule)
            if counted is not None:
                made.append(Proposal(candidate.kind, candidate.column, candidate.says, candidate.expectation, *counted))
    return made


def _counted(con: duckdb.DuckDBPyConnection, rule: Any) -> tuple[int, float, tuple[tuple[str, int], ...]] | None:
    """(rows that the rule speaks of, share that meets it, positions that do not)."""
    match rule:
        case RowRule():
            speaks = rule.applies or " AND ".join(f"{quoted(c)} IS NOT NULL" for c in rule.columns)
            if rule.unexpected.upper().endswith("IS NULL"):
                speaks = "TRUE"
            broken = f"coalesce(({rule.unexpected}), FALSE)"
        case UniqueRule():
            keys = ", ".join(map(quoted, rule.columns))
            speaks = " AND ".join(f"{quoted(c)} IS NOT NULL" for c in rule.columns)
            broken = f"count(*) OVER (PARTITION BY {keys}) > 1"
        case _:
            return None
    source = f"(SELECT _batch, _row, {broken} AS broken FROM rows WHERE {speaks})"  # noqa: S608
    row = con.execute(f"SELECT count(*), count_if(broken) FROM {source}").fetchone()  # noqa: S608
    assert row is not None
    rows, bad = row
    if rows < MIN_ROWS:
        return None
    failing = f"SELECT _batch, _row FROM {source} WHERE broken ORDER BY ALL LIMIT 3"  # noqa: S608
    return rows, 1 - bad / rows, tuple(con.execute(failing).fetchall()) if bad else ()


def _checks(
    con: duckdb.DuckDBPyConnection, dataset: Dataset, columns: Sequence[Column], code_sets: Mapping[str, CodeSet]
) -> list[Proposal]:
    """Check digits: a random number of that length passes once in ten to thirty times, so support says it all."""
    found = []
    for column in columns:
        field = column.field
        if field.type.kind != "string" or field.check or column.present < MIN_ROWS:
            continue
        for check in _CHECKS:
            trial = replace(_bare(field), check=check)
            others = [f for f in map(_bare, dataset.fields) if f.name != field.name]
            rules = compile_rules(replace(dataset, fields=(trial, *others)), None, code_sets).rules
            rule = next((r for r in rules if isinstance(r, RowRule) and r.id.startswith(f"check:{field.name}:")), None)
            counted = _counted(con, rule) if rule else None
            if counted and counted[1] >= MIN_SUPPORT:
                says = f"gov.check: {check}"
                found.append(Proposal("check", field.name, says, None, *counted))
                break
    return found


def _code_sets(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], code_sets: Mapping[str, CodeSet]
) -> list[Proposal]:
    """The smallest code set of the catalogue that has every code of the column."""
    found = []
    for column in columns:
        field = column.field
        if field.type.kind != "string" or field.code_set or column.distinct < 2 or column.present < MIN_ROWS:
            continue
        for name in sorted(code_sets, key=lambda each: (len(code_sets[each].codes), each)):
            query = f"SELECT count_if(list_contains($codes, {quoted(field.name)})) FROM rows"  # noqa: S608
            row = con.execute(query, {"codes": list(code_sets[name].codes)}).fetchone()
            assert row is not None
            if row[0] >= MIN_SUPPORT * column.present:
                support = row[0] / column.present
                found.append(Proposal("code_set", field.name, f"gov.codeSet: {name}", None, column.present, support))
                break
    return found


def _determined(con: duckdb.DuckDBPyConnection, columns: Sequence[Column]) -> list[Proposal]:
    """Functional dependencies A -> B between columns that both repeat, for a check beside a model: GX has no expectation of it."""
    repeating = [c for c in columns if c.present >= MIN_ROWS and 2 <= c.distinct <= c.present // 2][:12]
    found = []
    for a in repeating:
        for b in repeating:
            if a is b or b.distinct > a.distinct:
                continue
            left, right = quoted(a.field.name), quoted(b.field.name)
            both = f"{left} IS NOT NULL AND {right} IS NOT NULL"
            most = f"SELECT max(n) AS most, sum(n) AS n FROM (SELECT {left}, {right}, count(*) AS n FROM rows WHERE {both} GROUP BY ALL) GROUP BY {left}"  # noqa: S608
            row = con.execute(f"SELECT sum(n), sum(most), count(*) FROM ({most})").fetchone()  # noqa: S608
            assert row is not None
            if row[0] and row[0] >= _ROWS_A_VALUE * row[2]:
                says = f"decides {b.field.name}"
                found.append(
                    Proposal(
                        "decides", f"{a.field.name},{b.field.name}", says, None, int(row[0]), float(row[1] / row[0])
                    )
                )
    return found


def _said(suite: Suite | None) -> set[tuple[str, str]]:
    """(type, column) of what the suite says already."""
    if suite is None:
        return set()
    entries = json.loads(suite.text)["expectations"]
    return {(e["type"], _column_of(e.get("kwargs") or {})) for e in entries}


def _column_of(kwargs: Mapping[str, Any]) -> str:
    pair = [str(kwargs[name]) for name in ("column_A", "column_B") if name in kwargs]
    return ",".join(pair) if pair else str(kwargs.get("column", ""))


def _of(kind: str, column: str, says: str, expectation: str, **kwargs: Any) -> _Candidate:
    return _Candidate(kind, column, says, {"type": expectation, "kwargs": {"column": column, **kwargs}})


def _bare(field: Field) -> Field:
    """The field without rules of its own, so that only what is tried speaks."""
    return replace(
        field, required=False, unique=False, code_set=None, check=None, pattern=None, references=None,
        minimum=None, maximum=None, min_length=None, max_length=None, primary_key_position=None,
    )  # fmt: skip


def _rounded(value: float) -> float | int:
    """Two significant digits, and a whole number where it is one.

    >>> _rounded(12345.6), _rounded(0.0), _rounded(-0.0123)
    (12000, 0, -0.012)
    """
    return int(made) if (made := float(f"{value:.2g}")).is_integer() else made
