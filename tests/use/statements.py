"""Random statements over a generated world: ordinary ones, and those of somebody who looks for what is hidden."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from tests.use.generated import Column, Table, World

_WRAPPED = (
    "EXPLAIN {}",
    "EXPLAIN ANALYZE {}",
    "SUMMARIZE {}",
    "DESCRIBE {}",
    "CREATE TABLE x AS {}",
    "SELECT * FROM query('{}')",
    "{}; {}",
)


def statements(world: World, seed: int) -> Iterator[str]:
    """Without end. Constants are of both worlds, hidden values first: the asker has a dictionary of guesses."""
    rng = random.Random(seed)
    while True:
        yield _Writer(rng, world).statement()


def plain_statements(world: World, seed: int) -> Iterator[str]:
    """Without end: statements of the form that the scanner answers by itself, as far as their constants are."""
    rng = random.Random(seed)
    while True:
        yield _Writer(rng, world).plain_statement()


class _Writer:
    def __init__(self, rng: random.Random, world: World) -> None:
        self.rng, self.world = rng, world
        self.table = rng.choice(world.tables)

    def statement(self) -> str:
        rng, name = self.rng, self.table.name
        kind = rng.randrange(20)
        if kind == 0:
            wrapped = rng.choice(_WRAPPED)
            return wrapped.replace("{}", self._plain())
        if kind == 1:
            return (
                f"SELECT {rng.choice(('stats', 'error', 'vector_type', 'getvariable'))}({self._column()}) FROM {name}"  # noqa: S608
            )
        if kind == 2:
            return f"SELECT * FROM {rng.choice((name, 'duckdb_tables()', 'information_schema.columns', 'curated.nothing', name + '__quarantine'))}"  # noqa: S608
        if kind <= 7:
            return self._plain()
        if kind <= 11:
            return self._grouped()
        if kind <= 13:
            return self._joined()
        return self._other(kind)

    def plain_statement(self) -> str:
        rng = self.rng
        visible = [column for column in self.table.columns if column.visible]
        chosen = rng.sample(visible, rng.randint(1, min(3, len(visible))))
        names = ", ".join(column.name for column in chosen)
        tests = [f"{self._compared(rng.choice(visible))}" for _ in range(rng.randint(0, 3))]
        where = f" WHERE {rng.choice((' AND ', ' OR ')).join(tests)}" if tests else ""
        if rng.random() < 0.3:
            return f"SELECT {names} FROM {self.table.name}{where}{rng.choice(('', ' LIMIT 2'))}"  # noqa: S608
        function, of = rng.choice(("count", "min", "max", "sum", "avg", "count(DISTINCT")), rng.choice(visible).name
        made = f"{function} {of})" if function.endswith("DISTINCT") else f"{function}({of})"
        tail = rng.choice(("", " HAVING count(*) > 1", " ORDER BY count(*) DESC LIMIT 2"))
        return f"SELECT {names}, count(*), {made} FROM {self.table.name}{where} GROUP BY {names}{tail}"  # noqa: S608

    def _compared(self, column: Column) -> str:
        rng, one, other = self.rng, self._constant(column), self._constant(column)
        return rng.choice(
            (
                f"{column.name} {rng.choice(('=', '<>', '<', '>='))} {one}",
                f"NOT {column.name} IN ({one}, {other})",
                f"{column.name} BETWEEN {one} AND {other}",
                f"{column.name} IS NULL",
            )
        )

    def _plain(self) -> str:
        rng = self.rng
        what = rng.choice(
            ("*", "count(*)", "DISTINCT " + self._value(), ", ".join(self._value() for _ in range(rng.randint(1, 3))))
        )
        tail = rng.choice(
            (
                "",
                f" WHERE {self._test()}",
                f" WHERE {self._test()} LIMIT 2",
                " ORDER BY ALL DESC LIMIT 3",
                " LIMIT 1 OFFSET 3",
            )
        )
        return f"SELECT {what} FROM {self.table.name}{tail}"  # noqa: S608

    def _grouped(self) -> str:
        rng = self.rng
        function = rng.choice(
            (
                "count",
                "min",
                "max",
                "approx_count_distinct",
                "mode",
                "list",
                "arg_max",
                "entropy",
                "histogram",
                "any_value",
                "sum",
                "avg",
            )
        )
        inner = f"{self._column()}, {self._column()}" if function == "arg_max" else self._value()
        key = self._column()
        tail = rng.choice(("", f" HAVING count(*) > {rng.randint(1, 3)}", f" HAVING bool_or({self._test()})"))
        by = rng.choice((key, f"CUBE ({key}, {self._column()})", f"length(CAST({key} AS VARCHAR))"))
        head = key if by == key else "count(DISTINCT " + key + ")"
        return f"SELECT {head}, {function}({inner}), count(*) FROM {self.table.name} WHERE {self._test()} GROUP BY {by}{tail} ORDER BY ALL"  # noqa: S608

    def _joined(self) -> str:
        rng = self.rng
        other = rng.choice(self.world.tables)
        kind = rng.choice(("JOIN", "LEFT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", "ASOF JOIN"))
        mine, theirs = self._column(), rng.choice(other.columns).name
        on = f"a.{mine} {'>=' if kind == 'ASOF JOIN' else rng.choice(('=', '=', '<', 'IS DISTINCT FROM'))} b.{theirs}"
        return f"SELECT count(*), max(a.{self._column()}) FROM {self.table.name} a {kind} {other.name} b ON {on}"  # noqa: S608

    def _other(self, kind: int) -> str:
        rng, name = self.rng, self.table.name  # noqa: F841
        match kind:
            case 14:
                return f"WITH t AS (SELECT * FROM {name} WHERE {self._test()}) SELECT {self._value()}, count(*) OVER (ORDER BY {self._column()}) FROM t"  # noqa: S608
            case 15:
                return f"SELECT {self._value()} FROM {name} UNION ALL SELECT {self._value()} FROM {name} WHERE {self._test()}"  # noqa: S608
            case 16:
                return f"SELECT count(*) FROM {name} t WHERE EXISTS (FROM {name} u WHERE u.{self._column()} = t.{self._column()} AND {self._test()})"  # noqa: S608
            case 17:
                return f"SELECT {self._column()} FROM {name} QUALIFY row_number() OVER (PARTITION BY {self._column()} ORDER BY {self._column()}) = 1"  # noqa: S608
            case 18:
                values = ", ".join(f"({self._constant(self._any())})" for _ in range(6))
                return f"SELECT count(*) FROM {name} JOIN (VALUES {values}) g(x) ON CAST(x AS VARCHAR) = CAST({self._column()} AS VARCHAR)"  # noqa: S608
            case _:
                return f"SELECT sum(CASE WHEN {self._test()} THEN 1 // (CASE WHEN {self._test()} THEN 0 ELSE 1 END) ELSE 0 END) FROM {name}"  # noqa: S608

    def _any(self) -> Column:
        return self.rng.choice(self.table.columns)

    def _column(self) -> str:
        chosen = self.rng.random()
        if chosen < 0.03:
            return self.rng.choice(("nothing", "rowid", "_row", self._any().name + "__token"))
        visible = [column for column in self.table.columns if column.visible]
        return self.rng.choice(visible).name if chosen < 0.85 else self._any().name

    def _value(self) -> str:
        rng, column = self.rng, self._column()
        return rng.choice(
            (
                column,
                column,
                f"CAST({column} AS {rng.choice(('INTEGER', 'DATE', 'UTINYINT', 'DOUBLE', 'VARCHAR'))})",
                f"length(CAST({column} AS VARCHAR))",
                f"substr(CAST({column} AS VARCHAR), {rng.randint(1, 6)}, 2)",
                f"hash({column})",
                f"regexp_matches(CAST({column} AS VARCHAR), '{rng.choice(('(', '^1', '[小明]'))}')",
                f"TRY_CAST({column} AS BIGINT) // {rng.randint(-1, 1)}",
                f"sqrt(CAST(length(CAST({column} AS VARCHAR)) AS DOUBLE) - {rng.randint(0, 5)})",
                f"CASE WHEN {self._test()} THEN {column} END",
                f"{column} IS NULL",
                f"date_part('month', {column})",
                f"{column} + 1",
            )
        )

    def _test(self) -> str:
        rng, column = self.rng, self._any() if self.rng.random() < 0.2 else None
        name = column.name if column else self._column()
        known = column or next((c for c in self.table.columns if c.name == name), self._any())
        constant = self._constant(known)
        return rng.choice(
            (
                f"{name} {rng.choice(('=', '<>', '<', '>='))} {constant}",
                f"{name} IN ({constant}, {self._constant(known)})",
                f"CAST({name} AS VARCHAR) LIKE {_quoted(self._text(known)[: rng.randint(1, 3)] + '%')}",
                f"{name} IS {rng.choice(('', 'NOT '))}NULL",
                f"{name} BETWEEN {constant} AND {self._constant(known)}",
                f"NOT ({name} = {constant})",
                f"CAST({name} AS INTEGER) = 1",
                f"contains(CAST({name} AS VARCHAR), {_quoted(self._text(known)[-2:])})",
            )
        )

    def _guess(self, column: Column) -> Any:
        rows = self.world.first[self.table.name] + self.world.second[self.table.name]
        values = [row[self.table.at(column.name)] for row in rows]
        return self.rng.choice([value for value in values if value is not None] or [0])

    def _text(self, column: Column) -> str:
        return str(self._guess(column)) or "x"

    def _constant(self, column: Column) -> str:
        value = self._guess(column)
        if isinstance(value, datetime):
            return f"TIMESTAMP '{value}'"
        if isinstance(value, date):
            return f"DATE '{value}'"
        return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def table_of(world: World, name: str) -> Table:
    return next(table for table in world.tables if table.name == name)
