"""Databricks Unity Catalog: column masks and row filters as SQL functions, grants last.

Unity Catalog knows no purposes: a purpose is a catalogue of its own over copies of the tables (`p_<purpose>`). It cannot hide
one column of a table, so a column that is closed is NULL for the subject. Statements commit one by one: the row filter first
becomes FALSE for all, and true conditions come after everything else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from sqlglot import exp

from governance.catalog.types import ColumnType
from governance.policy.exports.dialect import DATABRICKS
from governance.policy.exports.model import Export, Inexpressible, Scope, purpose_name
from governance.policy.exports.openings import Opening, openings, value
from governance.policy.filters import comparisons
from governance.policy.restrictions import Restricted, Restrictions

LIMITS = (
    "Run closed.sql (that a catalogue is not there is no fault), tables.sql, load the release's snapshot, run policy.sql; stop at "
    "the first error. Users' names are the subjects'. Drop the catalogue of a purpose that is no longer declared.",
    "One catalogue a purpose, with the names in `names`. One statement can join two of them.",
    "A column that is closed is there and NULL; its name and type can be seen.",
    "Owners, and whoever has MANAGE, can take masks and filters off. Earlier versions of a table are under them too, as it is now.",
    "Copies of a table (CREATE TABLE AS SELECT) hold what their maker sees.",
)
Tables = Mapping[tuple[str, str], Sequence[Opening]]


def export(scopes: Iterable[Scope]) -> Export:
    """`policy.sql`, `tables.sql` with the tables that it expects, and `closed.sql` that ends what an earlier export opened."""
    every = tuple(scopes)
    opened, losses = openings(every, DATABRICKS, check_table, check_column)
    names = {o.restrictions.purpose: purpose_name(o.restrictions.purpose) for o in opened}
    tables: dict[tuple[str, str], list[Opening]] = {}
    for opening in opened:
        place = purpose_name(opening.restrictions.purpose), opening.restrictions.table
        tables.setdefault(place, []).append(opening)
    subjects = _subjects(every)
    lines = [line for place, own in tables.items() for line in _policy(place, own, subjects)]
    head = "-- The access rules as masks, row filters and grants. Made by `gov policy export`; stop at the first error."
    places = dict.fromkeys((purpose_name(s.restrictions.purpose), s.restrictions.table) for s in every)
    closed = [place for place in places if place not in tables]
    files = {
        "closed.sql": _closed(closed),
        "tables.sql": _tables(tables),
        "policy.sql": "\n".join([head, *(f"{line};" for line in lines), ""]),
    }
    return Export("unity", files, losses, LIMITS, names)


def check_table(restrictions: Restrictions) -> None:
    """Raises Inexpressible: whether a row filter sees a masked column's own value is not for us to rely on."""
    if restrictions.row_filter is None:
        return
    raw = {column.name for column in restrictions.visible if column.outcome.kind == "raw"}
    for compare in comparisons(restrictions.row_filter):
        if compare.column not in raw:
            raise Inexpressible(f"the row filter compares {compare.column}, which the subject does not see as it is")


def check_column(column: Restricted) -> None:
    """Every column can have a mask."""


