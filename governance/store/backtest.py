"""One past batch judged by other rules: how many of its passed rows they would have held, how many of its held rows let in. Writes nothing.

One statement over the typed rows as the lake has them, with the row rules of the store pass and its look-ups; only counts and positions leave it. A value that
did not convert, and a line that was not parsed, would have stayed out under any suite: the contract says so, not the suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules
from governance.catalog.types import Dataset
from governance.state.values import RuleMetric
from governance.store.parsers.relation import quoted, raw_name
from governance.store.plan import BITS, Plan, Reason, error_word, flag, judge_sql, reasons_of, word
from governance.store.replay import CARRIED, Replay

ROWS = "past_rows"
"""View of the batch's rows: columns of `read_by`, `__row` (their `_row`), `__held` (whether it was set aside) and `_reasons` (NULL for passed
rows)."""

_STAYS = "len(list_filter(_reasons, lambda r: starts_with(r, 'type:') OR r = 'unparsed')) > 0"


@dataclass(frozen=True, slots=True)
class Place:
    """Rows (their `_row`) that the rules would hold for the same reasons, by whether they had been set aside."""

    reasons: tuple[str, ...]
    held: bool
    rows: pa.Int64Array


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
    metrics: Mapping[str, RuleMetric] = field(default_factory=dict, repr=False, compare=False)
    """Of the rules about rows, as the store pass would have counted them: what a verdict is made of."""
    places: tuple[Place, ...] = field(default=(), repr=False, compare=False)


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
    """Judge the view `ROWS`: counts, metrics and the positions of bad rows in one statement. Raises duckdb.Error when a rule failed on a row;
    `careful` evaluates each alone and names it instead.
    """
    plan = replay.plan(careful=careful)
    dataset = replay.dataset
    replay.con.execute(f"CREATE OR REPLACE TEMP VIEW past_typed AS {_typed(dataset, columns)}")
    sql = judge_sql(plan, _types(dataset), _raw(dataset, columns), has_lines=True)
    judged = f"({_unpacked(dataset, columns, sql)})"
    lookups = replay.lookups(plan, "past_typed")
    table = replay.con.sql(_grouped(plan, lookups.select(plan, judged))).to_arrow_table().combine_chunks()
    return _found(plan, table)


def _types(dataset: Dataset) -> dict[str, str]:
    return {f.name: f.type.duckdb() for f in dataset.fields}


def _typed(dataset: Dataset, columns: tuple[str, ...]) -> str:
    """The batch's rows with every field; those that no rule reads are NULL."""
    parts = [
        quoted(f.name) if f.name in columns else f"CAST(NULL AS {f.type.duckdb()}) AS {quoted(f.name)}"
        for f in dataset.fields
    ]
    parts += [quoted(name) for name in _tokens(dataset, columns)]
    return f"SELECT {', '.join(parts)}, __row, __held, _reasons FROM {ROWS}"  # noqa: S608


def _raw(dataset: Dataset, columns: tuple[str, ...]) -> str:
    parts = [f"{quoted(f.name)} AS {quoted(raw_name(position))}" for position, f in enumerate(dataset.fields)]
    carried = ["row := __row", "held := __held", "reasons := _reasons", f"stays := coalesce({_STAYS}, FALSE)"]
    carried += [f"t{n} := {quoted(name)}" for n, name in enumerate(_tokens(dataset, columns))]
    return f"SELECT {', '.join(parts)}, struct_pack({', '.join(carried)}) AS {CARRIED} FROM past_typed"  # noqa: S608


def _unpacked(dataset: Dataset, columns: tuple[str, ...], judged: str) -> str:
    parts = [
        f"{CARRIED}.row AS __row",
        f"{CARRIED}.held AS __held",
        f"{CARRIED}.reasons AS __reasons",
        f"{CARRIED}.stays AS __stays",
    ]
    parts += [f"{CARRIED}.t{n} AS {quoted(name)}" for n, name in enumerate(_tokens(dataset, columns))]
    return f"SELECT * EXCLUDE ({CARRIED}), {', '.join(parts)} FROM ({judged})"  # noqa: S608


