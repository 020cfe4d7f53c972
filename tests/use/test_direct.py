"""Statements that the scanner answers by itself: the same answers as the user's own text gives over the table as it is seen, whatever the
values, and nothing else taken for one.
"""

from __future__ import annotations

import random
import time
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
import sqlglot

from governance.catalog.types import ColumnType
from governance.errors import Refused, WorkerFailed
from governance.keys import grants
from governance.policy.lattice import Outcome
from governance.policy.restrictions import Restricted, Restrictions
from governance.use.direct import narrowed, plan
from governance.use.guard import examine
from governance.use.query import _LOCKED, _SCANNER
from governance.use.scanner import answered
from governance.workers import Limits
from tests.use.asking import ask, ledger, observed, opened, rows
from tests.use.conftest import catalogue_of, open_home

SPECIAL = {
    "s": ("string", ["a", "A", "", "b'\"", "王小明", "é", "e\u0301", "😀", "\uffff", "10", " a", "NaN", None]),
    "n": ("string", ["王小明", "李四", "李**", "李五", "", "欧阳无忌", None]),
    "i": ("integer", [0, -1, 1, 2, 3, 2**63 - 1, -(2**63) + 1, 10**12, None]),
    "w": ("decimal", [Decimal(x) for x in ("0", "-0.01", "9999999999.99", "-9999999999.99", "1.50", "2.25")] + [None]),
    "d": ("double", [0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, 0.1, None]),
    "b": ("boolean", [True, False, None]),
    "t": ("date", [date(1, 1, 1), date(1999, 12, 31), date(2000, 1, 1), date(9999, 12, 31), date(2000, 2, 29), None]),
    "m": ("timestamp", [datetime(1970, 1, 1), datetime(2020, 2, 29, 23, 59, 59, 999999), None]),
    "Odd Name": ("string", ["x", "y", None]),
    "姓名": ("string", ["x", "y", None]),
    "k": ("string", ["x", "y"]),
}
TYPES = {"decimal": ColumnType("decimal", 12, 2)}
MASKS = {"n": "mask:chinese-name", "k": "mask:token"}
CONSTANTS = {
    "s": ["'a'", "'王小明'", "''", "'10'", "'B'", "'\uffff'"],
    "n": ["'李**'", "'**'", "'王小明'"],
    "i": ["1", "-1", "0", "9223372036854775807", "1000000000000"],
    "w": ["1.5", "-0.01", "2", "0", "9999999999.99", "1.50", "0.001", "1e3"],
    "d": ["0", "1.5", "0.1", "-1", "123456789.125", "0.30000000000000004"],
    "b": ["true"],
    "t": ["DATE '2000-01-01'", "'1999-12-31'", "DATE '2000-02-29'", "TIMESTAMP '2000-01-01 12:00:00'", "'2000-1-1'"],
    "m": ["TIMESTAMP '1970-01-01 00:00:00'", "'2020-02-29 23:59:59.999999'", "TIMESTAMP '2020-01-01'"],
    "Odd Name": ["'x'"],
    "姓名": ["'y'"],
    "k": ["'x'"],
}
NAMED = {"Odd Name": '"Odd Name"', "姓名": '"姓名"'}
ARROW = {"string": pa.string(), "integer": pa.int64(), "decimal": pa.decimal128(12, 2), "double": pa.float64()} | {
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}


def restricted(name):
    kind = SPECIAL[name][0]
    outcome = Outcome.parse(MASKS.get(name, "raw"))
    return Restricted(name, 1, TYPES.get(kind, ColumnType(kind)), outcome, (), "")


HIDDEN = Restricted("hidden", 9, ColumnType("integer"), Outcome.parse("none"), (), "")
SEEN = Restrictions("u", "p", "curated.p", 1, (*map(restricted, SPECIAL), HIDDEN), None, False, None, ())
WITHOUT_TOKENS = [name for name in SPECIAL if name != "k"]
FILTER = '"s" <> \'10\' OR "s" IS NULL'


def data(rng, count):
    drawn = {name: [rng.choice(values) for _ in range(count)] for name, (_, values) in SPECIAL.items()}
    drawn["k__token"] = drawn["k"]
    return pa.table(
        {name: pa.array(values, ARROW[SPECIAL.get(name, ("string",))[0]]) for name, values in drawn.items()}
    )


def columns(names):
    return [(c.name, c.type, c.outcome) for c in SEEN.columns if c.name in names]


