"""The PostgreSQL export on a real server: the same rows and values as our own answers, and what must not get through it."""

from __future__ import annotations

import math
from itertools import product

import psycopg
import pytest
from psycopg import sql

from governance.catalog.types import ColumnType, Field
from governance.policy.exports.model import Scope
from governance.policy.exports.postgres import export, reader_role, session_role
from governance.policy.filters import Compare
from governance.policy.lattice import RAW, Outcome
from governance.policy.restrictions import Restricted, Restrictions
from governance.use.export import read_scopes
from tests.policy.exports.conftest import connect
from tests.policy.exports.home import PEOPLE, PERSON, ROWS, published
from tests.use.asking import ask

IDENTIFIER = sql.Identifier


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    opened = published(tmp_path_factory.mktemp("home"))
    yield opened
    opened.database.close()


@pytest.fixture(scope="module")
def scopes(home):
    return read_scopes(catalogue=home.catalogue, database=home.database, lake=home.lake).scopes


@pytest.fixture(scope="module")
def applied(postgres_url, scopes):
    """(url, database) with the data copied in and the policy in force."""
    with connect(postgres_url, "postgres") as admin:
        admin.execute("CREATE DATABASE exported")
    load(postgres_url, "exported", export(scopes))
    yield postgres_url, "exported"
    with connect(postgres_url, "postgres") as admin:
        admin.execute("DROP DATABASE exported WITH (FORCE)")


def load(url, database, made, rows=ROWS):
    """Base tables, their rows, the policy."""
    with connect(url, database) as admin:
        admin.execute(made.files["tables.sql"])
        for table, (fields, values) in rows.items():
            schema, _, name = table.partition(".")
            found = admin.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) "
                "AND attnum > 0 ORDER BY attnum",
                [schema, name],
            ).fetchall()
            at = {f.name: i for i, f in enumerate(fields)}
            copy = sql.SQL("COPY {}.{} FROM STDIN").format(IDENTIFIER(schema), IDENTIFIER(name))
            if found:
                with admin.cursor().copy(copy) as target:
                    for row in values:
                        target.write_row([row[at[column]] for (column,) in found])
        admin.execute(made.files["policy.sql"])


def session(applied, subject, purpose):
    """A connection that the subject's login role has opened, for one purpose."""
    opened = connect(*applied, user=subject)
    opened.execute(sql.SQL("SET ROLE {}").format(IDENTIFIER(session_role(subject, purpose))))
    opened.execute(sql.SQL("SET search_path TO {}").format(IDENTIFIER(session_role(subject, purpose))))
    return opened


def canonical(rows):
    """Rows as a sorted multiset; NaN equals itself."""
    return sorted(repr(tuple("nan" if isinstance(v, float) and math.isnan(v) else v for v in row)) for row in rows)


def visible(made, scope):
    """The columns that the export has of a scope."""
    r = scope.restrictions
    losses = [x for x in made.losses if (x.subject, x.purpose, x.table) == (r.subject, r.purpose, r.table)]
    if any(not x.field for x in losses):
        return []
    return [c.name for c in r.visible if c.name not in {x.field for x in losses}]


def quoted(names):
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def test_every_subject_and_purpose_gets_what_our_own_answers_give(applied, home, scopes):
    made = export(scopes)
    compared = 0
    for scope in scopes:
        r, columns = scope.restrictions, visible(made, scope)
        name = r.table.partition(".")[2]
        if not columns:
            with connect(*applied) as admin, pytest.raises(psycopg.Error):
                admin.execute(
                    sql.SQL("SELECT * FROM {}.{}").format(
                        IDENTIFIER(session_role(r.subject, r.purpose)), IDENTIFIER(name)
                    )
                )
            continue
        statement = f"SELECT {quoted(columns)}, count(*) OVER () AS n FROM {{}}"  # noqa: S608
        own = ask(home, statement.format(r.table), r.subject, r.purpose)
        ours = list(zip(*(column.to_pylist() for column in own.columns), strict=True))
        with session(applied, r.subject, r.purpose) as con:
            theirs = con.execute(statement.format(quoted([name]))).fetchall()
        assert canonical(theirs) == canonical(ours)
        compared += len(columns)
    assert compared == 42


