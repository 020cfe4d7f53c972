"""PostgreSQL: one script, one transaction, for a database of copies of the tables.

For each subject and purpose: a role to take on (`SET ROLE "user:li for statistics"`), a schema of the same name with
security-barrier views, and a reader role that owns the views and that nobody can take on. The reader has column grants and a
row-level policy on the base tables, so that each view is held by what lies under it too; the subject's roles have nothing but
the views. It is a schema a subject and not a purpose, because two subjects of one purpose see different columns.

The script first takes back all that an earlier one gave, refuses (and leaves everything as it was) when a column's type or a
role's memberships are not what it relies on, and calls no function that is not PostgreSQL's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from sqlglot import exp

from governance.catalog.names import CURATED
from governance.catalog.types import ColumnType
from governance.policy.exports.dialect import POSTGRES, bytewise
from governance.policy.exports.model import Export, Inexpressible, Scope
from governance.policy.exports.openings import Opening, openings, value
from governance.policy.exports.postgres_script import AFTER, BEFORE, CHECKS, END, ROLES
from governance.policy.filters import comparisons
from governance.policy.restrictions import Restricted, Restrictions

LIMITS = (
    "Run policy.sql as a superuser in a database for copies alone, and again after each load and each change of the policy: "
    "what it says is the decision of one moment.",
    "The base tables hold what was copied: load the release's snapshot. tables.sql has the columns that anybody sees or that a "
    "row filter compares, no others.",
    "Names of roles, schemas and columns, the views' definitions with the row filters in them, and row counts that EXPLAIN and pg_class estimate from whole "
    "tables can be read by everybody who may connect.",
    "A subject can carry an answer from one purpose to another, as it can with any answer it has.",
    "Dates before our era, infinite dates and doubles beyond 1e308 are NULL where a mask takes a part of them.",
)
NAME_BYTES = 63


def export(scopes: Iterable[Scope]) -> Export:
    """`policy.sql`, and `tables.sql` with the base tables that it expects."""
    every = tuple(scopes)
    opened, losses = openings(every, POSTGRES, check_table, check_column)
    subjects = dict.fromkeys(scope.restrictions.subject for scope in every if _is_name(scope.restrictions.subject))
    tables = dict.fromkeys(o.restrictions.table for o in opened)
    parts = [
        BEFORE,
        *_role_rows(subjects, opened),
        ROLES,
        *_column_rows(opened),
        CHECKS,
        *(_closed(table, subjects) for table in tables),
        *(line for opening in opened for line in _opened(opening)),
        *(_membership(*place) for place in dict.fromkeys(_who(o) for o in opened)),
        AFTER,
        END,
    ]
    names = {f"{subject} {purpose}": session_role(subject, purpose) for subject, purpose in map(_who, opened)}
    files = {"tables.sql": _tables(opened), "policy.sql": "\n".join(parts)}
    return Export("postgres", files, losses, LIMITS, names)


def session_role(subject: str, purpose: str) -> str:
    """The role (and schema) of a subject and purpose. No two share one: a subject's name holds no space.

    >>> session_role("user:li", "statistics")
    'user:li for statistics'
    """
    name = f"{subject} for {purpose}"
    if " " not in subject and _is_name(name):
        return name
    return "gov_s_" + hashlib.sha256(f"{len(subject)} {subject} {purpose}".encode()).hexdigest()[:40]


def reader_role(subject: str, purpose: str) -> str:
    """The role that owns the views; nobody can take it on."""
    return "gov_r_" + hashlib.sha256(f"{len(subject)} {subject} {purpose}".encode()).hexdigest()[:40]


def check_table(restrictions: Restrictions) -> None:
    """Raises Inexpressible: PostgreSQL cuts longer names, and two could become one."""
    schema, _, name = restrictions.table.partition(".")
    filtered = () if restrictions.row_filter is None else comparisons(restrictions.row_filter)
    for part in (schema, name, restrictions.subject, *(compare.column for compare in filtered)):
        if not _is_name(part):
            raise Inexpressible(f"a name of more than {NAME_BYTES} bytes, or an empty one")


def check_column(column: Restricted) -> None:
    """Raises Inexpressible for a name that PostgreSQL would cut."""
    if not _is_name(column.name):
        raise Inexpressible(f"a name of more than {NAME_BYTES} bytes, or an empty one")


def _is_name(name: str) -> bool:
    return 0 < len(name.encode("utf-8", "replace")) <= NAME_BYTES and not any(ord(sign) < 32 for sign in name)


def _who(opening: Opening) -> tuple[str, str]:
    return opening.restrictions.subject, opening.restrictions.purpose


def _role_rows(subjects: Iterable[str], opened: Sequence[Opening]) -> Iterable[str]:
    pairs = dict.fromkeys(map(_who, opened))
    rows = [(subject, "login") for subject in subjects]
    rows += [(session_role(*pair), "session") for pair in pairs] + [(reader_role(*pair), "reader") for pair in pairs]
    return (f"INSERT INTO pg_temp.gov_role VALUES ({_text(name)}, '{kind}');" for name, kind in rows)  # noqa: S608  (literals)


def _column_rows(opened: Iterable[Opening]) -> Iterable[str]:
    for table, columns in _needed(opened).items():
        schema, _, name = table.partition(".")
        for column, kind in columns.items():
            row = ", ".join(map(_text, (schema, name, column, _formatted(kind))))
            yield f"INSERT INTO pg_temp.gov_column VALUES ({row});"  # noqa: S608  (literals)


def _closed(table: str, subjects: Iterable[str]) -> str:
    schema, _, name = table.partition(".")
    base = POSTGRES.identifier(schema, name)
    everybody = ", ".join(["PUBLIC", *(POSTGRES.identifier(subject) for subject in subjects)])
    return (
        f"REVOKE ALL ON SCHEMA {POSTGRES.identifier(schema)} FROM {everybody};\n"
        f"REVOKE ALL ON TABLE {base} FROM {everybody};\n"
        f"ALTER TABLE {base} ENABLE ROW LEVEL SECURITY;"
    )


def _opened(opening: Opening) -> Iterable[str]:
    schema, name = opening.place
    own, reader = session_role(*_who(opening)), POSTGRES.identifier(reader_role(*_who(opening)))
    session, base = POSTGRES.identifier(own), POSTGRES.identifier(schema, name)
    view = POSTGRES.identifier(own, view_name(opening))
    read = ", ".join(POSTGRES.identifier(column) for column in _reads(opening))
    using = opening.where.sql("postgres") if opening.where is not None else "TRUE"
    yield f"CREATE SCHEMA IF NOT EXISTS {session} AUTHORIZATION {reader};"
    yield f"GRANT USAGE ON SCHEMA {POSTGRES.identifier(schema)} TO {reader};"
    yield f"GRANT SELECT ({read}) ON TABLE {base} TO {reader};"
    yield f"CREATE POLICY {reader} ON {base} AS PERMISSIVE FOR SELECT TO {reader} USING ({using});"
    yield f"CREATE VIEW {view} WITH (security_barrier = TRUE) AS {_select(opening)};"
    yield f"ALTER VIEW {view} OWNER TO {reader};"
    yield f"REVOKE ALL ON TABLE {view} FROM PUBLIC;"
    yield f"REVOKE ALL ON SCHEMA {session} FROM PUBLIC;"
    yield f"GRANT USAGE ON SCHEMA {session} TO {session};"
    yield f"GRANT SELECT ON TABLE {view} TO {session};"


def view_name(opening: Opening) -> str:
    """A curated table's view has its short name."""
    schema, name = opening.place
    return name if schema == CURATED else opening.restrictions.table


