"""Column lineage of many shapes of SQL, each compared with a hand-made answer and executed by DuckDB.

An answer is written `output: input.column SUBTYPE[!]`, `!` for masking; `*` is the set of rows. r is
police.residents, i is social.insured.
"""

# ruff: noqa: S608 - queries made of fixed texts

from __future__ import annotations

import duckdb
import pytest

from governance.develop.analyse import analyse
from governance.develop.schema import schema_of
from tests.develop.city import catalogue, model

SHORT = {"police.residents": "r", "social.insured": "i"}

KIND = "SELECT max(i.kind) FROM social.insured i WHERE i.id_number__token = r.id_number__token"
GROUPS = (
    "k: r.id_number__token FILTER | k: i.id_number__token FILTER | *: r.id_number__token GROUP_BY | *: i.id_number__token GROUP_BY "
    "| *: i.kind GROUP_BY"
)
GOLDEN = {
    "plain columns": (
        "SELECT name, birth_date AS born FROM police.residents",
        "name: r.name IDENTITY | born: r.birth_date IDENTITY",
    ),
    "functions and casts": (
        "SELECT upper(name) AS n, CAST(birth_date AS VARCHAR) AS b FROM police.residents",
        "n: r.name TRANSFORMATION | b: r.birth_date TRANSFORMATION",
    ),
    "star": (
        "SELECT * FROM (SELECT name, division FROM police.residents)",
        "name: r.name IDENTITY | division: r.division IDENTITY",
    ),
    "star with exclude and replace": (
        "SELECT * EXCLUDE (score, month, _batch, _row, id_number, id_number__token) REPLACE (lower(kind) AS kind) "
        "FROM social.insured",
        "kind: i.kind TRANSFORMATION | salary: i.salary IDENTITY",
    ),
    "from first": ("FROM police.residents SELECT division", "division: r.division IDENTITY"),
    "where": (
        "SELECT name FROM police.residents WHERE division = '110101' AND birth_date IS NOT NULL",
        "name: r.name IDENTITY | *: r.division FILTER | *: r.birth_date FILTER",
    ),
    "join on tokens": (
        "SELECT r.name, i.kind FROM police.residents r JOIN social.insured i ON r.id_number__token = i.id_number__token",
        "name: r.name IDENTITY | kind: i.kind IDENTITY | *: r.id_number__token JOIN | *: i.id_number__token JOIN",
    ),
    "join using": (
        "SELECT name, kind FROM police.residents JOIN social.insured USING (id_number__token)",
        "name: r.name IDENTITY | kind: i.kind IDENTITY | *: r.id_number__token JOIN | *: i.id_number__token JOIN",
    ),
    "left join with coalesce": (
        "SELECT coalesce(i.kind, r.division) AS k FROM police.residents r "
        "LEFT JOIN social.insured i ON i.id_number__token = r.id_number__token",
        "k: i.kind TRANSFORMATION | k: r.division TRANSFORMATION | *: r.id_number__token JOIN | *: i.id_number__token JOIN",
    ),
    "group by and aggregates": (
        "SELECT kind, sum(salary) AS total, count(*) AS n, count(DISTINCT id_number__token) AS people "
        "FROM social.insured GROUP BY kind HAVING max(month) > 1",
        "kind: i.kind IDENTITY | total: i.salary AGGREGATION | people: i.id_number__token AGGREGATION "
        "| *: i.kind GROUP_BY | *: i.month FILTER",
    ),
    "group by all": (
        "SELECT kind, max(month) AS m FROM social.insured GROUP BY ALL",
        "kind: i.kind IDENTITY | m: i.month AGGREGATION | *: i.kind GROUP_BY",
    ),
    "aggregate over an expression": (
        "SELECT sum(CASE WHEN kind = 'a' THEN salary ELSE 0 END) AS s FROM social.insured",
        "s: i.salary AGGREGATION | s: i.kind CONDITIONAL",
    ),
    "filtered aggregate": (
        "SELECT count(*) FILTER (WHERE kind = 'a') AS n FROM social.insured",
        "n: i.kind CONDITIONAL",
    ),
    "case": (
        "SELECT CASE WHEN birth_date < DATE '2000-01-01' THEN name ELSE division END AS x FROM police.residents",
        "x: r.birth_date CONDITIONAL | x: r.name TRANSFORMATION | x: r.division TRANSFORMATION",
    ),
    "nullif and if": (
        "SELECT nullif(kind, 'x') AS a, if(month > 3, salary, NULL) AS b FROM social.insured",
        "a: i.kind TRANSFORMATION | b: i.month CONDITIONAL | b: i.salary TRANSFORMATION",
    ),
    "masking": (
        "SELECT sha256(name) AS h, md5(upper(division)) AS d, id_number__token AS t FROM police.residents",
        "h: r.name TRANSFORMATION! | d: r.division TRANSFORMATION! | t: r.id_number__token IDENTITY",
    ),
    "window": (
        "SELECT name, row_number() OVER (PARTITION BY division ORDER BY _row) AS n FROM police.residents",
        "name: r.name IDENTITY | n: r.division WINDOW | n: r._row WINDOW",
    ),
    "named window and lag": (
        "SELECT lag(salary) OVER w AS before FROM social.insured WINDOW w AS (PARTITION BY kind ORDER BY _batch, _row)",
        "before: i.salary AGGREGATION | before: i.kind WINDOW | before: i._batch WINDOW | before: i._row WINDOW",
    ),
    "qualify": (
        "SELECT name FROM police.residents QUALIFY row_number() OVER (PARTITION BY division ORDER BY _row) = 1",
        "name: r.name IDENTITY | *: r.division FILTER | *: r._row FILTER",
    ),
    "cte read twice": (
        "WITH a AS (SELECT id_number__token AS t, sum(salary) AS s FROM social.insured GROUP BY 1) "
        "SELECT x.s, y.s + 1 AS z FROM a x JOIN a y ON x.t = y.t",
        "s: i.salary AGGREGATION | z: i.salary AGGREGATION | *: i.id_number__token GROUP_BY | *: i.id_number__token JOIN",
    ),
    "star in a cte reads only what comes out": (
        "WITH a AS (SELECT * FROM police.residents) SELECT division FROM a",
        "division: r.division IDENTITY",
    ),
    "scalar subquery": (
        "SELECT r.division, (SELECT max(i.salary) FROM social.insured i WHERE i.id_number__token = r.id_number__token) AS m "
        "FROM police.residents r",
        "division: r.division IDENTITY | m: i.salary AGGREGATION | m: i.id_number__token FILTER | m: r.id_number__token FILTER",
    ),
    "exists": (
        "SELECT name FROM police.residents r WHERE EXISTS "
        "(SELECT 1 FROM social.insured i WHERE i.id_number__token = r.id_number__token)",
        "name: r.name IDENTITY | *: i.id_number__token FILTER | *: r.id_number__token FILTER",
    ),
    "in a subquery": (
        "SELECT name FROM police.residents WHERE id_number__token IN (SELECT id_number__token FROM social.insured WHERE month = 1)",
        "name: r.name IDENTITY | *: r.id_number__token FILTER | *: i.id_number__token FILTER | *: i.month FILTER",
    ),
    "union all": (
        "SELECT name AS x FROM police.residents UNION ALL SELECT kind FROM social.insured",
        "x: r.name IDENTITY | x: i.kind IDENTITY",
    ),
    "union": (
        "SELECT division AS x FROM police.residents UNION SELECT kind FROM social.insured",
        "x: r.division IDENTITY | x: i.kind IDENTITY | *: r.division GROUP_BY | *: i.kind GROUP_BY",
    ),
    "except": (
        "SELECT division AS x FROM police.residents EXCEPT SELECT kind FROM social.insured",
        "x: r.division IDENTITY | *: r.division GROUP_BY | *: i.kind FILTER",
    ),
    "distinct": (
        "SELECT DISTINCT division FROM police.residents",
        "division: r.division IDENTITY | *: r.division GROUP_BY",
    ),
    "distinct on": (
        "SELECT DISTINCT ON (division) division, name FROM police.residents ORDER BY division, _row",
        "division: r.division IDENTITY | name: r.name IDENTITY | *: r.division GROUP_BY | *: r.division SORT | *: r._row SORT",
    ),
    "order and limit": (
        "SELECT name FROM police.residents ORDER BY id_number__token LIMIT 3",
        "name: r.name IDENTITY | *: r.id_number__token SORT",
    ),
    "recursive cte": (
        "WITH RECURSIVE t(a, b) AS (SELECT division, name FROM police.residents UNION ALL "
        "SELECT t.b, i.kind FROM t JOIN social.insured i ON i.kind = t.a AND i.month = 99) SELECT a FROM t",
        "a: r.division IDENTITY | a: r.name IDENTITY | a: i.kind IDENTITY | *: i.kind JOIN | *: i.month JOIN "
        "| *: r.division JOIN | *: r.name JOIN",
    ),
    "unnest": (
        "SELECT u.part FROM police.residents r, unnest(string_split(r.name, ' ')) AS u(part)",
        "*: r.name JOIN | part: r.name TRANSFORMATION",
    ),
    "unnest in the select list": (
        "SELECT unnest(string_split(name, ' ')) AS part FROM police.residents",
        "*: r.name JOIN | part: r.name TRANSFORMATION",
    ),
    "lateral": (
        "SELECT r.division, l.s FROM police.residents r, "
        "LATERAL (SELECT sum(i.salary) AS s FROM social.insured i WHERE i.id_number__token = r.id_number__token) l",
        "division: r.division IDENTITY | s: i.salary AGGREGATION | *: i.id_number__token FILTER | *: r.id_number__token FILTER",
    ),
    "values": (
        "SELECT i.kind, v.label FROM social.insured i JOIN (VALUES ('a', 'first')) v(code, label) ON v.code = i.kind",
        "kind: i.kind IDENTITY | *: i.kind JOIN",
    ),
    "pivot": (
        "SELECT p.division, p.a FROM (SELECT r.division, i.kind, i.salary FROM police.residents r "
        "JOIN social.insured i ON r.id_number__token = i.id_number__token) PIVOT (sum(salary) FOR kind IN ('a', 'b')) AS p",
        "division: r.division IDENTITY | a: i.salary AGGREGATION | a: i.kind CONDITIONAL | *: r.division GROUP_BY "
        "| *: r.id_number__token JOIN | *: i.id_number__token JOIN",
    ),
    "pivot with several aggregates": (
        "SELECT p.month, p.a_s, p.a_n FROM (SELECT month, kind, salary FROM social.insured) "
        "PIVOT (sum(salary) AS s, count(*) AS n FOR kind IN ('a')) AS p",
        "month: i.month IDENTITY | a_s: i.salary AGGREGATION | a_s: i.kind CONDITIONAL | a_n: i.kind CONDITIONAL "
        "| *: i.month GROUP_BY",
    ),
    "pivot read by star": (
        "SELECT * FROM (SELECT month, kind, salary FROM social.insured) PIVOT (sum(salary) FOR kind IN ('a'))",
        "month: i.month IDENTITY | a: i.salary AGGREGATION | a: i.kind CONDITIONAL | *: i.month GROUP_BY",
    ),
    "unpivot": (
        "SELECT u.kind, u.k, u.v FROM (SELECT kind, month, _row FROM social.insured) UNPIVOT (v FOR k IN (month, _row)) AS u",
        "kind: i.kind IDENTITY | v: i.month IDENTITY | v: i._row IDENTITY | *: i.month FILTER | *: i._row FILTER",
    ),
    "unpivot with nulls and other names": (
        "SELECT u.x, u.z FROM (SELECT kind, month, _row FROM social.insured) "
        "UNPIVOT INCLUDE NULLS (v FOR k IN (month, _row)) AS u(x, y, z)",
        "x: i.kind IDENTITY | z: i.month IDENTITY | z: i._row IDENTITY",
    ),
    "unnest of structs": (
        "SELECT u.x.n AS n FROM (SELECT [{'n': name, 'd': division}] AS l FROM police.residents) s, unnest(s.l) AS u(x)",
        "n: r.name TRANSFORMATION | n: r.division TRANSFORMATION | *: r.name JOIN | *: r.division JOIN",
    ),
    "a field of a struct by brackets": (
        "SELECT a['b'] AS b FROM (SELECT {'b': name} AS a FROM police.residents) s",
        "b: r.name TRANSFORMATION",
    ),
    "lambda": (
        "SELECT list_transform(string_split(name, ' '), lambda x: x || division) AS l FROM police.residents",
        "l: r.name TRANSFORMATION | l: r.division TRANSFORMATION",
    ),
    "union by name": (
        "SELECT name AS x, division AS y FROM police.residents UNION ALL BY NAME SELECT month AS y, kind AS x FROM social.insured",
        "x: r.name IDENTITY | x: i.kind IDENTITY | y: r.division IDENTITY | y: i.month IDENTITY",
    ),
    "union by name with columns of one side": (
        "SELECT name AS x FROM police.residents UNION ALL BY NAME SELECT month AS y, kind AS x FROM social.insured",
        "x: r.name IDENTITY | x: i.kind IDENTITY | y: i.month IDENTITY",
    ),
    "intersect": (
        "SELECT division AS x FROM police.residents INTERSECT SELECT kind FROM social.insured",
        "x: r.division IDENTITY | *: r.division GROUP_BY | *: i.kind FILTER",
    ),
    "set operations in brackets": (
        "(SELECT name AS x FROM police.residents UNION ALL SELECT kind FROM social.insured) EXCEPT SELECT division FROM police.residents",
        "x: r.name IDENTITY | x: i.kind IDENTITY | *: r.name GROUP_BY | *: i.kind GROUP_BY | *: r.division FILTER",
    ),
    "recursive cte by union": (
        "WITH RECURSIVE t AS (SELECT kind AS k FROM social.insured UNION SELECT t.k || r.division FROM t "
        "JOIN police.residents r ON r.name = t.k) SELECT k FROM t",
        "k: i.kind IDENTITY | k: i.kind TRANSFORMATION | k: r.division TRANSFORMATION | *: i.kind GROUP_BY | *: i.kind JOIN "
        "| *: r.division GROUP_BY | *: r.division JOIN | *: r.name JOIN",
    ),
    "correlated over two levels": (
        "SELECT (SELECT max(i.month) FROM social.insured i WHERE EXISTS (SELECT 1 FROM social.insured j "
        "WHERE j.kind = i.kind AND j.id_number__token = r.id_number__token)) AS m FROM police.residents r",
        "m: i.month AGGREGATION | m: i.kind FILTER | m: i.id_number__token FILTER | m: r.id_number__token FILTER",
    ),
    "rollup": (
        "SELECT kind, month, sum(salary) AS s FROM social.insured GROUP BY ROLLUP (kind, month)",
        "kind: i.kind IDENTITY | month: i.month IDENTITY | s: i.salary AGGREGATION | *: i.kind GROUP_BY | *: i.month GROUP_BY",
    ),
    "semi join": (
        "SELECT name FROM police.residents r SEMI JOIN social.insured i ON r.id_number__token = i.id_number__token",
        "name: r.name IDENTITY | *: r.id_number__token JOIN | *: i.id_number__token JOIN",
    ),
    "window with filter and frame": (
        "SELECT sum(salary) FILTER (WHERE month > 1) OVER (PARTITION BY kind ORDER BY month "
        "RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM social.insured",
        "s: i.salary AGGREGATION | s: i.month CONDITIONAL | s: i.month WINDOW | s: i.kind WINDOW",
    ),
    "window over groups": (
        "SELECT kind, rank() OVER (ORDER BY sum(salary)) AS r FROM social.insured GROUP BY kind",
        "kind: i.kind IDENTITY | r: i.salary WINDOW | *: i.kind GROUP_BY",
    ),
    "order by all": (
        "SELECT name, division FROM police.residents ORDER BY ALL",
        "name: r.name IDENTITY | division: r.division IDENTITY | *: r.name SORT | *: r.division SORT",
    ),
    "limit by a query": (
        "SELECT kind FROM social.insured LIMIT (SELECT max(_row) FROM police.residents)",
        "kind: i.kind IDENTITY | *: r._row FILTER",
    ),
    "range of a column": (
        "SELECT r.name, g.n FROM police.residents r, range(r._row) AS g(n)",
        "name: r.name IDENTITY | n: r._row TRANSFORMATION | *: r._row JOIN",
    ),
    "unnest that nobody reads": (
        "SELECT r.division FROM police.residents r, unnest(string_split(r.name, ' ')) AS u(part)",
        "division: r.division IDENTITY | *: r.name JOIN",
    ),
    "unnest that nobody reads, in a CTE": (
        "WITH a AS (SELECT division, unnest(string_split(name, ' ')) AS p FROM police.residents) SELECT division FROM a",
        "division: r.division IDENTITY | *: r.name JOIN",
    ),
    "range that nobody reads": (
        "SELECT r.division FROM police.residents r JOIN generate_series(1, r._row) AS g(n) ON TRUE",
        "division: r.division IDENTITY | *: r._row JOIN",
    ),
    "rows of a list that exist": (
        "SELECT r.division FROM police.residents r WHERE EXISTS (SELECT 1 FROM unnest(string_split(r.name, ' ')) AS u(p))",
        "division: r.division IDENTITY | *: r.name FILTER",
    ),
    "rows of a range, counted": (
        "SELECT (SELECT count(*) FROM generate_series(1, r._row)) AS n FROM police.residents r",
        "n: r._row JOIN",
    ),
    "a frame that a column bounds": (
        "SELECT sum(salary) OVER (ORDER BY month RANGE BETWEEN _row PRECEDING AND CURRENT ROW) AS s FROM social.insured",
        "s: i.salary AGGREGATION | s: i.month WINDOW | s: i._row WINDOW",
    ),
    "struct": (
        "SELECT s.a.b AS c FROM (SELECT {'b': name, 'd': division} AS a FROM police.residents) s",
        "c: r.name TRANSFORMATION | c: r.division TRANSFORMATION",
    ),
    "ordered list": (
        "SELECT string_agg(kind, ',' ORDER BY kind) AS kinds FROM social.insured",
        "kinds: i.kind AGGREGATION | kinds: i.kind SORT",
    ),
    "alias used again": (
        "SELECT name AS n, n || '!' AS m FROM police.residents",
        "n: r.name IDENTITY | m: r.name TRANSFORMATION",
    ),
    "literals and counts have no source": ("SELECT 1 AS one, count(*) AS n FROM police.residents", ""),
    "columns of a table named anew": (
        "SELECT x.p, x.q FROM police.residents AS x(n, p, b, q) WHERE x.b IS NOT NULL",
        "p: r.name IDENTITY | q: r.division IDENTITY | *: r.birth_date FILTER",
    ),
    "the first column of a table named anew": (
        "SELECT p, name FROM police.residents x(p) WHERE division = 'a'",
        "p: r.id_number IDENTITY | name: r.name IDENTITY | *: r.division FILTER",
    ),
    "columns of a CTE named anew, twice": (
        "WITH w(a, b) AS (SELECT name, division FROM police.residents) "
        "SELECT x.p, y.a FROM w AS x(p, q) JOIN w y ON y.b = x.q",
        "p: r.name IDENTITY | a: r.name IDENTITY | *: r.division JOIN",
    ),
    "lateral values of two columns": (
        "SELECT r.division, v.a, v.b FROM police.residents r, LATERAL (VALUES (r.name, r._row), (r.note, 2)) AS v(a, b)",
        "division: r.division IDENTITY | a: r.name TRANSFORMATION | a: r.note TRANSFORMATION | b: r._row TRANSFORMATION",
    ),
    "lateral values without names": (
        "SELECT v.col1 FROM police.residents r, LATERAL (VALUES (r.name, r._row)) AS v",
        "col1: r._row TRANSFORMATION",
    ),
    "a list with the places of its values": (
        "SELECT r.division, u.n FROM police.residents r, unnest(string_split(r.name, ' ')) WITH ORDINALITY AS u(p, n)",
        "division: r.division IDENTITY | n: r.name TRANSFORMATION | *: r.name JOIN",
    ),
    "a lateral list with the places of its values": (
        "SELECT r.division, u.p, u.n FROM police.residents r "
        "LEFT JOIN LATERAL unnest(string_split(r.name, ' ')) WITH ORDINALITY AS u(p, n) ON TRUE",
        "division: r.division IDENTITY | p: r.name TRANSFORMATION | n: r.name TRANSFORMATION | *: r.name JOIN",
    ),
    "groups by a nested query": (
        f"SELECT ({KIND}) AS k, count(*) AS n FROM police.residents r GROUP BY ({KIND})",
        f"k: i.kind AGGREGATION | {GROUPS}",
    ),
    "groups by a nested query's place": (
        f"SELECT upper(({KIND})) AS k, count(*) AS n FROM police.residents r GROUP BY 1",
        f"k: i.kind AGGREGATION | {GROUPS}",
    ),
    "groups by all with a nested query": (
        f"SELECT ({KIND}) AS k, count(*) AS n FROM police.residents r GROUP BY ALL",
        f"k: i.kind AGGREGATION | {GROUPS}",
    ),
    "groups by a nested query that is not selected": (
        f"SELECT max(r.division) AS d FROM police.residents r GROUP BY coalesce(({KIND}), 'none') HAVING count(*) > 1",
        f"d: r.division AGGREGATION | {GROUPS.partition(' | ')[2].partition(' | ')[2]}",
    ),
    "groups by what exists, rolled up": (
        "SELECT count(*) AS n FROM police.residents r GROUP BY "
        "ROLLUP (EXISTS (SELECT 1 FROM social.insured i WHERE i.id_number__token = r.id_number__token))",
        "*: r.id_number__token GROUP_BY | *: i.id_number__token GROUP_BY",
    ),
    "cross join with range": (
        "SELECT r.division, g.n FROM police.residents r CROSS JOIN range(3) AS g(n)",
        "division: r.division IDENTITY",
    ),
}