def test_filters_counts_and_joins_of_views_agree_with_ours(applied, home):
    statements = (
        ("SELECT count(*), count(name), min(place), max(place), sum(visits) FROM {person}", ("user:li", "counting")),
        ("SELECT name, place FROM {person} WHERE name = '王**'", ("user:li", "counting")),
        ("SELECT count(*) FROM {person} WHERE name = '王小明' OR phone = '13800138000'", ("user:li", "counting")),
        (
            "SELECT born, income, count(*) FROM {person} WHERE born < DATE '1981-01-01' GROUP BY born, income",
            ("user:li", "counting"),
        ),
        ("SELECT p.name, q.label, q.since FROM {person} p JOIN {place} q ON p.place = q.code", ("user:li", "counting")),
        ("SELECT name, phone, born FROM {person} WHERE phone LIKE '%8000'", ("user:zhao", "care")),
        ("SELECT count(*) FROM {person} WHERE phone LIKE '138%'", ("user:zhao", "care")),
    )
    for statement, who in statements:
        ours = ask(home, statement.format(person="curated.person", place="curated.place"), *who)
        with session(applied, *who) as con:
            theirs = con.execute(statement.format(person="person", place="place")).fetchall()
        assert canonical(theirs) == canonical(zip(*(c.to_pylist() for c in ours.columns), strict=True)), statement


def test_what_is_lost_is_named_with_rule_field_and_reason(scopes):
    losses = {(x.subject, x.purpose, x.table, x.field): x for x in export(scopes).losses}
    token = losses["user:li", "counting", "curated.person", "id_number"]
    assert (token.outcome, token.rules, token.closes) == ("mask:token", ("tokens",), True)
    assert "key" in token.reason
    assert losses["user:li", "counting", "curated.person", "ratio"].outcome == "aggregate_only(10)"
    held = losses["user:zhao", "counting", "curated.place", ""]
    assert (held.rules, "max_rows" in held.reason) == (("held",), True)


def denied(con, statement):
    """Refused for want of a right, or as unknown; not for another reason. The connection goes on."""
    with pytest.raises(
        (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)
    ):
        con.execute(statement)


def test_the_base_table_and_other_subjects_schemas_are_closed(applied):
    other = session_role("user:zhao", "care")
    with session(applied, "user:li", "counting") as con:
        denied(con, "SELECT * FROM curated.person")
        denied(con, "SELECT count(*) FROM curated.person")
        denied(con, "SELECT place FROM curated.person")
        denied(con, f'SELECT * FROM "{other}".person')  # noqa: S608
        denied(con, "COPY curated.person TO STDOUT")
        denied(con, "COPY (SELECT 1) TO PROGRAM 'cat'")
        denied(con, "COPY (SELECT 1) TO '/dev/null'")
        denied(con, "SELECT pg_read_file('/etc/passwd')")
        for change in ("INSERT INTO person (visits) VALUES (1)", "UPDATE person SET visits = 1", "DELETE FROM person"):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported)):
                con.execute(change)


