"""A model's text as a qualified sqlglot tree, and what is wrong with it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlglot import exp, parse
from sqlglot.errors import OptimizeError, ParseError, SqlglotError, TokenError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope
from sqlglot.schema import MappingSchema

from governance.catalog.types import Catalogue
from governance.develop.forms import spelled_out, with_keys_apart
from governance.develop.overlooked import units
from governance.develop.schema import Schema, schema_of
from governance.errors import Fault

DIALECT = "duckdb"


@dataclass(frozen=True, slots=True)
class Parsed:
    """`inputs` are the tables that the text names; `scope` is None when there are faults."""

    inputs: tuple[str, ...]
    schema: Schema
    scope: Scope | None
    faults: tuple[Fault, ...]


def parse_select(sql: str, file: str, catalogue: Catalogue) -> Parsed:
    """One SELECT over tables of the catalogue, every column qualified and typed."""
    empty = Schema({}, {}, {})
    try:
        statements = [s for s in parse(sql, dialect=DIALECT) if s is not None]
    except (ParseError, TokenError) as error:
        return Parsed((), empty, None, (_unparsed(file, error),))
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = ", ".join(type(s).__name__.upper() for s in statements) or "nothing"
        return Parsed((), empty, None, (Fault(file, 1, "sql", kinds, "one SELECT", "keep one SELECT in the file"),))
    tree = statements[0]
    inputs, faults = _inputs(tree, file, catalogue)
    for unit in units(sql):
        found, do = f"the unit {unit} is a column", "spell the units out: CASE WHEN ... THEN date_trunc('month', ...)"
        faults = (*faults, Fault(file, 1, "sql", found, "a text: 'day', 'month', ...", do))
    schema = schema_of(catalogue, inputs)
    if faults:
        return Parsed(inputs, schema, None, faults)
    try:
        known = MappingSchema(schema.nested(), dialect=DIALECT)
        tree = with_keys_apart(qualify(spelled_out(tree), dialect=DIALECT, schema=known))
        tree = annotate_types(tree, schema=known, dialect=DIALECT)
        scope = build_scope(tree)
    except (OptimizeError, SqlglotError) as error:
        return Parsed(inputs, schema, None, (_unresolved(file, error),))
    except AssertionError:  # sqlglot does not know what to make of it
        found, do = "a form of SQL that cannot be followed", "name every column, and order by names, not positions"
        return Parsed(inputs, schema, None, (Fault(file, 1, "sql", found, "columns of the contracts", do),))
    if scope is None:
        faults = (Fault(file, 1, "sql", "a statement without a scope", "SELECT", "write it as a SELECT"),)
    return Parsed(inputs, schema, scope, faults)


def line_of(node: exp.Expr | None) -> int:
    """Line of the first token below a node that has one; 1 when none has."""
    if node is not None:
        for part in node.walk():
            if isinstance(line := part.meta.get("line"), int):
                return line
    return 1


def _inputs(tree: exp.Expr, file: str, catalogue: Catalogue) -> tuple[tuple[str, ...], tuple[Fault, ...]]:
    """Names of the tables that the text reads; a name without department is a CTE's or a fault."""
    known = {name.lower(): name for name in (*catalogue.datasets, *catalogue.models)}
    ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    inputs, faults = set(), []
    for table in tree.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            faults += _table_function(table, file)
            continue
        name = f"{table.db}.{table.name}" if table.db else table.name
        if not table.db and name.lower() in ctes:
            continue
        if table.catalog or name.lower() not in known:
            allowed = "<department>.<dataset> or curated.<model> of this catalogue"
            faults.append(
                Fault(file, line_of(table), name, "no such table", allowed, "correct the name or add its contract")
            )
        else:
            inputs.add(known[name.lower()])
    return tuple(sorted(inputs)), tuple(faults)


def _table_function(table: exp.Table, file: str) -> list[Fault]:
    name = table.this.name.lower() if isinstance(table.this, exp.Anonymous) else table.this.sql_name().lower()
    allowed = ("range", "generate_series", "unnest", "explode_outer", "explode")
    if name in allowed:
        return []
    found = f"table function {name}"
    return [
        Fault(file, line_of(table), "sql", found, "tables, range, generate_series, unnest", "read a dataset instead")
    ]


def _unparsed(file: str, error: ParseError | TokenError) -> Fault:
    details = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    return Fault(
        file, int(details.get("line") or 1), "sql", "not SQL that can be read", "DuckDB's SQL", "correct it here"
    )


def _unresolved(file: str, error: Exception) -> Fault:
    text = re.sub(r"\s+", " ", str(error))
    line = re.search(r"Line: (\d+)", text)
    found = text.partition(". Line:")[0]
    return Fault(file, int(line.group(1)) if line else 1, "sql", found, "columns of the contracts", "correct the name")