class Both:
    """The user's text over the table as it is seen, and the scanner's own over the rows as they lie, with those that are hidden."""

    def __init__(self, rng, count):
        self.user, self.scanner = duckdb.connect(config={"threads": 1}), duckdb.connect(config={"threads": 1})
        self.scanner.register("held", data(rng, count))
        self.scanner.execute("CREATE TABLE source AS FROM held")
        self.where = duckdb_condition(FILTER)
        seen = self.scanner.sql(answered(columns(SPECIAL), self.where, salt="")).to_arrow_table()
        self.user.register("held", seen)
        self.user.execute("CREATE SCHEMA curated")
        self.user.execute("CREATE TABLE curated.p AS FROM held")

    def theirs(self, sql):
        return self.user.sql(sql).to_arrow_table()

    def ours(self, made):
        direct = {"sql": made.sql, "rows": list(made.rows)}
        names = {column.name for column in made.columns}
        return self.scanner.sql(answered(columns(names), self.where, salt="", direct=direct)).to_arrow_table()


def duckdb_condition(text):
    return sqlglot.parse_one(text, dialect="duckdb")


class Writer:
    """Random statements of the grammar, and some that are a little outside of it."""

    def __init__(self, rng):
        self.rng = rng

    def name(self):
        return self.rng.choice(WITHOUT_TOKENS)

    def comparison(self, name=None):
        rng, name = self.rng, name or self.name()
        written, constants = NAMED.get(name, name), CONSTANTS[name]
        a, b, op = rng.choice(constants), rng.choice(constants), rng.choice(("=", "<>", "<", "<=", ">", ">=", "!="))
        written = rng.choice((written, written, written.upper() if name.isascii() else written))
        return rng.choice(
            (
                f"{written} {op} {a}",
                f"{a} {op} {written}",
                f"{written} {rng.choice(('', 'NOT '))}IN ({a}, {b})",
                f"{written} {rng.choice(('', 'NOT '))}BETWEEN {a} AND {b}",
                f"{written} IS {rng.choice(('', 'NOT '))}NULL",
            )
        )

    def test(self, depth=2):
        kind = self.rng.randrange(4) if depth else 0
        if kind < 2:
            return self.comparison()
        if kind == 2:
            return f"NOT ({self.test(depth - 1)})"
        return f"({self.test(depth - 1)} {self.rng.choice(('AND', 'OR'))} {self.test(depth - 1)})"

    def aggregate(self):
        name = self.name()
        written = NAMED.get(name, name)
        shapes = ["count(*)", "count()", *(f"{f}({written})" for f in ("count", "min", "MAX", "sum", "avg", "mean"))]
        return self.rng.choice((*shapes, f"count(DISTINCT {written})"))

    def statement(self):
        rng = self.rng
        where = rng.choice(("", f" WHERE {self.test()}", f" WHERE {self.test()}"))
        if rng.random() < 0.3:
            chosen = rng.sample(WITHOUT_TOKENS, rng.randint(1, 4))
            listed = ", ".join(NAMED.get(name, name) for name in chosen)
            limit = rng.choice(("", " LIMIT 3", " LIMIT 2 OFFSET 1", " LIMIT 0"))
            return f"SELECT {listed} FROM curated.p{where}{limit}"  # noqa: S608
        groups = rng.sample(WITHOUT_TOKENS, rng.randint(0, 2))
        listed = [NAMED.get(name, name) for name in groups]
        made = [self.aggregate() + rng.choice(("", f" AS a{at}")) for at in range(rng.randint(1, 3))]
        by = rng.choice((f" GROUP BY {', '.join(listed)}", " GROUP BY ALL")) if groups else ""
        having = rng.choice(("", f" HAVING count(*) > {rng.randint(0, 3)}")) if groups else ""
        if groups and rng.random() < 0.2:
            having = f" HAVING {self.comparison(groups[0])}"
        tail = rng.choice(("", " ORDER BY 1", " ORDER BY ALL DESC NULLS FIRST LIMIT 4", " ORDER BY count(*) DESC"))
        return f"SELECT {', '.join([*listed, *made])} FROM curated.p{where}{by}{having}{tail}"  # noqa: S608


def told(table):
    return sorted(map(repr, table.to_pylist()))