def _subjects(scopes: Iterable[Scope]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for scope in scopes:
        try:
            DATABRICKS.sayable(scope.restrictions.subject)
        except Inexpressible:
            continue
        found[scope.restrictions.subject] = None
    return tuple(found)


def _policy(place: tuple[str, str], opened: Sequence[Opening], subjects: Iterable[str]) -> Iterable[str]:
    catalog, table = place
    schema, _, name = table.partition(".")
    columns, filtered = _needed(opened), _filtered(opened)
    full = DATABRICKS.identifier(catalog, schema, name)
    rows = DATABRICKS.identifier(catalog, schema, f"gov_rows_{_short(name, _parameters(filtered))}")
    head = f"CREATE OR REPLACE FUNCTION {rows}({_parameters(filtered)}) RETURNS BOOLEAN RETURN"
    yield f"{head} FALSE"
    yield f"ALTER TABLE {full} SET ROW FILTER {rows} ON ({', '.join(map(DATABRICKS.identifier, filtered))})"
    yield _no_other_columns(catalog, schema, name, columns)
    for column, kind in columns.items():
        mask = DATABRICKS.identifier(catalog, schema, f"gov_mask_{_short(name, column)}")
        own = DATABRICKS.type_of(kind)
        yield f"CREATE OR REPLACE FUNCTION {mask}(`v` {own}) RETURNS {own} RETURN {_masked(column, kind, opened)}"
        yield f"ALTER TABLE {full} ALTER COLUMN {DATABRICKS.identifier(column)} SET MASK {mask}"
    for subject in subjects:
        yield f"REVOKE ALL PRIVILEGES ON TABLE {full} FROM {DATABRICKS.identifier(subject)}"
    yield f"{head} {_rows(opened)}"
    for opening in opened:
        user = DATABRICKS.identifier(opening.restrictions.subject)
        yield f"GRANT USE CATALOG ON CATALOG {DATABRICKS.identifier(catalog)} TO {user}"
        yield f"GRANT USE SCHEMA ON SCHEMA {DATABRICKS.identifier(catalog, schema)} TO {user}"
        yield f"GRANT SELECT ON TABLE {full} TO {user}"


def _masked(column: str, kind: ColumnType, opened: Iterable[Opening]) -> str:
    made = exp.Case(this=exp.CurrentUser(), default=exp.null())
    for opening in opened:
        own = next((c for c in opening.columns if c.name == column), None)
        if own is not None:
            shown = value(own, DATABRICKS.column("v"), DATABRICKS)
            made = made.when(exp.Literal.string(opening.restrictions.subject), shown)
    if not made.args.get("ifs"):
        return f"CAST(NULL AS {DATABRICKS.type_of(kind)})"
    return made.sql("databricks")


def _rows(opened: Iterable[Opening]) -> str:
    made = exp.Case(this=exp.CurrentUser(), default=exp.false())
    for opening in opened:
        made = made.when(exp.Literal.string(opening.restrictions.subject), opening.where or exp.true())
    return made.sql("databricks")


def _no_other_columns(catalog: str, schema: str, name: str, columns: Iterable[str]) -> str:
    """A statement that fails when the table has a column that no mask covers."""
    known = ", ".join(DATABRICKS.text(column.lower()) for column in columns)
    return (
        f"SELECT assert_true(count(*) = 0, 'gov: the table has columns that tables.sql has not') "  # noqa: S608
        f"FROM {DATABRICKS.identifier(catalog, 'information_schema', 'columns')} "
        f"WHERE table_schema = {DATABRICKS.text(schema.lower())} AND table_name = {DATABRICKS.text(name.lower())} "
        f"AND lower(column_name) NOT IN ({known})"
    )


def _needed(opened: Iterable[Opening]) -> dict[str, ColumnType]:
    """Columns that anybody sees or that a row filter compares."""
    found: dict[str, ColumnType] = {}
    for opening in opened:
        found.update({column.name: column.type for column in opening.columns})
    return {**found, **_filtered(opened)}


def _filtered(opened: Iterable[Opening]) -> dict[str, ColumnType]:
    found: dict[str, ColumnType] = {}
    for opening in opened:
        types = {column.name: column.type for column in opening.restrictions.columns}
        row_filter = opening.restrictions.row_filter
        found.update({c.column: types[c.column] for c in comparisons(row_filter)} if row_filter is not None else {})
    return found


def _parameters(columns: Mapping[str, ColumnType]) -> str:
    return ", ".join(f"{DATABRICKS.identifier(name)} {DATABRICKS.type_of(kind)}" for name, kind in columns.items())


def _tables(tables: Tables) -> str:
    lines = ["-- The tables that policy.sql expects: load them from the release's snapshot."]
    for (catalog, table), opened in tables.items():
        schema, _, name = table.partition(".")
        lines.append(f"CREATE CATALOG IF NOT EXISTS {DATABRICKS.identifier(catalog)};")
        lines.append(f"CREATE SCHEMA IF NOT EXISTS {DATABRICKS.identifier(catalog, schema)};")
        full = DATABRICKS.identifier(catalog, schema, name)
        lines.append(f"CREATE TABLE IF NOT EXISTS {full} ({_parameters(_needed(opened))});")
    return "\n".join([*lines, ""])


def _closed(places: Iterable[tuple[str, str]]) -> str:
    lines = ["-- Copies that nobody may see: an earlier export may have opened them."]
    for catalog, table in places:
        schema, _, name = table.partition(".")
        lines.append(f"DROP TABLE IF EXISTS {DATABRICKS.identifier(catalog, schema, name)};")
    return "\n".join([*lines, ""])


def _short(*names: str) -> str:
    return hashlib.sha256("\0".join(names).encode("utf-8")).hexdigest()[:24]
