"""A table in memory judged by compiled rules, as store and develop do it: what the tests compare with GX's own engines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from governance.catalog.rules import CodeSetRule, RowRule, RowRules, Rule, TableRule, UniqueRule
from governance.catalog.types import ColumnType, Dataset, Field, Level, Suite
from governance.manage import compile_rules, verdict
from governance.state.values import RuleMetric


def field(name: str, kind: str, **facts: Any) -> Field:
    return Field(
        name, ColumnType(kind, *((18, 2) if kind == "decimal" else ())), name, classification=Level.L1, **facts
    )  # type: ignore[arg-type]


def dataset(*fields: Field, name: str = "d.t", **facts: Any) -> Dataset:
    return Dataset(name, name.partition(".")[0], "s", "1.0.0", fields, None, f"catalog/{name}.odcs.yaml", "h", **facts)


def suite(*expectations: Mapping[str, Any], file: str = "expectations/d/t.json") -> Suite:
    text = json.dumps({"name": "d.t", "expectations": list(expectations)}, indent=2)
    return Suite("d.t", file, text, "h")


def expect(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs}


@dataclass(frozen=True)
class Judged:
    outcome: str
    reasons: tuple[str, ...]
    result: dict[str, Any]

    @property
    def results(self) -> list[dict[str, Any]]:
        return list(self.result["results"])


def judged(of: Dataset, table: pa.Table, *expectations: Mapping[str, Any]) -> Judged:
    """Compile, count and judge in one go."""
    rules = compile_rules(of, suite(*expectations), {})
    metrics = counted(rules, table)
    outcome, reasons, result = verdict(of, rules, metrics, rows=table.num_rows, quarantined=0)
    return Judged(outcome, reasons, json.loads(result))


def counted(rules: RowRules, table: pa.Table) -> dict[str, RuleMetric]:
    with duckdb.connect() as con:
        con.register("given", table)
        con.execute("CREATE TABLE t AS SELECT * FROM given")
        return {rule.id: _metric(con, rule, table.num_rows) for rule in rules.rules}


def _metric(con: duckdb.DuckDBPyConnection, rule: Rule, rows: int) -> RuleMetric:
    if isinstance(rule, TableRule):
        value = _one(con, f"SELECT {rule.value} FROM t")  # noqa: S608
        return RuleMetric(rule.id, rows, 0, 0, value)
    applies = rule.applies or "TRUE"
    speaks = _one(con, f"SELECT count(*) FROM t WHERE {applies}")  # noqa: S608
    match rule:
        case RowRule():
            broken = _one(con, f"SELECT count(*) FROM t WHERE ({applies}) AND ({rule.unexpected})")  # noqa: S608
        case UniqueRule():
            names = ", ".join(f'"{c}"' for c in rule.columns)
            known = " AND ".join(f'"{c}" IS NOT NULL' for c in rule.columns)
            groups = f"SELECT count(*) AS n FROM t WHERE ({applies}) AND {known} GROUP BY {names} HAVING count(*) > 1"  # noqa: S608
            broken = _one(con, f"SELECT coalesce(sum(n), 0)::BIGINT FROM ({groups})")  # noqa: S608
        case _:
            raise AssertionError(f"{type(rule).__name__} has no place in these tests: {CodeSetRule.__name__}")
    return RuleMetric(rule.id, rows, rows - speaks, broken)


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = con.execute(sql).fetchone()
    assert row is not None
    return row[0]


def flags(table: pa.Table, expression: str) -> Sequence[bool | None]:
    """An expression's value for each row, in order."""
    with duckdb.connect() as con:
        con.register("t", table)
        return [row[0] for row in con.execute(f"SELECT {expression} FROM t").fetchall()]  # noqa: S608