@pytest.mark.parametrize("seed", range(3))
def test_the_scanner_answers_what_the_users_text_says(seed):
    rng = random.Random(seed)
    both, writer, taken, asked = Both(rng, 300), Writer(rng), 0, 150
    for _ in range(asked):
        sql = writer.statement()
        made = plan(examine(sql), SEEN)
        if made is None:
            continue
        taken += 1
        ours, theirs = both.ours(made), both.theirs(sql)
        assert ours.schema.equals(theirs.schema), sql
        assert told(ours) == told(theirs), sql
        if made.rows:
            assert list(map(repr, ours.to_pylist())) == list(map(repr, theirs.to_pylist())), sql
    assert taken > asked * 0.4


OTHERS = [
    "SELECT w = 1.005 FROM curated.p",
    "SELECT i FROM curated.p WHERE w = 1.005",
    "SELECT i FROM curated.p WHERE i = 1.5",
    "SELECT i FROM curated.p WHERE i = 9223372036854775808",
    "SELECT i FROM curated.p WHERE d = 0.1234567890123456789",
    "SELECT i FROM curated.p WHERE d = 1e400",
    "SELECT i FROM curated.p WHERE i = '1'",
    "SELECT i FROM curated.p WHERE s = 1",
    "SELECT i FROM curated.p WHERE t < TIMESTAMP '2000-01-01 12:00:00'",
    "SELECT i FROM curated.p WHERE t < '2000-02-30'",
    "SELECT i FROM curated.p WHERE t < CAST('x' AS DATE)",
    "SELECT i FROM curated.p WHERE t < TRY_CAST('2000-01-01' AS DATE)",
    "SELECT i FROM curated.p WHERE s LIKE 'a%'",
    "SELECT i FROM curated.p WHERE s = NULL",
    "SELECT i FROM curated.p WHERE i = w",
    "SELECT i FROM curated.p WHERE hidden = 1",
    "SELECT hidden FROM curated.p",
    "SELECT max(hidden) FROM curated.p",
    "SELECT i + 1 FROM curated.p",
    "SELECT sum(d) FROM curated.p",
    "SELECT avg(d) FROM curated.p",
    "SELECT sum(s) FROM curated.p",
    "SELECT sum(DISTINCT i) FROM curated.p",
    "SELECT sum(i) FILTER (WHERE i > 0) FROM curated.p",
    "SELECT sum(i ORDER BY w) FROM curated.p",
    "SELECT sum(i) OVER () FROM curated.p",
    "SELECT any_value(i) FROM curated.p",
    "SELECT count(1) FROM curated.p",
    "SELECT sum(1 // i) FROM curated.p",
    "SELECT i FROM curated.p ORDER BY i",
    "SELECT DISTINCT i FROM curated.p",
    "SELECT i FROM curated.p LIMIT 10%",
    "SELECT i FROM curated.p TABLESAMPLE 10%",
    "SELECT i, i FROM curated.p",
    "SELECT * EXCLUDE (i) FROM curated.p",
    "SELECT * REPLACE (1 AS i) FROM curated.p",
    "SELECT COLUMNS('i') FROM curated.p",
    "SELECT p FROM curated.p",
    "SELECT q FROM curated.p q",
    "SELECT q.a FROM curated.p q(a)",
    "SELECT i AS w, sum(w) FROM curated.p GROUP BY 1",
    "SELECT i, count(*) FROM curated.p",
    "SELECT i, count(*) FROM curated.p GROUP BY CUBE (i)",
    "SELECT s, count(*) FROM curated.p GROUP BY s HAVING 1 = 1",
    "SELECT s, count(*) FROM curated.p GROUP BY s HAVING max(s) > count(*)",
    "SELECT k, count(*) FROM curated.p GROUP BY k",
    "SELECT i FROM curated.p WHERE k = 'x'",
    "SELECT count(k) FROM curated.p",
    "SELECT i FROM curated.p UNION ALL SELECT i FROM curated.p",
    "SELECT a.i FROM curated.p a JOIN curated.p b USING (i)",
    "WITH c AS (SELECT 1) SELECT i FROM curated.p",
    "SELECT i FROM curated.p WHERE i IN (SELECT i FROM curated.p)",
    "SELECT i FROM (SELECT i FROM curated.p)",
    "SELECT i FROM curated.p QUALIFY row_number() OVER () = 1",
    "SELECT rowid FROM curated.p",
]


@pytest.mark.parametrize("sql", OTHERS, ids=range(len(OTHERS)))
def test_anything_else_goes_the_ordinary_way(sql):
    assert plan(examine(sql), SEEN) is None


