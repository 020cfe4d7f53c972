"""The source rows of each result row, against a reckoning in Python that knows no SQL: random queries over small tables,
row by row and set by set."""

# ruff: noqa: S608 - queries made of fixed names

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pytest
from sqlglot import exp, parse_one
from sqlglot.optimizer.qualify import qualify

from governance.develop.forms import spelled_out, with_keys_apart
from governance.develop.provenance import rewrite
from governance.develop.provenance_trees import PROVENANCE, source_table

COLUMNS = {"a": ("id", "k", "v"), "b": ("id", "k", "v"), "c": ("id", "k", "v")}
Row = tuple[Any, ...]
Marked = list[tuple[Row, frozenset[tuple[str, int]]]]


@pytest.fixture(scope="module")
def con():
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("CREATE SCHEMA d; CREATE SCHEMA __source; CREATE SCHEMA __plain")
    yield connection
    connection.close()


def fill(con, rng: random.Random) -> dict[str, Marked]:
    """Three tables of some rows each, with NULLs and repeats."""
    tables: dict[str, Marked] = {}
    for name in COLUMNS:
        rows = [(n, rng.choice([1, 2, 3, None]), rng.choice([0, 1, 2, None])) for n in range(rng.randint(0, 7))]
        con.execute(f"CREATE OR REPLACE TABLE d.{name} (id INTEGER, k INTEGER, v INTEGER, _batch VARCHAR, _row BIGINT)")
        if rows:
            con.executemany(
                f"INSERT INTO d.{name} VALUES (?, ?, ?, '{name}', ?)", [(*r, n) for n, r in enumerate(rows)]
            )
        tables[name] = [(row, frozenset({(name, n)})) for n, row in enumerate(rows)]
    return tables


def traced(con, sql: str, needed=None) -> tuple[list[tuple[Row, frozenset]], dict[int, str]]:
    """Rows of a query with their source rows as the rewriting names them; a whole table is (table, None)."""
    schema = {"d": {name: dict.fromkeys((*own, "_batch", "_row"), "INT") for name, own in COLUMNS.items()}}
    tree = with_keys_apart(qualify(spelled_out(parse_one(sql, dialect="duckdb")), dialect="duckdb", schema=schema))
    names: list[str] = []
    for table in list(tree.find_all(exp.Table)):
        if table.db == "d":
            number = len(names)
            names.append(table.name)
            entry = f"[{{'s': {number}::USMALLINT, 'b': _batch, 'r': _row}}] AS {PROVENANCE}"
            con.execute(f"CREATE OR REPLACE VIEW __source.s{number} AS SELECT *, {entry} FROM d.{table.name}")
            con.execute(f"CREATE OR REPLACE VIEW __plain.s{number} AS SELECT * FROM d.{table.name}")
            made = exp.alias_(source_table(number), table.alias_or_name, table=True, quoted=True)
            for part in ("pivots", "joins"):
                made.set(part, table.args.get(part))
            table.replace(made)
    made = rewrite(tree, needed=needed)
    rows = con.execute(made.tree.sql("duckdb")).fetchall()
    found = [(row[:-1], frozenset((names[e["s"]], e["r"]) for e in row[-1] or ())) for row in rows]
    return found, dict(made.whole)


# A query is SQL and, beside it, what it means


@dataclass
class Query:
    sql: str
    rows: Marked
    columns: tuple[str, ...] = field(default=("id", "k", "v"))


def eq(x, y):
    return x is not None and y is not None and x == y


def scan(rng, tables) -> Query:
    name = rng.choice(list(COLUMNS))
    return Query(f"SELECT id, k, v FROM d.{name}", tables[name])


def filtered(rng, tables, depth) -> Query:
    q, n = query(rng, tables, depth - 1), rng.randint(0, 3)
    rows = [(row, p) for row, p in q.rows if row[1] is not None and row[1] <= n]
    return Query(f"SELECT id, k, v FROM ({q.sql}) q WHERE k <= {n}", rows)