def test_nobody_makes_anything_there(applied):
    with session(applied, "user:li", "counting") as con:
        denied(con, "CREATE TEMP TABLE t (x text)")
        denied(con, "CREATE VIEW v AS SELECT 1")
        denied(con, "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        denied(con, "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        denied(con, "CREATE SCHEMA mine")
        denied(con, "ALTER VIEW person SET (security_barrier = false)")
        denied(con, "ALTER TABLE curated.person DISABLE ROW LEVEL SECURITY")


def test_rights_cannot_be_taken_or_passed_on(applied):
    own, other, reader = (
        session_role("user:li", "counting"),
        session_role("user:zhao", "care"),
        reader_role("user:zhao", "care"),
    )
    with connect(*applied, user="user:li") as con:
        denied(con, f'SELECT * FROM "{own}".person')  # before SET ROLE: nothing is inherited  # noqa: S608
        for role in (other, reader, reader_role("user:li", "counting"), "user:zhao", "governor", "pg_read_all_data"):
            denied(con, sql.SQL("SET ROLE {}").format(IDENTIFIER(role)))
            denied(con, sql.SQL("GRANT {} TO {}").format(IDENTIFIER(role), IDENTIFIER("user:li")))
        con.execute(f'SET ROLE "{own}"')
        denied(con, f'GRANT SELECT ON curated.person TO "{own}"')
        denied(con, f'GRANT "{own}" TO "user:zhao"')
        denied(con, 'ALTER ROLE "user:li" SUPERUSER')
        denied(con, 'SET SESSION AUTHORIZATION "user:zhao"')
        with con.transaction():  # a grant without grant option gives nothing, only a warning
            con.execute(f'GRANT SELECT ON "{own}".person TO PUBLIC')
    with connect(*applied, user="user:zhao") as con:
        denied(con, f'SELECT * FROM "{own}".person')  # noqa: S608


def test_a_leaky_function_sees_only_rows_and_values_that_are_shown(applied):
    with connect(*applied) as admin:
        admin.execute("CREATE TABLE public.seen (what text)")
        admin.execute(
            "CREATE FUNCTION public.leak(v text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 SECURITY DEFINER "
            "SET search_path = public AS 'BEGIN INSERT INTO seen VALUES (v); RETURN true; END'"
        )
    for who in (("user:zhao", "care"), ("user:li", "counting")):
        with session(applied, *who) as con:
            con.execute(
                "SELECT count(*) FROM person WHERE public.leak(name) AND public.leak(phone) AND public.leak(place)"
            )
    with connect(*applied) as admin:
        seen = {what for (what,) in admin.execute("SELECT what FROM public.seen").fetchall()}
        admin.execute("DROP TABLE public.seen CASCADE")
        admin.execute("DROP FUNCTION public.leak")
    assert not {"13800138000", "13900139000", "HIDDEN"} & seen  # masked, masked, in a row that neither sees as it is
    assert "王小明" in seen  # zhao's own row


def test_an_error_on_a_hidden_row_is_not_raised(applied):
    hidden = [row[1] for row in PEOPLE if row[9] != "110101"]
    assert "HIDDEN" in hidden
    with session(applied, "user:zhao", "care") as con:
        for test in (
            "1 / (CASE WHEN name = 'HIDDEN' THEN 0 ELSE 1 END) = 1",
            "CASE WHEN place = '110102' THEN name::int END IS NULL",
        ):
            con.execute(f"SELECT count(*) FROM person WHERE {test}").fetchall()  # noqa: S608
    with session(applied, "user:li", "counting") as con:
        con.execute(
            "SELECT count(*) FROM person WHERE 1 / (CASE WHEN name = 'HIDDEN' THEN 0 ELSE 1 END) = 1"
        ).fetchall()


def test_statistics_of_the_base_table_are_closed(applied):
    with connect(*applied) as admin:
        admin.execute("ANALYZE curated.person")
        assert admin.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'person'").fetchone()[0] > 0
    for who in (("user:zhao", "care"), ("user:li", "counting")):
        with session(applied, *who) as con:
            assert con.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'curated'").fetchone() == (0,)
            denied(con, "SELECT * FROM pg_statistic")


def test_hostile_names_break_out_of_nothing(applied, home):
    purpose = "O'Brien; DROP \\ %"
    subject = "user:o'neil;--%s$gov$"
    odd = next(f.name for f in ROWS["curated.place"][0] if f.name.startswith("odd"))
    with session(applied, subject, purpose) as con:
        shown = con.execute(
            "SELECT * FROM place"
        ).fetchall()  # a row without a label passes neither `=` nor `not` of it
        assert canonical(shown) == canonical([ROWS["curated.place"][1][0]])
        assert [d.name for d in con.execute("SELECT * FROM place").description][2] == odd
    with connect(*applied) as admin:
        assert admin.execute("SELECT count(*) FROM curated.place").fetchone() == (3,)


def test_a_narrower_policy_takes_back_what_a_wider_one_gave(database, scopes):
    url, name = database
    load(url, name, export(scopes))
    with session(database, "user:li", "counting") as con:
        con.execute("SELECT * FROM person")
    with connect(url, name) as admin:
        admin.execute('GRANT SELECT (name) ON curated.person TO "user:li"')
        admin.execute("GRANT SELECT ON curated.person TO PUBLIC")
        kept = tuple(scope for scope in scopes if scope.restrictions.purpose == "care")
        for _ in range(2):  # again changes nothing
            admin.execute(export(kept).files["policy.sql"])
    with connect(url, name, user="user:li") as con:
        denied(con, "SELECT name FROM curated.person")
        denied(con, 'SET ROLE "user:li for counting"')
    with session(database, "user:zhao", "care") as con:
        assert con.execute("SELECT count(*) FROM person").fetchone() == (1,)
    with connect(url, name) as admin:
        assert admin.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'user:li for counting'").fetchone() == (
            0,
        )