def test_constants_stay_constants_and_names_stay_names():
    made = plan(examine("SELECT s AS \"x\"\"; DROP\" FROM curated.p WHERE s = '''; DROP TABLE source; --'"), SEEN)
    statements = duckdb.extract_statements(made.sql)
    assert len(statements) == 1
    assert made.sql == (
        'SELECT "s" AS "x""; DROP" FROM "seen" WHERE "s" = CAST(\'\'\'; DROP TABLE source; --\' AS TEXT)'
    )


def test_groups_come_in_an_order_of_their_own():
    """Else it might tell how the hidden rows lie between the others."""
    made = plan(examine("SELECT count(*) AS z, s, b FROM curated.p GROUP BY s, b ORDER BY z"), SEEN)
    assert made.sql.endswith('ORDER BY COUNT(*) ASC, "s", "b"')


@pytest.fixture
def started(monkeypatch):
    """Which entries are started."""
    import governance.use.query as module

    entries, start = [], module.start

    def counting(entry, *arguments, **given):
        entries.append(entry)
        return start(entry, *arguments, **given)

    monkeypatch.setattr(module, "start", counting)
    return entries


def test_a_direct_statement_starts_no_locked_worker_and_is_in_the_ledger_first(published_home, started):
    before = len(ledger(published_home, "access"))
    with opened(published_home, "SELECT district, count(*) FROM curated.person GROUP BY ALL") as answer:
        assert len(ledger(published_home, "access")) == before + 1
        assert answer.table().to_pylist()[0] == {"district": "110101", "count_star()": 2}
    assert started == [_SCANNER]
    assert ledger(published_home, "access")[-1]["facts"]["tables"]["curated.person"]["columns"] == {"district": "raw"}
    assert rows(published_home, "SELECT upper(district) FROM curated.person LIMIT 1") == [("110101",)]
    assert started[1:] == [_SCANNER, _LOCKED]


def test_tokens_that_come_directly_are_those_of_the_purpose(published_home):
    sql = "SELECT id_number{} FROM curated.person WHERE district = '110101'"
    assert rows(published_home, sql.format("")) == rows(published_home, sql.format(" || ''"))


TWO_WAYS = ("SELECT rank FROM curated.person", "SELECT rank + 0 AS rank FROM curated.person")


def test_a_limit_of_rows_holds_for_direct_answers(tmp_path):
    home = open_home(tmp_path, catalogue_of())
    home.fill([(None, None, None, None, "110101", at) for at in range(3)])
    home.release()
    who = ("user:zhao", "benefits")
    direct, ordinary = (observed(home, sql, *who) for sql in TWO_WAYS)
    assert direct == ordinary
    assert "more than 2 rows" in direct[1]
    assert rows(home, "SELECT count(*) FROM curated.person", *who) == [(3,)]
    assert rows(home, "SELECT rank FROM curated.person LIMIT 2", *who) == [(0,), (1,)]
    home.database.close()


def test_a_direct_answer_ends_with_its_grant(tmp_path):
    home = open_home(tmp_path, catalogue_of())
    home.fill([("1" * 18, "王小明", None, None, "110101", at) for at in range(400_000)])
    home.release()
    with opened(home, "SELECT name, born, district, rank FROM curated.person") as answer:
        stream = answer.stream()
        assert stream.read_next_batch().num_rows
        with home.database.unit_of_work() as tx:
            grants.revoke(tx, answer.grant, actor=home.actor(), database=home.database)
        time.sleep(1.2)
        with pytest.raises(Refused, match="ended"):
            stream.read_all()
    home.database.close()


def test_groups_that_do_not_fit_in_memory_are_refused_by_code(tmp_path):
    home = open_home(tmp_path, catalogue_of())
    home.fill([(f"{at:018}", f"{at:060}", None, None, f"{at:090}", at) for at in range(300_000)])
    home.release()
    sql = "SELECT district, rank, count(*), min(name), max(name) FROM curated.person GROUP BY ALL"
    with pytest.raises((Refused, WorkerFailed), match=r"failed: memory|memory limit"):
        ask(home, sql, limits=Limits(memory_mb=48, seconds=60))
    home.database.close()


