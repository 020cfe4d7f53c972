"""One past batch judged by other rules: how many of its passed rows they would have held, how many of its held rows let in. Writes nothing.

One statement over the typed rows as the lake has them, with the row rules of the store pass and its look-ups; only counts leave it. A value that
did not convert, and a line that was not parsed, would have stayed out under any suite: the contract says so, not the suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules
from governance.catalog.types import Dataset
from governance.store.parsers.relation import quoted, raw_name
from governance.store.plan import BITS, Plan, error_word, judge_sql, reasons_of, word
from governance.store.replay import CARRIED, Replay

ROWS = "past_rows"
"""View of the batch's rows: columns of `read_by`, `__held` (whether it was set aside) and `_reasons` (NULL for passed rows)."""

_STAYS = "len(list_filter(_reasons, lambda r: starts_with(r, 'type:') OR r = 'unparsed')) > 0"


@dataclass(frozen=True, slots=True)
class Found:
    """Counts of one batch. `hold_by` is by rule, of rows that had passed; `let_in_by` by the reasons that had held the row."""

    rows: int
    held: int
    would_hold: int
    would_let_in: int
    hold_by: Mapping[str, int] = field(default_factory=dict)
    let_in_by: Mapping[str, int] = field(default_factory=dict)
    errored: tuple[str, ...] = ()
    """Rules that failed on some row: such a batch would have been stopped."""


def read_by(dataset: Dataset, rules: RowRules) -> tuple[str, ...]:
    """Columns of the dataset's table that the rules about rows read: exactly those are opened."""
    names: set[str] = set()
    for rule in reasons_of(dataset, rules):
        if rule.id.startswith("type:"):
            continue
        names |= set(rule.columns)
        texts = [rule.applies]
        match rule:
            case RowRule():
                texts.append(rule.unexpected)
            case CodeSetRule():
                texts.append(rule.key)
                names |= {rule.valid_at} if rule.valid_at else set()
            case ReferenceRule():
                own = dataset.field(rule.columns[0])
                names |= {own.token_name} if own.token_name else set()
        names |= {column for text in texts if text for column in _columns(text)}
    known = [f.name for f in dataset.fields] + [f.token_name for f in dataset.fields if f.token_name]
    return tuple(name for name in known if name in names)


def backtest(replay: Replay, columns: tuple[str, ...], *, careful: bool = False) -> Found:
    """Judge the view `ROWS`. Raises duckdb.Error when a rule failed on a row; `careful` evaluates each alone and names it instead."""
    plan = replay.plan(careful=careful)
    dataset = replay.dataset
    replay.con.execute(f"CREATE OR REPLACE TEMP VIEW past_typed AS {_typed(dataset, columns)}")
    sql = judge_sql(plan, _types(dataset), _raw(dataset, columns), has_lines=True)
    judged = f"({_unpacked(dataset, columns, sql)})"
    lookups = replay.lookups(plan, "past_typed")
    rows = replay.con.sql(_counted(plan, lookups.select(plan, judged))).fetchall()
    return _found(plan, [dict(zip(_names(plan), row, strict=True)) for row in rows])


def _types(dataset: Dataset) -> dict[str, str]:
    return {f.name: f.type.duckdb() for f in dataset.fields}


def _typed(dataset: Dataset, columns: tuple[str, ...]) -> str:
    """The batch's rows with every field; those that no rule reads are NULL."""
    parts = [
        quoted(f.name) if f.name in columns else f"CAST(NULL AS {f.type.duckdb()}) AS {quoted(f.name)}"
        for f in dataset.fields
    ]
    parts += [quoted(name) for name in _tokens(dataset, columns)]
    return f"SELECT {', '.join(parts)}, __held, _reasons FROM {ROWS}"  # noqa: S608


