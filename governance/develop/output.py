"""What a SELECT gives, asked of DuckDB over empty tables of the contracts' types, against what its contract declares.
No data is read."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from governance.catalog.types import TOKEN_SUFFIX, Check, Kind, Model
from governance.develop.deps import Trace
from governance.develop.schema import Schema
from governance.errors import Fault

FINDING_COLUMNS: Mapping[str, str] = {
    "token": "BLOB",
    "left_batch": "VARCHAR",
    "left_row": "BIGINT",
    "right_batch": "VARCHAR",
    "right_row": "BIGINT",
}
"""What a check may give: positions and tokens, never a value."""

_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "BOOLEAN"}) | frozenset(
    {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM"}
)
_CASTS: Mapping[Kind, frozenset[str]] = {
    "string": frozenset(["VARCHAR", "DATE", "TIMESTAMP", "TIME", "UUID", "DECIMAL", "ENUM"]) | _INTEGERS,
    "integer": _INTEGERS,
    "decimal": _INTEGERS | {"DECIMAL"},
    "double": _INTEGERS | {"DECIMAL", "DOUBLE", "FLOAT"},
    "boolean": frozenset({"BOOLEAN"}),
    "date": frozenset({"DATE"}),
    "timestamp": frozenset({"TIMESTAMP", "DATE"}),
}
"""Types that the build may cast to a contract's kind: what loses nothing, or fails loudly when a value does not fit."""


def output_types(sql: str, file: str, schema: Schema) -> tuple[tuple[tuple[str, str], ...], tuple[Fault, ...]]:
    """Output columns with their DuckDB types, in order; a fault when DuckDB does not accept the statement."""
    connection = duckdb.connect(":memory:", config={"enable_external_access": "false", "threads": "1"})
    try:
        for statement in schema.ddl():
            connection.execute(statement)
        described = connection.sql(sql)
        return tuple(zip(described.columns, map(str, described.types), strict=True)), ()
    except duckdb.Error as error:
        found = f"DuckDB refuses it ({type(error).__name__}): {_first_line(error)}"
        return (), (Fault(file, 1, "sql", found, "DuckDB's SQL", "correct the statement"),)
    finally:
        connection.close()


def contract_faults(columns: tuple[tuple[str, str], ...], model: Model) -> list[Fault]:
    """Output columns must be the contract's fields, plus `f__token` of each field `f` that has a domain; types must
    cast."""
    if not columns:
        return []
    contract, found = model.contract, dict(columns)
    tokens = {f.token_name for f in contract.fields if f.token_name}
    faults = []
    for field in contract.fields:
        if field.name not in found:
            do = f"add it to {model.file}, or take it out of the contract"
            faults.append(Fault(contract.file, field.line or 1, field.name, "not a column of the model", "", do))
        elif field.name.endswith(TOKEN_SUFFIX):
            tokens.add(field.name)
        elif not castable(found[field.name], field.type.kind):
            text = f"the model gives {found[field.name]}, the contract says {field.type.duckdb()}"
            do = f"CAST({field.name} AS {field.type.duckdb()}) in the model"
            allowed = ", ".join(sorted(_CASTS[field.type.kind]))
            faults.append(Fault(contract.file, field.line or 1, f"{field.name}.type", text, allowed, do))
        if field.token_name and field.token_name not in found:
            text = f"domain {field.domain}, but the model gives no {field.token_name}"
            do = f"select the source's token AS {field.token_name}"
            faults.append(Fault(model.file, 1, field.name, text, "one token column for each field with a domain", do))
    for name, kind in columns:
        if name in tokens and kind != "BLOB":
            faults.append(
                Fault(model.file, 1, name, f"a token of type {kind}", "BLOB", "carry the source's token unchanged")
            )
        elif name not in tokens and name not in {f.name for f in contract.fields}:
            do = f"declare it in {contract.file}, or do not select it"
            faults.append(Fault(model.file, 1, name, "not a field of the contract", "fields and their tokens", do))
    names = [name for name, _ in columns]
    faults += [Fault(model.file, 1, n, "given twice", "each column once", "rename one") for n in sorted(_twice(names))]
    return faults


def castable(found: str, kind: Kind) -> bool:
    """Whether the build may cast a column of this DuckDB type to a contract's kind."""
    base = found.partition("(")[0].strip().strip('"')
    return base == "NULL" or base in _CASTS[kind]


def check_faults(trace: Trace, columns: tuple[tuple[str, str], ...], check: Check) -> list[Fault]:
    """A check gives positions and tokens only, so that no value reaches the state database."""
    allowed = ", ".join(f"{name} {kind}" for name, kind in FINDING_COLUMNS.items())
    faults = []
    for name, kind in columns:
        if FINDING_COLUMNS.get(name) != kind:
            faults.append(
                Fault(check.file, 1, name, f"a column {name} {kind}", allowed, "select positions and tokens only")
            )
            continue
        for dep in trace.columns.get(name, ()):
            position = dep.column in ("_batch", "_row") or dep.column.endswith("__token")
            if dep.use.kind == "DIRECT" and not position:
                found = f"made from {dep.input}.{dep.column}"
                faults.append(
                    Fault(check.file, 1, name, found, "_batch, _row and token columns", "select the position")
                )
    return faults


def _twice(names: list[str]) -> set[str]:
    return {n for n in names if names.count(n) > 1}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