def joined(rng, tables, depth) -> Query:
    left, right, outer = query(rng, tables, depth - 1), query(rng, tables, 0), rng.random() < 0.5
    rows: Marked = []
    for row, p in left.rows:
        partners = [(r, q) for r, q in right.rows if eq(row[1], r[1])]
        rows += [((row[0], row[1], r[2] if r[2] is not None else row[2]), p | q) for r, q in partners]
        if outer and not partners:
            rows.append(((row[0], row[1], row[2]), p))
    kind = "LEFT JOIN" if outer else "JOIN"
    return Query(
        f"SELECT l.id, l.k, coalesce(r.v, l.v) AS v FROM ({left.sql}) l {kind} ({right.sql}) r ON l.k = r.k", rows
    )


def grouped(rng, tables, depth) -> Query:
    q = query(rng, tables, depth - 1)
    groups: dict[Any, list] = {}
    for row, p in q.rows:
        groups.setdefault(row[1], []).append((row, p))
    rows = []
    for key, members in groups.items():
        values = [r[2] for r, _ in members if r[2] is not None]
        row = (len(members), key, sum(values) if values else None)
        rows.append((row, frozenset().union(*(p for _, p in members))))
    return Query(f"SELECT count(*)::INTEGER AS id, k, sum(v)::INTEGER AS v FROM ({q.sql}) q GROUP BY k", rows)


def merged(marked: Marked) -> Marked:
    found: dict[Row, frozenset] = {}
    for row, p in marked:
        found[row] = found.get(row, frozenset()) | p
    return list(found.items())


def united(rng, tables, depth) -> Query:
    left, right, every = query(rng, tables, depth - 1), query(rng, tables, 0), rng.random() < 0.5
    rows = left.rows + right.rows
    return Query(f"({left.sql}) UNION {'ALL ' if every else ''}({right.sql})", rows if every else merged(rows))


def distinct(rng, tables, depth) -> Query:
    q = query(rng, tables, depth - 1)
    rows = merged([((row[1], row[1], row[2]), p) for row, p in q.rows])
    return Query(f"SELECT DISTINCT k AS id, k, v FROM ({q.sql}) q", rows)


def intersected(rng, tables, depth) -> Query:
    left, right = (
        merged(query_rows(ql := query(rng, tables, depth - 1))),
        merged(query_rows(qr := query(rng, tables, 0))),
    )
    others = dict(right)
    rows = [(row, p | others[row]) for row, p in left if row in others]
    return Query(f"({ql.sql}) INTERSECT ({qr.sql})", rows)


def query_rows(q: Query) -> Marked:
    return q.rows


def windowed(rng, tables, depth) -> Query:
    name = rng.choice(list(COLUMNS))
    marked = tables[name]
    kind = rng.choice(["sum", "row_number", "rank", "lag", "frame"])
    rows = []
    for row, p in marked:
        part = sorted((m for m in marked if m[0][1] == row[1]), key=lambda m: m[0][0])
        at = [m[0][0] for m in part].index(row[0])
        match kind:
            case "sum":
                taken = part
                made = (
                    sum(m[0][2] for m in taken if m[0][2] is not None)
                    if any(m[0][2] is not None for m in taken)
                    else None
                )
            case "row_number":
                taken, made = part[: at + 1], at + 1
            case "rank":
                before = [m for m in part if less(m[0][2], row[2])]
                taken, made = [*before, (row, p)], len(before) + 1
            case "lag":
                taken = [part[at - 1]] if at else []
                made = taken[0][0][2] if taken else None
            case _:
                taken = part[max(0, at - 1) : at + 1]
                made = len(taken)
        rows.append(((row[0], row[1], made), p.union(*(m[1] for m in taken))))
    function = {
        "sum": "sum(v) OVER (PARTITION BY k)::INTEGER",
        "row_number": "row_number() OVER (PARTITION BY k ORDER BY id)::INTEGER",
        "rank": "rank() OVER (PARTITION BY k ORDER BY v NULLS LAST)::INTEGER",
        "lag": "lag(v) OVER w",
        "frame": "count(*) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)::INTEGER",
    }[kind]
    return Query(f"SELECT id, k, {function} AS v FROM d.{name} WINDOW w AS (PARTITION BY k ORDER BY id)", rows)


def less(x, y) -> bool:
    """Whether x comes before y, NULL last."""
    return x is not None and (y is None or x < y)