def _select(opening: Opening) -> str:
    schema, name = opening.place
    columns = [exp.alias_(_shown(column), column.name, quoted=True) for column in opening.columns]
    base = exp.table_(exp.to_identifier(name, quoted=True), db=exp.to_identifier(schema, quoted=True))
    query = exp.select(*columns).from_(base)
    return (query.where(opening.where) if opening.where is not None else query).sql("postgres")


def _shown(column: Restricted) -> exp.Expr:
    """Texts compare bytewise, as in our own answers."""
    shown = value(column, POSTGRES.cast(POSTGRES.column(column.name), column.type), POSTGRES)
    return bytewise(shown, column.type, POSTGRES)


def _membership(subject: str, purpose: str) -> str:
    return f"GRANT {POSTGRES.identifier(session_role(subject, purpose))} TO {POSTGRES.identifier(subject)};"


def _reads(opening: Opening) -> tuple[str, ...]:
    """Columns of the base table that the view reads."""
    row_filter = opening.restrictions.row_filter
    filtered = () if row_filter is None else tuple(compare.column for compare in comparisons(row_filter))
    return tuple(dict.fromkeys((*(column.name for column in opening.columns), *filtered)))


def _needed(opened: Iterable[Opening]) -> dict[str, dict[str, ColumnType]]:
    """Table -> its columns that some view reads, with their types."""
    found: dict[str, dict[str, ColumnType]] = {}
    for opening in opened:
        types = {column.name: column.type for column in opening.restrictions.columns}
        found.setdefault(opening.restrictions.table, {}).update({name: types[name] for name in _reads(opening)})
    return found


def _tables(opened: Iterable[Opening]) -> str:
    lines: list[str] = ["-- The base tables that policy.sql expects: load them from the release's snapshot.", "BEGIN;"]
    for table, columns in _needed(opened).items():
        schema, _, name = table.partition(".")
        declared = ", ".join(f"{POSTGRES.identifier(n)} {POSTGRES.type_of(kind)}" for n, kind in columns.items())
        lines.append(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES.identifier(schema)};")
        lines.append(f"CREATE TABLE IF NOT EXISTS {POSTGRES.identifier(schema, name)} ({declared});")
    return "\n".join([*lines, "COMMIT;", ""])


def _formatted(kind: ColumnType) -> str:
    """The type as PostgreSQL's `format_type` has it."""
    written = POSTGRES.type_of(kind).lower()
    return "timestamp without time zone" if kind.kind == "timestamp" else written


def _text(value: str) -> str:
    return POSTGRES.text(value)