FOLDED = [
    "SELECT string_agg(rank::VARCHAR, ',') FROM curated.person",
    "SELECT list(rank) FROM curated.person",
    "SELECT histogram(rank) FROM curated.person",
    "SELECT max(rank, 100) FROM curated.person",
    "SELECT rank, lag(rank) OVER (ORDER BY rank), lag(rank, 2) OVER (ORDER BY rank) FROM curated.person LIMIT 1",
    "SELECT a.rank, b.rank FROM curated.person a, curated.person b WHERE a.rank = 0 LIMIT 1",
    "SELECT ARRAY(SELECT rank FROM curated.person) AS l",
    "SELECT rank FROM curated.person WHERE rank = 0 OR upper(district) = '110101'",
    "SELECT count(*) FROM curated.person WHERE rank IN (SELECT rank FROM curated.person WHERE rank < 2)",
    "WITH person AS (SELECT list(rank) AS l FROM curated.person) SELECT l FROM person",
]


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    home = open_home(tmp_path_factory.mktemp("three"), catalogue_of())
    home.fill([(None, None, None, None, "110101", at) for at in range(3)])
    home.release()
    yield home
    home.database.close()


@pytest.mark.parametrize("sql", FOLDED, ids=range(len(FOLDED)))
def test_rows_beyond_the_limit_cannot_be_folded_into_few(three, sql):
    """Three rows may be seen and two may leave: no statement of more than plain groups is computed of three."""
    assert "more than 2 rows" in observed(three, sql, "user:zhao", "benefits")[1]


NARROWED = {
    "SELECT string_agg(rank::VARCHAR, ',') AS l FROM curated.person WHERE rank < 2": [("0,1",)],
    "SELECT p.rank + 1 AS r FROM curated.person p WHERE p.rank >= 1 AND upper(p.district) = '110101'": [(2,), (3,)],
    "SELECT list(rank ORDER BY rank) FROM curated.person WHERE NOT rank BETWEEN 1 AND 1": [([0, 2],)],
}


@pytest.mark.parametrize("sql", NARROWED, ids=range(len(NARROWED)))
def test_comparisons_with_constants_are_held_before_rows_count(three, sql):
    assert sorted(rows(three, sql, "user:zhao", "benefits")) == NARROWED[sql]


NOT_NARROWED = [
    "SELECT upper(s) FROM curated.p",
    "SELECT upper(s) FROM curated.p WHERE i = 1 OR upper(s) = 'A'",
    "SELECT upper(s) FROM curated.p WHERE i = 1 AND i IN (SELECT i FROM curated.p)",
    "SELECT upper(s) AS i FROM curated.p WHERE i = 1",
    "SELECT a.i + 1 FROM curated.p a JOIN curated.p b USING (i) WHERE a.i = 1",
    "WITH c AS (SELECT i FROM curated.p WHERE i = 1) SELECT i FROM c",
    "SELECT upper(s) FROM curated.p WHERE k = 'x'",
    "SELECT upper(s) FROM curated.p WHERE hidden = 1",
    "SELECT upper(s) FROM curated.p WHERE i = '1'",
    "SELECT upper(s) FROM curated.p WHERE i = 1 UNION ALL SELECT upper(s) FROM curated.p",
]


@pytest.mark.parametrize("sql", NOT_NARROWED, ids=range(len(NOT_NARROWED)))
def test_nothing_else_narrows_what_is_scanned(sql):
    assert narrowed(examine(sql), SEEN) == ""


def test_what_narrows_is_a_condition_of_ours():
    sql = "SELECT upper(s) FROM curated.p WHERE i = 1 AND upper(s) = 'A' AND (s > 'a' OR w IS NULL) ORDER BY 1"
    assert (
        narrowed(examine(sql), SEEN) == '"i" = CAST(\'1\' AS BIGINT) AND (("s" > CAST(\'a\' AS TEXT)) OR ("w" IS NULL))'
    )


@pytest.mark.parametrize("seed", range(2))
def test_narrowing_changes_no_answer(seed):
    rng = random.Random(seed)
    both, writer, held = Both(rng, 200), Writer(rng), 0
    for _ in range(60):
        where = " AND ".join([*(writer.comparison() for _ in range(rng.randint(1, 3))), "upper(s) <> 'B'"])
        sql = f"SELECT upper(s), i FROM curated.p WHERE {where}"  # noqa: S608
        condition = narrowed(examine(sql), SEEN)
        held += bool(condition)
        made = answered(columns(SPECIAL), both.where, salt="", narrowed=condition)
        both.user.register("streamed", both.scanner.sql(made).to_arrow_table())
        assert told(both.theirs(sql.replace("curated.p", "streamed"))) == told(both.theirs(sql)), sql
    assert held > 40
