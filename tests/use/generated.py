"""Random schemas, policies and pairs of worlds that differ only in what the subject may not see, with a reference of their own.

Nothing here asks the policy package what a rule means: outcomes are made before the rules that say them, filters and masks
are evaluated row by row in Python.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from governance.catalog.types import Catalogue, ColumnType, Dataset, Field, Level, Model
from governance.policy import masks
from governance.policy.masks import Mask
from tests.use.conftest import PUBLIC_KEY, text_hash
from tests.use.reference import REFERENCED, Condition, holds, masked, written

WHO = ("user:asker", "statistics")
LEVELS = tuple(Level)
STRINGS = ("name", "phone", "number", "address", "text", "code")
OTHERS = {
    "date": ColumnType("date"),
    "timestamp": ColumnType("timestamp"),
    "integer": ColumnType("integer"),
    "decimal": ColumnType("decimal", 12, 2),
    "double": ColumnType("double"),
    "boolean": ColumnType("boolean"),
}
_CJK = "王李张刘陈杨赵黄周吴明小大无忌伟芳娜敏静"
_CLASHES = (("phone", "chinese-name"), ("resident-number", "phone"), ("show-first-4", "show-last-4"))
_CHAINS = (
    (Mask("date-decade"), Mask("truncate-to-year")),
    (Mask("number-bucket", 10_000), Mask("number-bucket", 1000)),
    (Mask("mask-alphanum"), Mask("show-first-4")),
)
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Column:
    """`shape` says which values it has; `outcome` is raw, none, or a mask: what the subject gets of it."""

    field: Field
    shape: str
    outcome: str | Mask
    rules: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def visible(self) -> bool:
        return self.outcome != "none"


@dataclass(frozen=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    condition: Condition | None

    def at(self, name: str) -> int:
        return [column.name for column in self.columns].index(name)

    def passes(self, row: Row) -> bool:
        return self.condition is None or holds(
            self.condition, dict(zip((c.name for c in self.columns), row, strict=True))
        )

    def expected(self, rows: Sequence[Row], salt: str) -> list[dict[str, Any]]:
        """What the subject may see of `rows`, in order; of a token only whether it is there."""
        return [
            {
                column.name: value if column.outcome == "raw" else masked(column.outcome, value, salt)
                for column, value in zip(self.columns, row, strict=True)
                if column.visible
            }
            for row in rows
            if self.passes(row)
        ]


@dataclass(frozen=True)
class World:
    """A schema with its rules, and the rows of two worlds by table."""

    tables: tuple[Table, ...]
    access: str
    first: Mapping[str, list[Row]]
    second: Mapping[str, list[Row]]

    @property
    def catalogue(self) -> Catalogue:
        models, texts = {}, {text_hash(self.access): self.access}
        for table in self.tables:
            short = table.name.partition(".")[2]
            facts = (table.name, "curated", "curated", "1.0.0", tuple(c.field for c in table.columns), None)
            contract = Dataset(*facts, f"catalog/curated/{short}.odcs.yaml", text_hash(table.name))
            sql = text_hash(f"SELECT {short}")
            models[table.name] = Model(table.name, "SELECT 1", f"catalog/curated/{short}.sql", sql, contract)
            texts |= {text_hash(table.name): table.name, sql: f"SELECT {short}"}
        return Catalogue({}, models, {}, {}, "catalog/access.yaml", self.access, texts)


def world(seed: int, *, rows: int = 24) -> World:
    """The pair of worlds of a seed."""
    rng = random.Random(seed)
    clearance = rng.choice((Level.L2, Level.L3, Level.L4, Level.L4))
    tables = tuple(_table(rng, number, clearance) for number in range(rng.randint(1, 3)))
    first, second = {}, {}
    for table in tables:
        made = [_row(rng, table) for _ in range(rng.randint(rows // 2, rows))]
        first[table.name] = made
        second[table.name] = _other(rng, table, made)
    return World(tables, _access(tables, clearance), first, second)


def _table(rng: random.Random, number: int, clearance: Level) -> Table:
    name = f"curated.t{number}"
    condition, shapes = None, {}
    columns = []
    for at in range(rng.randint(3, 7)):
        shape = rng.choice((*STRINGS, *STRINGS, *OTHERS))
        shapes[f"c{at}"] = shape
        columns.append(_column(rng, f"t{number}", f"c{at}", shape, clearance))
    if not any(column.visible for column in columns):
        columns[0] = _column(rng, f"t{number}", "c0", shapes["c0"], clearance, "raw")
    if rng.random() < 0.7:
        condition = _condition(rng, shapes, rng.randint(1, 3))
    return Table(name, tuple(columns), condition)


def _column(rng: random.Random, table: str, name: str, shape: str, clearance: Level, case: str = "") -> Column:
    identifies = shape == "number" and rng.random() < 0.6
    field = Field(
        name,
        OTHERS.get(shape, ColumnType("string")),
        name,
        classification=rng.choice(LEVELS[: LEVELS.index(clearance) + 1] if case == "raw" else LEVELS),
        tags=(f"{table}_{name}",),
        domain="person" if identifies else None,
        min_length=15 if shape == "number" else None,
    )
    case = case or rng.choice(
        (
            "raw",
            "raw",
            "mask",
            "mask",
            "mask",
            "mask_and_raw",
            "chain",
            "clash",
            "none",
            "forbidden",
            "expired",
            "elsewhere",
        )
    )
    actions, outcome = _case(rng, case, field, clearance)
    where = f"where: {{tags: [{table}_{name}], tables: [curated.{table}]}}"
    rules = tuple(
        f"  - {{id: {table}-{name}-{at}, roles: [{role}], purposes: [{purpose}], {where}, action: '{action}'{validity}%s}}"
        for at, (action, role, purpose, validity) in enumerate(actions)
    )
    return Column(field, shape, outcome, rules)


def _case(
    rng: random.Random, case: str, field: Field, clearance: Level
) -> tuple[list[tuple[str, str, str, str]], str | Mask]:
    """The rules of a column as (action, role, purpose, validity), and what they give the subject."""
    own = ("asker", "statistics", "")
    raw = "raw" if LEVELS.index(field.classification) <= LEVELS.index(clearance) else "none"
    fitting = [mask for mask in _all_masks(rng) if not masks.fault(mask, field)]
    mask = rng.choice(fitting)
    if case == "clash":
        clashes = [pair for pair in _CLASHES if all(not masks.fault(Mask(kind), field) for kind in pair)]
        if clashes:
            return [(f"mask:{kind}", *own) for kind in rng.choice(clashes)], "none"
    for coarse, fine in _CHAINS:
        if case == "chain" and not any(masks.fault(each, field) for each in (coarse, fine)):
            return [(f"mask:{coarse}", *own), (f"mask:{fine}", *own)], coarse
    match case:
        case "raw":
            return [("raw", *own)], raw
        case "mask_and_raw":
            return [(f"mask:{mask}", *own), ("raw", *own)], mask
        case "forbidden":
            return [("raw", *own), (f"mask:{mask}", *own), ("none", *own)], "none"
        case "expired":
            return [
                ("raw", "asker", "statistics", ", valid_to: 2020-01-01"),
                ("raw", "asker", "statistics", ", valid_from: 2999-01-01"),
            ], "none"
        case "elsewhere":
            return [("raw", "other", "statistics", ""), ("raw", "asker", "benefits", "")], "none"
        case "none":
            return [], "none"
        case _:
            return [(f"mask:{mask}", *own)], mask


def _all_masks(rng: random.Random) -> list[Mask]:
    return [Mask(kind, rng.choice((5, 10, 1000)) if kind == "number-bucket" else 0) for kind in REFERENCED]


def _access(tables: Sequence[Table], clearance: Level) -> str:
    """access.yaml. A table's row filter stands at every rule that opens one of its visible columns to the subject."""
    lines = [
        "roles: [{id: asker}, {id: other}]",
        "purposes: [{id: statistics}, {id: benefits}]",
        "subjects:",
        f'  - {{name: "user:asker", roles: [asker], clearance: {clearance.value}}}',
        '  - {name: "user:wang", roles: [other], clearance: L4}',
        f'approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]',
        "rules:",
    ]
    for table in tables:
        text = "" if table.condition is None else f", row_filter: {written(table.condition)}"
        for column in table.columns:
            for rule in column.rules:
                opens = column.visible and "action: 'none'" not in rule
                lines.append(rule % (text if opens else ""))
    if lines[-1] == "rules:":
        lines[-1] = "rules: []"
    return "\n".join(lines) + "\n"