def answer(sql: str) -> str:
    analysis = analyse(model(sql), catalogue())
    assert analysis.edges.complete, analysis.faults
    return " | ".join(
        sorted(
            f"{e.output_column}: {SHORT[e.input]}.{e.input_column} {e.subtype}{'!' if e.masking else ''}"
            for e in analysis.edges.edges
        )
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_lineage_equals_the_hand_made_answer(name: str) -> None:
    sql, expected = GOLDEN[name]
    assert answer(sql) == " | ".join(sorted(filter(None, expected.split(" | "))))


@pytest.fixture(scope="module")
def filled():
    """The inputs with rows that meet one another, and NULLs."""
    connection = duckdb.connect(config={"threads": 1})
    for statement in schema_of(catalogue(), list(SHORT)).ddl():
        connection.execute(statement)
    people = """
        SELECT i % 5, ['a b', 'c', 'd e f', 'a', NULL, 'first'][1 + i % 6], DATE '1990-01-01' + CAST(i % 3 * 400 AS INTEGER),
            ['a', 'b', '110101', NULL][1 + i % 4], ['n', 'a', NULL][1 + i % 3], encode((i % 5)::VARCHAR), 'b' || i % 2, i % 4
        FROM range(9) r(i)"""
    paid = """
        SELECT i % 5, ['a', 'b', 'c', NULL, 'a b'][1 + i % 5], [1, 2, 5, NULL, 100][1 + i * 3 % 5], i / 2, [1, 2, 3, NULL][1 + i % 4],
            encode((i % 5)::VARCHAR), 'b' || i % 2, i % 4
        FROM range(11) r(i)"""
    columns = {
        "police.residents": "id_number, name, birth_date, division, note, id_number__token, _batch, _row",
        "social.insured": "id_number, kind, salary, score, month, id_number__token, _batch, _row",
    }
    for table, rows in (("police.residents", people), ("social.insured", paid)):
        connection.execute(f"INSERT INTO {table} ({columns[table]}) {rows}")
    yield connection
    connection.close()


@pytest.mark.parametrize("name", GOLDEN)
def test_columns_that_are_not_read_do_not_matter(name: str, filled: duckdb.DuckDBPyConnection) -> None:
    """A build binds them as NULL."""
    sql = GOLDEN[name][0]
    unread = analyse(model(sql), catalogue()).unread
    before = filled.sql(sql).fetchall()
    filled.execute("BEGIN")
    for table, columns in unread.items():
        changes = ", ".join(f'"{column}" = NULL' for column in columns)
        filled.execute(f"UPDATE {table} SET {changes}" if changes else "SELECT 1")
    after = filled.sql(sql).fetchall()
    filled.execute("ROLLBACK")
    assert sorted(map(repr, after)) == sorted(map(repr, before))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COLUMNS('n.*') FROM police.residents",
        "SELECT * FROM read_csv('x.csv')",
        "SELECT name FROM police.nowhere",
        "SELECT nothing FROM police.residents",
        "SELECT id_number FROM police.residents, social.insured",
        "DELETE FROM police.residents",
        "SELECT 1; SELECT 2",
        "SELECT (",
        "PIVOT social.insured ON kind USING sum(salary)",
        "SELECT s.a.* FROM (SELECT {'b': name, 'c': division} AS a FROM police.residents) s",
        "SELECT CAST(r AS VARCHAR) AS z FROM police.residents r WHERE r.name IS NOT NULL",
        "SELECT r['name'] AS z FROM police.residents r WHERE r.name IS NOT NULL",
        "SELECT division FROM police.residents r GROUP BY r, division",
        "WITH c AS (SELECT name, division FROM police.residents) SELECT CAST(c AS VARCHAR) AS z FROM c WHERE name > 'a'",
        "SELECT #2 AS z FROM police.residents WHERE name IS NOT NULL",
        "SELECT name.upper() AS z FROM police.residents WHERE name IS NOT NULL",
        "SELECT upper(name).lower() AS z FROM police.residents WHERE name IS NOT NULL",
        "SELECT division FROM police.residents WHERE name.length() > 1",
        "SELECT date_trunc(division, birth_date) AS z FROM police.residents",
        "SELECT date_diff(division, birth_date, DATE '2020-01-01') AS z FROM police.residents",
    ],
)
def test_what_cannot_be_followed_is_a_fault_and_incomplete(sql: str) -> None:
    analysis = analyse(model(sql), catalogue())
    assert analysis.faults
    assert not analysis.edges.complete
    assert all(f.file == "catalog/curated/m.sql" for f in analysis.faults)