def test_it_is_refused_whole_where_it_could_not_hold(database, scopes):
    url, name = database
    made = export(scopes)
    with connect(url, name) as admin:
        with pytest.raises(psycopg.errors.RaiseException, match="not there"):
            admin.execute(made.files["policy.sql"])
        admin.execute("ROLLBACK")
        admin.execute(made.files["tables.sql"])
        admin.execute("ALTER TABLE curated.person ALTER COLUMN place TYPE varchar(6)")
        with pytest.raises(psycopg.errors.RaiseException, match="in the type"):
            admin.execute(made.files["policy.sql"])
        admin.execute("ROLLBACK")
        admin.execute("ALTER TABLE curated.person ALTER COLUMN place TYPE text")
        admin.execute('GRANT pg_read_all_data TO "user:li"')
        with pytest.raises(psycopg.errors.RaiseException, match="member of a role"):
            admin.execute(made.files["policy.sql"])
        admin.execute("ROLLBACK")
        admin.execute('REVOKE pg_read_all_data FROM "user:li"')
        assert admin.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'user:%'").fetchone() == (0,)


def test_an_end_in_time_closes_the_view_by_itself(database, scopes):
    url, name = database
    near = next(
        s for s in scopes if (s.restrictions.subject, s.restrictions.purpose) == ("user:zhao", "care") and s.until
    )
    assert near.until.year == 2999
    soon = near.until.replace(year=2021)
    load(url, name, export([Scope(near.restrictions, soon)]), {"curated.person": (PERSON, PEOPLE)})
    with session(database, "user:zhao", "care") as con:
        assert con.execute("SELECT count(*) FROM person").fetchone() == (0,)


def test_no_two_pairs_share_a_role():
    subjects = ["user:a", "user:a for b", "user:" + "长" * 30, "user:x;"]
    purposes = ["b", "b for c", "c", "", 'q"', "长" * 30]
    roles = [make(*pair) for pair in product(subjects, purposes) for make in (session_role, reader_role)]
    assert len(set(roles)) == len(roles)
    assert all(len(role.encode()) <= 63 for role in roles)


def test_names_with_quotes_and_ends_of_statements_reach_the_server_as_names(database):
    """Also those that access.yaml and contracts do not let through."""
    subject, purpose = "user:q'uo\"te\\;--%s", 'p\'; DROP ROLE "governor"; -- \\ $gov$ %(x)s'
    table, field = 'curated.t"; DROP TABLE x; --', "f\"'\\; $gov$ -- {}"
    hostile = "v'; DROP TABLE x; -- \\' $gov$ %s"
    kind = ColumnType("string")
    columns = (
        Restricted(field, 1, kind, RAW, ("r",), "raw by r"),
        Restricted("masked'\"", 2, kind, Outcome.parse("mask:show-first-4"), ("r",), "masked by r"),
    )
    row_filter = Compare(column=field, op="in", values=(hostile, "other"))
    made = export([Scope(Restrictions(subject, purpose, table, 7, columns, row_filter, False, None, ("h",)))])
    assert not made.losses
    fields = tuple(Field(column.name, kind, column.name) for column in columns)
    load(*database, made, {table: (fields, [(hostile, "secret"), ("hidden", "secret")])})
    with session(database, subject, purpose) as con:
        name = table.partition(".")[2]
        rows = con.execute(sql.SQL("SELECT * FROM {}").format(IDENTIFIER(name))).fetchall()
    assert rows == [(hostile, "secrxx")]


def test_a_name_that_the_server_would_cut_is_closed_and_named():
    kind = ColumnType("string")
    columns = (Restricted("长" * 22, 1, kind, RAW, ("r",), ""), Restricted("a\nb", 2, kind, RAW, ("r",), ""))
    made = export([Scope(Restrictions("user:a", "p", "curated.t", 7, columns, None, False, None, ("h",)))])
    assert [(loss.field, loss.closes) for loss in made.losses] == [("长" * 22, True), ("a\nb", True)]
    assert "CREATE VIEW" not in made.files["policy.sql"]