def _condition(rng: random.Random, shapes: Mapping[str, str], depth: int) -> Condition:
    if depth > 1 and rng.random() < 0.7:
        kind = rng.choice(("and", "or", "not"))
        if kind == "not":
            return ("not", _condition(rng, shapes, depth - 1))
        return (kind, _condition(rng, shapes, depth - 1), _condition(rng, shapes, depth - 1))
    name = rng.choice(list(shapes))
    shape = shapes[name]
    if rng.random() < 0.15:
        return (rng.choice(("is_null", "not_null")), name)
    value = _operand(rng, shape)
    if shape == "boolean":
        return (rng.choice(("=", "!=")), name, value)
    if rng.random() < 0.25:
        return (rng.choice(("in", "not_in")), name, *(_operand(rng, shape) for _ in range(3)))
    return (rng.choice(("=", "!=", "<", "<=", ">", ">=")), name, value)


def _operand(rng: random.Random, shape: str) -> Any:
    """A value that access.yaml may compare with: text has no white space around it."""
    value = _value(rng, shape)
    return value.strip() if isinstance(value, str) else value


def _row(rng: random.Random, table: Table) -> Row:
    return tuple(None if rng.random() < 0.12 else _value(rng, column.shape) for column in table.columns)


def _value(rng: random.Random, shape: str) -> Any:
    match shape:
        case "name":
            return "".join(rng.choices(_CJK, k=rng.randint(1, 4)))
        case "phone":
            return "1" + "".join(rng.choices("0123456789", k=rng.choice((10, 10, 7))))
        case "number":
            return (
                rng.choice(("110101", "110102")) + "".join(rng.choices("0123456789", k=11)) + rng.choice("0123456789X")
            )
        case "address":
            return (
                rng.choice(("北京市东城区", "河北省石家庄市长安区", "上海市"))
                + rng.choice(("人民路", "解放街"))
                + str(rng.randint(1, 99))
                + "号"
            )
        case "text":
            return "".join(rng.choices("abHIDEN xX12.(😀é", k=rng.randint(0, 9)))
        case "code":
            return rng.choice(("A", "B", "C"))
        case "date":
            return date(rng.randint(1950, 2020), rng.randint(1, 12), rng.randint(1, 28))
        case "timestamp":
            return datetime(
                rng.randint(1990, 2026), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), rng.randint(0, 59)
            )
        case "integer":
            return rng.choice((rng.randint(-20, 60), rng.randint(-(10**6), 10**9)))
        case "decimal":
            return Decimal(rng.randint(-5000, 500_000)) / 100
        case "double":
            return rng.choice((rng.randint(-400, 4000) / 8, 0.0))
        case _:
            return rng.random() < 0.5