def witnessed(rng, tables, depth) -> Query:
    left, right, by_in = query(rng, tables, depth - 1), query(rng, tables, 0), rng.random() < 0.5
    rows = []
    for row, p in left.rows:
        fitting = [q for r, q in right.rows if eq(row[1], r[1])]
        if fitting:
            rows.append((row, p.union(*fitting)))
    condition = (
        f"l.k IN (SELECT k FROM ({right.sql}) r)"
        if by_in
        else f"EXISTS (SELECT 1 FROM ({right.sql}) r WHERE r.k = l.k)"
    )
    return Query(f"SELECT id, k, v FROM ({left.sql}) l WHERE {condition}", rows)


def valued(rng, tables, depth) -> Query:
    left, right = query(rng, tables, depth - 1), query(rng, tables, 0)
    rows = []
    for row, p in left.rows:
        fitting = [(r, q) for r, q in right.rows if eq(row[1], r[1])]
        values = [r[2] for r, _ in fitting if r[2] is not None]
        most = max(values, default=None)
        made = None if most is None or row[2] is None else most + row[2]
        rows.append(((row[0], row[1], made), p.union(*(q for _, q in fitting))))
    value = f"(SELECT max(r.v) FROM ({right.sql}) r WHERE r.k = l.k)"
    return Query(f"SELECT l.id, l.k, {value} + l.v AS v FROM ({left.sql}) l", rows)


def named(rng, tables, depth) -> Query:
    q = query(rng, tables, depth - 1)
    rows: Marked = []
    for row, p in q.rows:
        rows += [((row[0], row[1], other[2]), p | o) for other, o in q.rows if eq(row[0], other[0])]
    sql = f"WITH w AS ({q.sql}) SELECT x.id, x.k, y.v FROM w x JOIN w y ON x.id = y.id"
    return Query(sql, rows)


KINDS = [filtered, joined, grouped, united, distinct, intersected, windowed, witnessed, valued, named]


def query(rng: random.Random, tables, depth: int) -> Query:
    return rng.choice(KINDS)(rng, tables, depth) if depth > 0 else scan(rng, tables)


def test_source_rows_are_those_of_the_reckoning(con) -> None:
    rng = random.Random(11)
    used = Counter()
    for _ in range(25):
        tables = fill(con, rng)
        for depth in (1, 2, 3, 4):
            q = query(rng, tables, depth)
            found, whole = traced(con, q.sql)
            assert not whole, q.sql
            assert Counter(found) == Counter(q.rows), q.sql
            used[depth] += len(found)
    assert all(n > 25 for n in used.values())


SOME = "SELECT id, k, v FROM d.{}"
SUPERSETS = {
    "except": (f"{SOME.format('a')} EXCEPT {SOME.format('b')}", {"b"}, "absent"),
    "not exists": (f"{SOME.format('a')} x WHERE NOT EXISTS (SELECT 1 FROM d.b y WHERE y.k = x.k)", {"b"}, "absent"),
    "not in": (f"{SOME.format('a')} WHERE k NOT IN (SELECT k FROM d.b WHERE k IS NOT NULL)", {"b"}, "absent"),
    "anti join": ("SELECT x.id, x.k, x.v FROM d.a x ANTI JOIN d.b y ON x.k = y.k", {"b"}, "absent"),
    "any": (f"{SOME.format('a')} WHERE v > ANY (SELECT v FROM d.b)", {"b"}, "ANY"),
    "pivot": ("SELECT * FROM (SELECT k, v, id FROM d.a) PIVOT (sum(id) FOR v IN (0, 1))", {"a"}, "PIVOT"),
    "pivot of a table": ("SELECT * FROM d.a PIVOT (sum(id) FOR v IN (0, 1))", {"a"}, "PIVOT"),
    "pivot of a cte": (
        "WITH w AS (SELECT k, v, id FROM d.a) SELECT * FROM w PIVOT (sum(id) FOR v IN (0, 1))",
        {"a"},
        "PIVOT",
    ),
    "recursive union": (
        "WITH RECURSIVE t AS (SELECT k FROM d.a UNION SELECT b.v FROM t JOIN d.b b ON b.k = t.k) SELECT k FROM t",
        {"a", "b"},
        "recursive",
    ),
    "a nested query rolled up": (
        "SELECT count(*) AS n FROM d.a x GROUP BY ROLLUP (EXISTS (SELECT 1 FROM d.b y WHERE y.k = x.k))",
        {"a", "b"},
        "ROLLUP",
    ),
    "a nested query of distinct on": (
        "SELECT DISTINCT ON ((SELECT max(y.v) FROM d.b y WHERE y.k = x.k)) id FROM d.a x ORDER BY x.id",
        {"a", "b"},
        "DISTINCT ON",
    ),
    "except all": (f"{SOME.format('a')} EXCEPT ALL {SOME.format('b')}", {"a", "b"}, "EXCEPT ALL"),
}


