"""SQL that brings raw values to the contract's types. Pure: text in, DuckDB expressions out.

A value that does not convert is NULL in its column and TRUE in `fails`; empty text is NULL. Text is kept as it is; everything else is read
without the white space around it. Integers accept a fraction of zeros ("30790.0"), decimals are rounded to their scale, dates and timestamps
are ISO 8601 (timestamps with a zone become UTC) unless the contract gives a format, in the years 0001 to 9999: what the standard writes in four
digits, and what every reader of the lake has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from governance.catalog.types import Field
from governance.store.parsers.relation import literal, quoted, raw_name

_TRUE = "'true', 't', 'yes', 'y', '1', '1.0', '是'"
_FALSE = "'false', 'f', 'no', 'n', '0', '0.0', '否'"
_LAST = {"date": "9999-12-31", "timestamp": "9999-12-31 23:59:59.999999"}


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """One field's expressions over the raw column: its typed value, and whether it failed over the typed one (empty: it never does)."""

    field: Field
    value: str
    fails: str
    raw_text: str


def typed_columns(fields: Sequence[Field], types: Mapping[str, str]) -> tuple[TypedColumn, ...]:
    """Expressions for every field; `types` names the fields whose raw column has a type of its own already."""
    return tuple(_typed(field, position, types.get(field.name)) for position, field in enumerate(fields))


def select_typed(fields: Sequence[Field], types: Mapping[str, str], relation: str, extra: Sequence[str] = ()) -> str:
    """A SELECT over `relation` of raw and typed columns side by side; `extra` columns of the relation are carried along."""
    columns = typed_columns(fields, types)
    names = [quoted(raw_name(position)) for position in range(len(fields))]
    values = [f"{column.value} AS {quoted(column.field.name)}" for column in columns]
    carried = [quoted(name) for name in extra]
    return f"SELECT {', '.join([*names, *values, *carried])} FROM ({relation})"  # noqa: S608


def raw_json(columns: Sequence[TypedColumn], fails: Callable[[TypedColumn], str] = lambda column: column.fails) -> str:
    """An expression: JSON text of the raw values that did not convert, NULL where all did; `fails` says how a column tells."""
    failing = [(column, fails(column)) for column in columns if column.fails]
    if not failing:
        return "CAST(NULL AS VARCHAR)"
    pairs = ", ".join(
        f"{literal(column.field.name)}, CASE WHEN {failed} THEN {column.raw_text} END" for column, failed in failing
    )
    any_fails = " OR ".join(failed for _, failed in failing)
    return f"CASE WHEN {any_fails} THEN CAST(json_merge_patch('{{}}', json_object({pairs})) AS VARCHAR) END"


def _typed(field: Field, position: int, own: str | None) -> TypedColumn:
    raw = quoted(raw_name(position))
    wanted = field.type.duckdb()
    if own is not None:
        return _from_own(field, raw, own, wanted)
    if field.type.kind == "string":
        return TypedColumn(field, f"nullif({raw}, '')", "", f"nullif({raw}, '')")
    text = f"nullif(trim({raw}), '')"
    # CASE, unlike AND, leaves out the rows that converted: trimming costs more than the rest
    fails = f"CASE WHEN {quoted(field.name)} IS NULL THEN {text} IS NOT NULL ELSE FALSE END"
    return TypedColumn(field, _within(field, _from_text(field, text, raw)), fails, f"nullif({raw}, '')")


def _within(field: Field, value: str) -> str:
    """`value`, NULL when it is a moment outside the years 0001 to 9999 (or DuckDB's infinity)."""
    last = _LAST.get(field.type.kind)
    if last is None:
        return value
    kind = field.type.duckdb()
    return f"CASE WHEN {value} BETWEEN {kind} '0001-01-01' AND {kind} '{last}' THEN {value} END"