def _tokens(dataset: Dataset, columns: tuple[str, ...]) -> list[str]:
    return [f.token_name for f in dataset.fields if f.token_name and f.token_name in columns]


def _grouped(plan: Plan, judged: str) -> str:
    """One group for all rows with the same words: how many, those of which each rule does not speak, and where the bad ones are."""
    words = [word(n) for n in range(plan.words)]
    words += [error_word(n) for n in range(plan.words)] if plan.careful else []
    bad = _bad(plan)
    let_in = f"CASE WHEN __held AND NOT __stays AND NOT ({bad}) THEN __reasons END AS let_in"
    parts = ["__held", *words, let_in, "count(*) AS rows", f"list(__row) FILTER (WHERE {bad}) AS bad"]
    parts += [f"{_speaks(plan, reason)} AS s{bit}" for bit, reason in enumerate(plan.reasons)]
    return f"SELECT {', '.join(parts)} FROM ({judged}) GROUP BY __held, {', '.join(words)}, let_in"  # noqa: S608


def _bad(plan: Plan) -> str:
    return " OR ".join(f"({word(n)} & {mask}::BIGINT) <> 0" for n, mask in enumerate(plan.quarantine_masks()))


def _speaks(plan: Plan, reason: Reason) -> str:
    """An aggregate: rows of which the rule speaks. Every value of a past batch is typed: none failed to convert."""
    skip = plan.skip(reason)
    match skip.kind:
        case "none" | "bad":
            return "count(*)"
        case "nulls" | "type":
            return f"count({quoted(skip.name)})"
        case "flag":
            return f"count_if({flag(plan.flags().index(skip.name))})"


def _found(plan: Plan, table: pa.Table) -> Found:
    """Groups are few: as many as there are combinations of reasons."""
    groups = table.drop_columns(["bad"]).to_pylist()
    totals = {"rows": 0, "held": 0, "hold": 0, "let_in": 0}
    hold_by: dict[str, int] = {}
    let_in_by: dict[str, int] = {}
    unexpected, spoken = [0] * len(plan.reasons), [0] * len(plan.reasons)
    errored: set[str] = set()
    places = []
    for number, group in enumerate(groups):
        rows, held = group["rows"], group["__held"]
        broken = _bits(plan, group, word)
        reasons = tuple(plan.reasons[bit].id for bit in broken if plan.reasons[bit].severity != "warn")
        totals["rows"] += rows
        totals["held"] += rows if held else 0
        totals["hold"] += rows if reasons and not held else 0
        if group["let_in"] is not None:
            totals["let_in"] += rows
            _add(let_in_by, map(str, group["let_in"]), rows)
        if not held:
            _add(hold_by, reasons, rows)
        if reasons:
            places.append(Place(reasons, held, table["bad"][number].values))
        for bit in broken:
            unexpected[bit] += rows
        for bit in range(len(plan.reasons)):
            spoken[bit] += group[f"s{bit}"]
        errored |= {plan.reasons[bit].id for bit in _bits(plan, group, error_word)} if plan.careful else set()
    metrics = {
        reason.id: RuleMetric(reason.id, totals["rows"], totals["rows"] - spoken[bit], unexpected[bit],
                              error="duckdb.Error" if reason.id in errored else "")
        for bit, reason in enumerate(plan.reasons)
    }  # fmt: skip
    counts = totals["rows"], totals["held"], totals["hold"], totals["let_in"]
    return Found(*counts, hold_by, let_in_by, tuple(sorted(errored)), metrics, tuple(places))


def _bits(plan: Plan, group: Mapping[str, Any], name: Callable[[int], str]) -> list[int]:
    return [bit for bit in range(len(plan.reasons)) if group[name(bit // BITS)] >> bit % BITS & 1]


def _add(counted: dict[str, int], names: Iterable[str], rows: int) -> None:
    for name in names:
        counted[name] = counted.get(name, 0) + rows


def _columns(text: str) -> set[str]:
    """Columns of an expression; `<field>__bad`, which says that a value did not convert, is of its field."""
    names = {column.name for column in sqlglot.parse_one(text, dialect="duckdb").find_all(exp.Column)}
    return {name.removesuffix("__bad") for name in names}
