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

from governance.develop.provenance import rewrite, source_table
from governance.develop.provenance_trees import PROVENANCE

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
    tree = qualify(parse_one(sql, dialect="duckdb"), dialect="duckdb", schema=schema)
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
    for _ in range(40):
        tables = fill(con, rng)
        for depth in (1, 2, 3, 4):
            q = query(rng, tables, depth)
            found, whole = traced(con, q.sql)
            assert not whole, q.sql
            assert Counter(found) == Counter(q.rows), q.sql
            used[depth] += len(found)
    assert all(n > 40 for n in used.values())