def _from_own(field: Field, raw: str, own: str, wanted: str) -> TypedColumn:
    """The source is typed: nothing to parse, but a value may still not fit."""
    text = f"CAST({raw} AS VARCHAR)"
    if own == wanted and field.type.kind not in (*_LAST, "double"):
        return TypedColumn(field, raw, "", text)
    if field.type.kind == "string":
        return TypedColumn(field, text, "", text)
    if field.type.kind == "double" and own in ("DOUBLE", "FLOAT"):
        value = f"CASE WHEN isfinite({raw}) THEN CAST({raw} AS DOUBLE) END"
    elif field.type.kind == "integer" and (own in ("DOUBLE", "FLOAT") or own.startswith("DECIMAL")):
        value = f"CASE WHEN trunc({raw}) = {raw} THEN TRY_CAST({raw} AS BIGINT) END"
    elif field.type.kind == "timestamp" and own == "TIMESTAMP WITH TIME ZONE":
        value = f"timezone('UTC', {raw})"
    else:
        value = f"TRY_CAST({raw} AS {wanted})"
        if field.exact:
            value = f"CASE WHEN {value} = {raw} THEN {value} END"
    return TypedColumn(field, _within(field, value), f"({quoted(field.name)} IS NULL AND {raw} IS NOT NULL)", text)


def _from_text(field: Field, text: str, raw: str) -> str:
    kind, wanted = field.type.kind, field.type.duckdb()
    if field.format and kind in ("date", "timestamp"):
        return f"CAST(try_strptime({text}, {literal(field.format)}) AS {wanted})"
    match kind:
        case "integer":
            whole = f"TRY_CAST({text} AS BIGINT)"
            exact = f"TRY_CAST({text} AS DECIMAL(38, 9)) = {whole}"
            plain = f"NOT contains({text}, '.') AND NOT contains(lower({text}), 'e')"
            slow = f"CASE WHEN {_odd(text)} THEN NULL WHEN {plain} THEN {whole} WHEN {exact} THEN {whole} END"
            # most numbers look as DuckDB prints them: nothing more to ask
            return f"CASE WHEN CAST(TRY_CAST({raw} AS BIGINT) AS VARCHAR) = {raw} THEN TRY_CAST({raw} AS BIGINT) ELSE {slow} END"
        case "decimal":
            fitted = f"CASE WHEN contains({raw}, '_') THEN NULL ELSE TRY_CAST({raw} AS {wanted}) END"  # blanks are the cast's
            return _unrounded(field, raw, fitted) if field.exact else fitted
        case "double":
            number = f"TRY_CAST({raw} AS DOUBLE)"
            return f"CASE WHEN isfinite({number}) AND NOT contains({raw}, '_') THEN {number} END"
        case "boolean":
            word = f"lower({text})"
            return f"CASE WHEN {word} IN ({_TRUE}) THEN TRUE WHEN {word} IN ({_FALSE}) THEN FALSE END"
        case "date":
            day = f"TRY_CAST({text} AS DATE)"
            slow = f"CASE WHEN {text} < ':' THEN coalesce({day}, CAST(try_strptime({text}, '%Y%m%d') AS DATE)) END"
            # no word that DuckDB takes for a date (epoch, infinity) has ten letters
            return f"CASE WHEN strlen({raw}) = 10 THEN TRY_CAST({raw} AS DATE) ELSE {slow} END"
        case "timestamp":
            zoned = f"(right({text}, 1) = 'Z' OR regexp_matches(substr({text}, 17), '[+-]'))"
            utc = f"timezone('UTC', TRY_CAST({text} AS TIMESTAMPTZ))"
            slow = f"CASE WHEN {text} >= ':' THEN NULL WHEN {zoned} THEN {utc} ELSE TRY_CAST({text} AS TIMESTAMP) END"
            return f"CASE WHEN strlen({raw}) = 19 THEN TRY_CAST({raw} AS TIMESTAMP) ELSE {slow} END"
        case "string":
            return text


def _unrounded(field: Field, raw: str, fitted: str) -> str:
    """`fitted`, NULL where the text has a digit other than zero beyond the scale (or an exponent). The length alone settles most rows."""
    scale = field.type.scale or 0
    longer = f"strpos({raw}, '.') > 0 AND strlen({raw}) - strpos({raw}, '.') > {scale}"
    form = literal(rf"^\s*[+-]?\d*(\.\d{{0,{scale}}}0*)?\s*$")
    return f"CASE WHEN {longer} OR contains(lower({raw}), 'e') THEN CASE WHEN regexp_matches({raw}, {form}) THEN {fitted} END ELSE {fitted} END"


def _odd(text: str) -> str:
    """Digits in groups and other bases, which DuckDB's casts take for numbers and no department means."""
    return f"(contains({text}, '_') OR contains(lower({text}), 'x'))"