def _other(rng: random.Random, table: Table, rows: Sequence[Row]) -> list[Row]:
    """The other world: visible rows in their order with everything hidden in them changed, among other hidden rows."""
    made: list[Row] = []
    for row in rows:
        if table.condition is not None:
            made += _hidden_rows(rng, table)
        if table.passes(row):
            made.append(_disguised(rng, table, row))
    return made


def _hidden_rows(rng: random.Random, table: Table) -> list[Row]:
    found = (_row(rng, table) for _ in range(rng.randint(0, 4)))
    return [row for row in found if not table.passes(row)]


def _disguised(rng: random.Random, table: Table, row: Row) -> Row:
    """A row that looks like `row` and passes the filter as it does; the row itself when none is found."""
    for _ in range(12):
        made = tuple(_alike(rng, column, value) for column, value in zip(table.columns, row, strict=True))
        if table.passes(made):
            return made
    return row


def _alike(rng: random.Random, column: Column, value: Any) -> Any:
    """Another value that the subject cannot tell from `value`."""
    if column.outcome == "raw":
        return value
    if isinstance(column.outcome, str):
        return None if rng.random() < 0.2 else _value(rng, column.shape)
    salt = "00" * 32
    for _ in range(12):
        candidate = _candidate(rng, column, value)
        if masked(column.outcome, candidate, salt) == masked(column.outcome, value, salt) and not _keyed(
            column.outcome
        ):
            return candidate
    return value


def _keyed(mask: Mask) -> bool:
    """Whether only the value itself gives the same."""
    return mask.kind in ("token", "sha-256-global", "sha-256-query-local")


def _candidate(rng: random.Random, column: Column, value: Any) -> Any:
    if value is None or rng.random() < 0.2:
        return _value(rng, column.shape)
    if isinstance(value, datetime):
        return value.replace(
            minute=rng.randint(0, 59), day=rng.choice((value.day, 28)), month=rng.choice((value.month, 3))
        )
    if isinstance(value, date):
        return value.replace(
            year=value.year // 10 * 10 + rng.choice((value.year % 10, 5)),
            day=rng.randint(1, 28),
            month=rng.choice((value.month, 5)),
        )
    if isinstance(value, str):
        kept = rng.choice((0, 1, 3, 4, 6, 9))
        end = rng.choice((len(value), max(len(value) - 4, kept)))
        middle = "".join(_of_its_kind(rng, c) for c in value[kept:end])
        return value[:kept] + middle + value[end:] + rng.choice(("", "", "无"))
    if isinstance(value, bool):
        return not value
    return value + type(value)(rng.randint(-9, 9))


def _of_its_kind(rng: random.Random, character: str) -> str:
    if character.isdigit():
        return rng.choice("0123456789")
    return rng.choice(_CJK) if character in _CJK else rng.choice((character, "b", "I"))


def token(value: str | None) -> bytes | None:
    """A stand-in for the lake's token of an identifier."""
    return None if value is None else hashlib.sha256(value.encode()).digest()[:12]