@pytest.mark.parametrize("name", SUPERSETS)
def test_what_is_not_exact_says_so_and_names_whole_tables(con, name: str) -> None:
    sql, tables, reason = SUPERSETS[name]
    rng = random.Random(5)
    for _ in range(6):
        fill(con, rng)
        found, whole = traced(con, sql)
        assert all(reason in said for said in whole.values())
        assert whole
        assert Counter(row for row, _ in found) == Counter(con.execute(sql).fetchall())
        for _, rows in found:
            assert {table for table, row in rows if row is None} == tables


MOST = "SELECT max(y.v) FROM d.b y WHERE y.k = x.k"
EXACT = {
    "semi join": (
        "SELECT x.id FROM d.a x SEMI JOIN d.b y ON x.k = y.k",
        "SELECT x.id FROM d.a x WHERE k IN (SELECT k FROM d.b)",
    ),
    "lateral": (
        "SELECT x.id, l.m FROM d.a x, LATERAL (SELECT max(y.v) AS m FROM d.b y WHERE y.k = x.k) l",
        "SELECT x.id, (SELECT max(y.v) FROM d.b y WHERE y.k = x.k) FROM d.a x",
    ),
    "a count that is nested": (
        "SELECT x.id, (SELECT count(*) FROM d.b y WHERE y.k = x.k) AS n FROM d.a x",
        "SELECT x.id, l.n FROM d.a x, LATERAL (SELECT count(*) AS n FROM d.b y WHERE y.k = x.k) l",
    ),
    "a count that is compared": (
        "SELECT x.id FROM d.a x WHERE (SELECT count(y.v) FROM d.b y WHERE y.k = x.k) > 0",
        "SELECT x.id FROM d.a x, LATERAL (SELECT count(y.v) AS n FROM d.b y WHERE y.k = x.k) l WHERE l.n > 0",
    ),
    "a count of rows that are united": (
        "SELECT x.id, (SELECT count(*) FROM (SELECT v FROM d.b WHERE k = x.k UNION ALL SELECT v FROM d.c WHERE k = x.k)) FROM d.a x",
        "SELECT x.id, l.n FROM d.a x, LATERAL (SELECT count(*) AS n FROM "
        "(SELECT v FROM d.b WHERE k = x.k UNION ALL SELECT v FROM d.c WHERE k = x.k)) l",
    ),
    "qualify": (
        "SELECT id FROM d.a QUALIFY row_number() OVER (PARTITION BY k ORDER BY id) = 1",
        "SELECT DISTINCT ON (k) id FROM d.a ORDER BY k, id",
    ),
    "distinct in an order": (
        "SELECT DISTINCT k AS x, v FROM d.a ORDER BY a.v NULLS LAST, x DESC NULLS LAST LIMIT 3",
        "SELECT k, v FROM d.a GROUP BY k, v ORDER BY v NULLS LAST, k DESC NULLS LAST LIMIT 3",
    ),
    "recursive union all": (
        "WITH RECURSIVE t(i, d) AS (SELECT id, 0 FROM d.a UNION ALL SELECT t.i, t.d + 1 FROM t WHERE t.d < 2) SELECT i FROM t WHERE d = 2",
        "SELECT id FROM d.a",
    ),
    "cte with column names": ("WITH w(p, q) AS (SELECT id, k FROM d.a) SELECT p FROM w", "SELECT id FROM d.a"),
    "unnest": ("SELECT x.id, u.n FROM d.a x, unnest([1, 2]) AS u(n)", "SELECT id, n FROM d.a, (VALUES (1), (2)) t(n)"),
    "columns named anew": ("SELECT x.p FROM d.a AS x(p, q) WHERE x.q < 3", "SELECT id FROM d.a WHERE k < 3"),
    "a cte's columns named anew": (
        "WITH w AS (SELECT id, k FROM d.a) SELECT x.p, y.k FROM w AS x(p) JOIN w AS y ON y.id = x.k",
        "SELECT x.id, y.k FROM d.a x JOIN d.a y ON y.id = x.k",
    ),
    "lateral values": (
        "SELECT x.id, l.a, l.b FROM d.a x, LATERAL (VALUES (x.k, x.v), (x.v, 2)) AS l(a, b)",
        "SELECT id, k, v FROM d.a UNION ALL SELECT id, v, 2 FROM d.a",
    ),
    "lateral values of nested queries": (
        f"SELECT x.id, l.a FROM d.a x, LATERAL (VALUES (({MOST}), 1)) AS l(a, b)",
        f"SELECT x.id, ({MOST}) FROM d.a x",
    ),
    "ordinality": (
        "SELECT x.id, u.e, u.n FROM d.a x, unnest([x.k, x.v]) WITH ORDINALITY AS u(e, n)",
        "SELECT id, k, 1 FROM d.a UNION ALL SELECT id, v, 2 FROM d.a",
    ),
    "ordinality after lateral": (
        "SELECT x.id, u.n FROM d.a x LEFT JOIN LATERAL unnest([x.k, x.v]) WITH ORDINALITY AS u(e, n) ON TRUE",
        "SELECT id, 1 FROM d.a UNION ALL SELECT id, 2 FROM d.a",
    ),
    "groups by a nested query": (
        f"SELECT ({MOST}) AS m, count(*) AS n FROM d.a x GROUP BY ({MOST})",
        f"SELECT m, count(*) FROM (SELECT ({MOST}) AS m FROM d.a x) GROUP BY m",
    ),
    "groups by a nested query's name": (
        f"SELECT coalesce(({MOST}), 7) AS m, max(x.k) AS n FROM d.a x GROUP BY m",
        f"SELECT m, max(k) FROM (SELECT coalesce(({MOST}), 7) AS m, k FROM d.a x) GROUP BY m",
    ),
    "groups by all with a nested query": (
        f"SELECT ({MOST}) AS m, x.v, count(*) AS n FROM d.a x GROUP BY ALL",
        f"SELECT m, v, count(*) FROM (SELECT ({MOST}) AS m, v FROM d.a x) GROUP BY m, v",
    ),
    "groups by a nested query that is not selected": (
        f"SELECT count(*) AS n FROM d.a x GROUP BY ({MOST})",
        f"SELECT count(*) FROM (SELECT ({MOST}) AS m FROM d.a x) GROUP BY m",
    ),
    "groups by what exists": (
        "SELECT count(*) AS n FROM d.a x GROUP BY EXISTS (SELECT 1 FROM d.b y WHERE y.k = x.k)",
        "SELECT count(*) FROM (SELECT EXISTS (SELECT 1 FROM d.b y WHERE y.k = x.k) AS m FROM d.a x) GROUP BY m",
    ),
    "last value but NULL": (
        "SELECT id, last_value(v IGNORE NULLS) OVER (ORDER BY id) AS l FROM d.a",
        "SELECT x.id, (SELECT y.v FROM d.a y WHERE y.id <= x.id AND y.v IS NOT NULL ORDER BY y.id DESC LIMIT 1) FROM d.a x",
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_other_ways_to_write_the_same_have_the_same_source_rows(con, name: str) -> None:
    rng = random.Random(7)
    for _ in range(6):
        fill(con, rng)
        (found, whole), (other, others) = (traced(con, sql) for sql in EXACT[name])
        assert not whole
        assert not others
        if name != "last value but NULL":
            assert Counter(found) == Counter(other)
        else:  # the row itself decides only where it starts to look
            assert {row: rows | {("a", row[0])} for row, rows in found} == {
                row: rows | {("a", row[0])} for row, rows in other
            }


def test_rows_that_only_other_columns_compute_with_are_left_out(con) -> None:
    fill(con, random.Random(3))
    sql = "SELECT id, sum(v) OVER () AS total FROM d.a"
    whole, _ = traced(con, sql)
    own, _ = traced(con, sql, needed=["id"])
    assert {len(rows) for _, rows in own} == {1}
    assert {len(rows) for _, rows in whole} == {len(whole)}