def _raw(dataset: Dataset, columns: tuple[str, ...]) -> str:
    parts = [f"{quoted(f.name)} AS {quoted(raw_name(position))}" for position, f in enumerate(dataset.fields)]
    carried = ["held := __held", "reasons := _reasons", f"stays := coalesce({_STAYS}, FALSE)"]
    carried += [f"t{n} := {quoted(name)}" for n, name in enumerate(_tokens(dataset, columns))]
    return f"SELECT {', '.join(parts)}, struct_pack({', '.join(carried)}) AS {CARRIED} FROM past_typed"  # noqa: S608


def _unpacked(dataset: Dataset, columns: tuple[str, ...], judged: str) -> str:
    parts = [f"{CARRIED}.held AS __held", f"{CARRIED}.reasons AS __reasons", f"{CARRIED}.stays AS __stays"]
    parts += [f"{CARRIED}.t{n} AS {quoted(name)}" for n, name in enumerate(_tokens(dataset, columns))]
    return f"SELECT * EXCLUDE ({CARRIED}), {', '.join(parts)} FROM ({judged})"  # noqa: S608


def _tokens(dataset: Dataset, columns: tuple[str, ...]) -> list[str]:
    return [f.token_name for f in dataset.fields if f.token_name and f.token_name in columns]


def _counted(plan: Plan, judged: str) -> str:
    """Counts by whether the row was held and, of those that would be let in, by their reasons."""
    masks = plan.quarantine_masks()
    bad = " OR ".join(f"({word(n)} & {mask}::BIGINT) <> 0" for n, mask in enumerate(masks))
    let_in = f"__held AND NOT __stays AND NOT ({bad})"
    counts = [f"count_if(({word(bit // BITS)} & {1 << bit % BITS}::BIGINT) <> 0)" for bit in range(len(plan.reasons))]
    if plan.careful:
        counts += [
            f"count_if(({error_word(bit // BITS)} & {1 << bit % BITS}::BIGINT) <> 0)"
            for bit in range(len(plan.reasons))
        ]
    parts = ["__held", f"CASE WHEN {let_in} THEN __reasons END", "count(*)", f"count_if({bad})", f"count_if({let_in})"]
    return f"SELECT {', '.join([*parts, *counts])} FROM ({judged}) GROUP BY 1, 2"  # noqa: S608


def _names(plan: Plan) -> list[str]:
    names = ["held", "reasons", "rows", "bad", "let_in", *(f"u{bit}" for bit in range(len(plan.reasons)))]
    return [*names, *(f"e{bit}" for bit in range(len(plan.reasons)))] if plan.careful else names


def _found(plan: Plan, groups: list[dict[str, object]]) -> Found:
    total: dict[str, int] = {"rows": 0, "held": 0, "hold": 0, "let_in": 0}
    hold_by: dict[str, int] = {}
    let_in_by: dict[str, int] = {}
    errored: set[str] = set()
    for group in groups:
        number = {name: int(str(value)) for name, value in group.items() if name not in ("held", "reasons")}
        total["rows"] += number["rows"]
        total["let_in"] += number["let_in"]
        total["held" if group["held"] else "hold"] += number["rows" if group["held"] else "bad"]
        for bit, reason in enumerate(plan.reasons):
            if number[f"u{bit}"] and not group["held"] and reason.severity != "warn":
                hold_by[reason.id] = hold_by.get(reason.id, 0) + number[f"u{bit}"]
            if number.get(f"e{bit}"):
                errored.add(reason.id)
        if isinstance(group["reasons"], list):
            for old in group["reasons"]:
                let_in_by[str(old)] = let_in_by.get(str(old), 0) + number["rows"]
    counts = (total["rows"], total["held"], total["hold"], total["let_in"])
    return Found(*counts, hold_by, let_in_by, tuple(sorted(errored)))


def _columns(text: str) -> set[str]:
    """Columns of an expression; `<field>__bad`, which says that a value did not convert, is of its field."""
    names = {column.name for column in sqlglot.parse_one(text, dialect="duckdb").find_all(exp.Column)}
    return {name.removesuffix("__bad") for name in names}
