"""The guard: what a user's statement is, by DuckDB's own parser, before anything is opened for it.

Accepted is exactly one SELECT that DuckDB can serialise, made of allowed kinds of expression, functions and table
references, over tables that DuckDB and sqlglot name alike, each written `<schema>.<table>`. Everything else is
refused. The guard sees no data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from governance.errors import Refused
from governance.use.functions import FUNCTIONS, TABLE_FUNCTIONS
from governance.use.sandbox import LOCKED, is_select

MAX_CHARACTERS = 100_000
_CLASSES = frozenset(
    {"COLUMN_REF", "CONSTANT", "FUNCTION", "WINDOW", "CAST", "CASE", "COMPARISON", "CONJUNCTION", "BETWEEN"}
    | {"OPERATOR", "SUBQUERY", "STAR", "LAMBDA", "POSITIONAL_REFERENCE", "COLLATE", "TYPE"}
)
_TABLE_REFS = frozenset({"BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST"})
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


@dataclass(frozen=True, slots=True)
class Statement:
    """An accepted statement. `tables` are lower case `<schema>.<table>`; `words` every name in it, lower case.

    A column that is not among `words` is not read, unless `everything` is (a star, a position, a natural join, a
    whole row).
    """

    sql: str
    tables: tuple[str, ...]
    words: frozenset[str]
    everything: bool
    tree: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """DuckDB's own tree of it."""

    def reads(self, column: str) -> bool:
        return self.everything or column.lower() in self.words


def examine(sql: str) -> Statement:
    """The statement, if it may run at all. Raises Refused, without a word of `sql` in the message."""
    if len(sql) > MAX_CHARACTERS or "\0" in sql or any("\ud800" <= character <= "\udfff" for character in sql):
        raise Refused("the statement is too long, or holds what is no text", allowed=f"{MAX_CHARACTERS} characters")
    with _parser().cursor() as con:
        tree = _select(con, sql)
        nodes = tuple(nodes_of(tree))
        for node in nodes:
            _allow(node)
        tables = _tables(nodes)
        if not _agree(con, sql, tables):
            raise Refused("the tables of the statement cannot be told for certain", do="write <schema>.<table>")
    aliases = {part for node in nodes for part in _table_words(node)}
    return Statement(sql, tuple(sorted(tables)), frozenset(_words(tree)), _takes_everything(nodes, aliases), tree)


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """The process's one DuckDB that parses: it holds no data and runs no statement of a user's."""
    return duckdb.connect(config=dict(LOCKED))


def _select(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error:
        raise Refused("not a statement that DuckDB can parse") from None
    if len(statements) != 1 or not is_select(statements[0]):
        raise Refused("not one SELECT", allowed="exactly one SELECT statement")
    try:
        answer = con.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        tree: dict[str, Any] = json.loads(answer[0]) if answer and answer[0] else {"error": True}
    except (duckdb.Error, RecursionError, ValueError):
        raise Refused("a statement that is nested too deeply") from None
    if tree.get("error") or len(tree["statements"]) != 1:
        raise Refused("not one SELECT", allowed="exactly one SELECT statement")
    found: dict[str, Any] = tree["statements"][0]
    return found


def nodes_of(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in DuckDB's tree of a statement."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _allow(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if "class" in node:
        if node["class"] not in _CLASSES:
            raise Refused("a kind of expression that is not allowed")
        if node["class"] in ("FUNCTION", "WINDOW"):
            _allow_function(node)
    elif "query_location" in node and "sample" in node:
        if kind not in _TABLE_REFS:
            raise Refused("a kind of table that is not allowed", allowed="tables, joins, subqueries and VALUES")
        if kind == "BASE_TABLE" and (node.get("at_clause") or node.get("catalog_name")):
            raise Refused("tables are named <schema>.<table>, at the release's snapshot")
        if kind == "TABLE_FUNCTION" and node["function"]["function_name"].lower() not in TABLE_FUNCTIONS:
            raise Refused("a table function that is not allowed", allowed=", ".join(sorted(TABLE_FUNCTIONS)))
    elif isinstance(kind, str) and kind.endswith("_NODE") and kind not in _NODES:
        raise Refused("a kind of query that is not allowed")


def _allow_function(node: dict[str, Any]) -> None:
    name = str(node.get("function_name", "")).lower()
    elsewhere = node.get("catalog") or node.get("schema") not in (None, "", "main")
    if elsewhere or name not in FUNCTIONS | TABLE_FUNCTIONS:
        raise Refused("a function that is not allowed", do="docs/USE.md says which are")


def _tables(nodes: tuple[dict[str, Any], ...]) -> frozenset[str]:
    """The tables of DuckDB's tree. A name with a schema is never a CTE's; one without is a CTE's, or no table of
    ours.
    """
    ctes = {entry["key"].lower() for node in nodes for entry in node.get("map", ()) if "key" in entry}
    named = {_name(node["schema_name"], node["table_name"]) for node in nodes if node.get("type") == "BASE_TABLE"}
    return frozenset(named - ctes)


def _agree(con: duckdb.DuckDBPyConnection, sql: str, tables: frozenset[str]) -> bool:
    """Whether sqlglot, and DuckDB's binder where it gets that far, name the same tables (those with a schema)."""
    qualified = {name for name in tables if "." in name}
    try:
        trees = sqlglot.parse(sql, dialect="duckdb")
        seen = _sqlglot_tables(trees[0]) if len(trees) == 1 and isinstance(trees[0], exp.Query) else None
    except (sqlglot.errors.SqlglotError, RecursionError):
        return False
    try:
        bound = con.get_table_names(sql, qualified=True)
    except duckdb.Error:  # the binder has no columns to look at: USING, NATURAL and COLUMNS end there
        return seen == qualified
    try:
        told = {name for text in bound for name in _sqlglot_tables(sqlglot.parse_one(f"FROM {text}", dialect="duckdb"))}
    except sqlglot.errors.SqlglotError:
        return False
    return seen == qualified == told


def _sqlglot_tables(tree: exp.Expr | None) -> set[str]:
    found = tree.find_all(exp.Table) if tree is not None else ()
    return {_name(table.db, table.name) for table in found if table.db and isinstance(table.this, exp.Identifier)}


def _name(schema: str, table: str) -> str:
    if "." in schema or "." in table:
        raise Refused("tables are named <schema>.<table>, without a dot in either name")
    return f"{schema}.{table}".lower() if schema else table.lower()


def _words(value: Any) -> Iterator[str]:
    """Every string of the tree: whatever names a column is among them."""
    for node in nodes_of(value):
        for item in node.values():
            if isinstance(item, str):
                yield item.lower()
            elif isinstance(item, list):
                yield from (part.lower() for part in item if isinstance(part, str))
        yield from (key.lower() for key in node)


def _table_words(node: dict[str, Any]) -> Iterator[str]:
    if "query_location" in node and "sample" in node:
        yield from (str(node.get(key) or "").lower() for key in ("alias", "table_name", "schema_name"))


def _takes_everything(nodes: tuple[dict[str, Any], ...], aliases: set[str]) -> bool:
    for node in nodes:
        if node.get("class") in ("STAR", "POSITIONAL_REFERENCE") or node.get("ref_type") in ("NATURAL", "POSITIONAL"):
            return True
        if node.get("class") == "COLUMN_REF" and node["column_names"][-1].lower() in aliases:
            return True
        if node.get("column_name_alias"):
            return True
    return False
