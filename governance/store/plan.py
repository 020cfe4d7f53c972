"""How the rules of a dataset become bits: which reason has which bit, and the statement that types and judges the rows of one file.

Pure: values in, SQL out. A reason is any rule that can speak against a row; bit `i` of a row's words is reason `i`. Table rules have no bit.
A rule does not speak of a value that did not convert: that is the reason `type:<field>`, and the rule's `required` would be a second, false one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import sqlglot
from sqlglot import exp

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules, TableRule, UniqueRule
from governance.catalog.types import Dataset, Field
from governance.keys.tokens import rowdigest_sql, sql_standard
from governance.store.parsers.relation import LINE, literal, quoted, raw_name
from governance.store.typed import TypedColumn, raw_json, select_typed, typed_columns

BITS = 62
"""Reasons in one word: a signed 64-bit integer with room to spare."""

RAW, ROW, FULL, DIGEST = "__raw", "__row", "__full", "__digest"

LOW_64 = "18446744073709551615::UHUGEINT"

Reason = RowRule | UniqueRule | CodeSetRule | ReferenceRule


@dataclass(frozen=True, slots=True)
class Skip:
    """How the rows that a rule does not speak of are counted: none, NULLs of a column, NULLs that are no failed values, failed values of a
    column, rows whose flag is not TRUE."""

    kind: Literal["none", "nulls", "type", "bad", "flag"]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass over a dataset evaluates. `errored` are reasons that cannot be evaluated at all, with the class of their error."""

    dataset: Dataset
    reasons: tuple[Reason, ...]
    table_rules: tuple[TableRule, ...]
    rules_hash: str
    salt: str
    errored: Mapping[str, str]
    careful: bool = False
    """Every row rule alone, so that one that fails on some row is named instead of breaking the pass."""
    full_hash: bool = False
    """Whether rows carry the hash of their raw values (declared duplicates)."""
    digests: bool = False
    """Whether rows carry what their `_rowdigest` is made of."""
    watched: tuple[int, ...] = ()
    """Bits of unique rules whose keys are watched while the rows stream by."""
    hashed: tuple[int, ...] = ()
    """Those of them for which rows carry the hash of their key."""
    beside: tuple[int, ...] = ()
    """Bits of row rules that are judged in Arrow, after the statement (`shapes.py`)."""

    @property
    def words(self) -> int:
        return max(1, -(-len(self.reasons) // BITS))

    @property
    def identifiers(self) -> tuple[Field, ...]:
        """Fields that get a token."""
        return tuple(f for f in self.dataset.fields if f.token_name)

    def quarantine_masks(self) -> tuple[int, ...]:
        """Bits by word whose reasons set a row aside: severities quarantine and stop."""
        return tuple(
            sum(1 << bit for bit, reason in enumerate(part) if reason.severity != "warn") for part in self.by_word()
        )

    def by_word(self) -> tuple[tuple[Reason, ...], ...]:
        return tuple(self.reasons[word * BITS : (word + 1) * BITS] for word in range(self.words))

    def flags(self) -> tuple[str, ...]:
        """Distinct expressions that say whether rules speak of a row, each a column `flag(n)`."""
        return tuple(dict.fromkeys(speaks_of(self, r) for r in self.reasons if self.skip(r).kind == "flag"))

    def skip(self, reason: Reason) -> Skip:
        if reason.id.startswith("type:"):
            return Skip("type", reason.columns[0])
        if reason.id in self.errored:
            return Skip("none")
        speaks = speaks_of(self, reason)
        if not speaks:
            return Skip("none")
        if speaks == _not_null(reason.columns[0]):
            return Skip("nulls", reason.columns[0])
        if isinstance(reason, RowRule) and speaks == _converted(reason.columns[0]) and not self.careful:
            return Skip("bad", reason.columns[0])
        return Skip("flag", speaks)


def word(number: int) -> str:
    """Column of a row's reasons, 62 a word."""
    return f"__w{number}"


def error_word(number: int) -> str:
    """Column of the rules that failed on a row (careful passes only)."""
    return f"__e{number}"


def flag(number: int) -> str:
    return f"__a{number}"


def key_name(bit: int) -> str:
    """What `halves` makes of the hash of unique rule `bit`."""
    return f"__k{bit}"


def standard_of(field: Field) -> str:
    """Column of the standardised value from which a field's token is made."""
    return f"__s_{field.name}"


def reasons_of(dataset: Dataset, rules: RowRules) -> tuple[Reason, ...]:
    """Every rule that speaks of rows, in the rules' order; before them `type:` reasons for fields that the rules leave out.

    So a value that does not convert is never a NULL that nobody mentions.
    """
    given = {rule.id for rule in rules.rules}
    types = tuple(
        RowRule(f"type:{f.name}", f.severities.get("type", "quarantine"), (f.name,), "FALSE")
        for f in dataset.fields
        if f.type.kind != "string" and f"type:{f.name}" not in given
    )
    return types + tuple(rule for rule in rules.rules if not isinstance(rule, TableRule))


def table_rules_of(rules: RowRules) -> tuple[TableRule, ...]:
    return tuple(rule for rule in rules.rules if isinstance(rule, TableRule))


def judge_sql(plan: Plan, types: Mapping[str, str], relation: str, *, has_lines: bool) -> str:
    """The statement over one file: typed fields, words of the row rules, flags, raw text of what failed, hashes for tokens."""
    fields = plan.dataset.fields
    columns = typed_columns(fields, types)
    parts = [quoted(f.name) for f in fields]
    for number, members in enumerate(plan.by_word()):
        here = [
            (bit, r)
            for bit, r in enumerate(members)
            if isinstance(r, RowRule) and number * BITS + bit not in plan.beside
        ]
        judged = [(bit, condition) for bit, r in here if (condition := _unexpected(plan, r))]
        parts.append(f"{_word(judged, plan.careful)} AS {word(number)}")
        if plan.careful:
            parts.append(f"{_errors(judged)} AS {error_word(number)}")
    parts += [f"{_flag(speaks, plan.careful)} AS {flag(n)}" for n, speaks in enumerate(plan.flags())]
    parts.append(f"{raw_json(columns, lambda column: quoted(failed(column.field.name)))} AS {RAW}")
    parts += [f"{sql_standard(quoted(f.name))} AS {quoted(standard_of(f))}" for f in plan.identifiers]
    if plan.digests:
        parts.append(f"{rowdigest_sql(fields)} AS {DIGEST}")
    if plan.full_hash:
        parts.append(halves(f"md5_number({full_text(columns, plan.salt)})", FULL))
    parts += [halves(unique_hash(plan, plan.reasons[bit]), key_name(bit)) for bit in plan.hashed]
    extra = [LINE] if has_lines else []
    parts += [quoted(name) for name in extra]
    return f"SELECT {', '.join(parts)} FROM ({with_fails(columns, types, relation, extra)})"  # noqa: S608


def with_fails(
    columns: Sequence[TypedColumn], types: Mapping[str, str], relation: str, extra: Sequence[str] = ()
) -> str:
    """Raw and typed columns of `relation`, and for every field that is no text a column that says whether it failed to convert."""
    typed = select_typed([column.field for column in columns], types, relation, extra)
    fails = [
        f"{column.fails or 'FALSE'} AS {quoted(failed(column.field.name))}"
        for column in columns
        if column.field.type.kind != "string"
    ]
    return f"SELECT {', '.join(['*', *fails])} FROM ({typed})"  # noqa: S608


def empty_relation(fields: Sequence[Field]) -> str:
    """No rows of raw text: what the statements are bound against before a file is opened."""
    columns = ", ".join(f"CAST(NULL AS VARCHAR) AS {quoted(raw_name(position))}" for position in range(len(fields)))
    return f"SELECT {columns} WHERE FALSE"


def key_hash(expressions: Sequence[str], salt: str, *, nulls: bool = False) -> str:
    """A salted 128-bit hash (UHUGEINT) of expressions; NULL when one of them is, unless `nulls` takes NULL for a value.

    >>> import duckdb
    >>> duckdb.sql(f"SELECT {key_hash(['1', 'NULL'], 's')} IS NULL, {key_hash(['1', 'NULL'], 's', nulls=True)} IS NULL").fetchall()
    [(True, False)]
    """
    parts = []
    for expression in expressions:
        text = f"CAST({expression} AS VARCHAR)"
        part = f"strlen({text}) || ':' || {text}" if len(expressions) > 1 or nulls else text
        parts.append(f"coalesce({part}, '~')" if nulls else part)
    return f"md5_number({literal(salt)} || {' || '.join(parts)})"


def unique_hash(plan: Plan, rule: Reason) -> str:
    """Hash of the key of a unique rule; NULL where the rule does not speak of the row."""
    hashed = key_hash([quoted(name) for name in rule.columns], plan.salt)
    return f"CASE WHEN {speaks_of(plan, rule)} THEN {hashed} END"


def halves(hashed: str, name: str) -> str:
    """A UHUGEINT expression as the two columns `<name>_low` and `<name>_high`: Arrow has no integer of 128 bits."""
    low, high = f"CAST({hashed} & {LOW_64} AS UBIGINT)", f"CAST({hashed} >> 64 AS UBIGINT)"
    return f"{low} AS {name}_low, {high} AS {name}_high"


def whole(name: str) -> str:
    """The UHUGEINT again of the columns that `halves` made; `name` empty for columns called `low` and `high`."""
    prefix = f"{name}_" if name else ""
    return f"(({prefix}high::UHUGEINT << 64) | {prefix}low::UHUGEINT)"


def full_text(columns: Sequence[TypedColumn], salt: str) -> str:
    """Salted text of all values of a row at the contract's types, raw where one did not convert; NULLs and lengths encoded."""
    texts = [f"coalesce(CAST({quoted(c.field.name)} AS VARCHAR), {c.raw_text})" for c in columns]
    parts = (f"coalesce(strlen({text}) || ':' || {text}, '~')" for text in texts)
    return f"concat({literal(salt)}, {', '.join(parts)})"


def failed(name: str) -> str:
    """Column that says whether the value of a field did not convert: the name that compiled `type:` rules use."""
    return f"{name}__bad"


def speaks_of(plan: Plan, reason: Reason) -> str:
    """A boolean expression over the typed columns, TRUE where the rule speaks of the row; empty when it speaks of every row."""
    parts = []
    applies = _as_printed(reason.applies) if reason.applies else ""
    if isinstance(reason, RowRule):
        if len(reason.columns) == 1 and applies == _not_null(reason.columns[0]):
            return applies
        kinds = {f.name: f.type.kind for f in plan.dataset.fields}
        parts += [_converted(name) for name in reason.columns if kinds.get(name, "string") != "string"]
    else:
        parts += [_not_null(name) for name in reason.columns]
    if applies and applies not in parts:
        parts.append(f"({applies})")
    return " AND ".join(parts)


def _unexpected(plan: Plan, rule: RowRule) -> str:
    """A boolean expression, TRUE where the rule is broken; empty when nothing can be evaluated."""
    if rule.id.startswith("type:"):
        kind = plan.dataset.field(rule.columns[0]).type.kind
        return "" if kind == "string" else quoted(failed(rule.columns[0]))
    if rule.id in plan.errored:
        return ""
    speaks = speaks_of(plan, rule)
    return f"({speaks}) AND ({rule.unexpected})" if speaks else rule.unexpected


def _word(judged: Sequence[tuple[int, str]], careful: bool) -> str:
    if not judged:
        return "CAST(0 AS BIGINT)"
    if careful:
        return " + ".join(f"coalesce({_tried(condition)}, 0) * {1 << bit}::BIGINT" for bit, condition in judged)
    bits = " + ".join(f"CASE WHEN {condition} THEN {1 << bit}::BIGINT ELSE 0 END" for bit, condition in judged)
    broken = " OR ".join(f"({condition})" for _, condition in judged)
    return f"CASE WHEN {broken} THEN {bits} ELSE 0 END"  # most rows break none: no bit is computed for them


def _errors(judged: Sequence[tuple[int, str]]) -> str:
    parts = (f"CASE WHEN {_tried(condition)} IS NULL THEN {1 << bit}::BIGINT ELSE 0 END" for bit, condition in judged)
    return " + ".join(parts) or "CAST(0 AS BIGINT)"


def _tried(condition: str) -> str:
    """1, 0, or NULL when the condition failed on this row."""
    return f"TRY(CASE WHEN {condition} THEN 1 ELSE 0 END)"


def _flag(speaks: str, careful: bool) -> str:
    return f"coalesce({f'TRY({speaks})' if careful else speaks}, FALSE)"


def _converted(name: str) -> str:
    return f"NOT {quoted(failed(name))}"


@lru_cache(maxsize=4096)
def _as_printed(expression: str) -> str:
    return sqlglot.parse_one(expression, dialect="duckdb").sql("duckdb")


@lru_cache(maxsize=4096)
def _not_null(name: str) -> str:
    """As a compiled rule prints it, so that it is counted from the column itself.

    >>> _not_null("a")
    'NOT "a" IS NULL'
    """
    return exp.column(name, quoted=True).is_(exp.null()).not_().sql("duckdb")
