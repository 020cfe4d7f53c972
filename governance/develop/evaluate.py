"""The rules of a curated table, judged on its rows as they stream by: one statement adds their flags, Arrow counts
them.

Look-ups are joins whose build sides hold codes, tokens and clear keys only. Uniqueness is counted on salted 128-bit
hashes in a second connection, which may spill them. A rule that cannot be evaluated gives a metric with the class of
its error, never a pass.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from governance.catalog.rules import CodeSetRule, ReferenceRule, RowRule, RowRules, Rule, TableRule, UniqueRule
from governance.catalog.types import CodeSet
from governance.develop.inputs import quoted
from governance.develop.request import Target
from governance.lake.lake import Lake
from governance.state.values import RuleMetric

SOURCE = "__built"
"""The view of the typed rows that are judged."""


class Evaluator:
    """Judges the rows of view `SOURCE` of `con`: `statement()` to stream, `count` for each batch, `metrics()` at the
    end."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        rules: RowRules,
        *,
        code_sets: Mapping[str, CodeSet],
        targets: Mapping[str, Target],
        lake: Lake,
        scratch: str,
    ) -> None:
        self._con, self._rules, self._lake = con, rules.rules, lake
        self._code_sets, self._targets = code_sets, targets
        self._salt = exp.Literal.string(secrets.token_hex(16)).sql("duckdb")
        self._hashes = duckdb.connect(config={"temp_directory": scratch, "threads": 1})
        self._joins: list[str] = []
        self._flags: list[str] = []
        self._errors: dict[str, str] = {}
        self._rows = 0
        self._applied: dict[str, int] = {}
        self._unexpected: dict[str, int] = {}
        self._values: dict[str, object] = {}
        for number, rule in enumerate(self._rules):
            self._prepare(number, rule)

    def statement(self) -> str:
        """All columns of the source and the flags of the rules."""
        parts = ", ".join(["t.*", *self._flags])
        return f"SELECT {parts} FROM {SOURCE} AS t {' '.join(self._joins)}"  # noqa: S608 - compiled rules, quoted names

    def count(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Take the flags of a batch into account; returns its `columns` without them."""
        self._rows += batch.num_rows
        for number, rule in enumerate(self._rules):
            if rule.id in self._errors or isinstance(rule, TableRule):
                continue
            applied = batch.column(f"__a{number}")
            self._applied[rule.id] = self._applied.get(rule.id, 0) + _true(applied)
            if isinstance(rule, UniqueRule):
                self._keep_hashes(number, batch.filter(applied))
            else:
                self._unexpected[rule.id] = self._unexpected.get(rule.id, 0) + _true(batch.column(f"__u{number}"))
        return batch.select(list(columns))

    def metrics(self) -> dict[str, RuleMetric]:
        """One metric for each rule, once the stream has ended."""
        found = {}
        for number, rule in enumerate(self._rules):
            if rule.id in self._errors:
                found[rule.id] = RuleMetric(rule.id, self._rows, 0, 0, error=self._errors[rule.id])
            elif isinstance(rule, TableRule):
                found[rule.id] = RuleMetric(rule.id, self._rows, 0, 0, value=self._values[rule.id])
            else:
                unexpected = self._repeats(number) if isinstance(rule, UniqueRule) else self._unexpected.get(rule.id, 0)
                found[rule.id] = RuleMetric(rule.id, self._rows, self._rows - self._applied.get(rule.id, 0), unexpected)
        return found

    def close(self) -> None:
        self._hashes.close()

    def _prepare(self, number: int, rule: Rule) -> None:
        """Bind one rule by itself, so that one that cannot be evaluated is named and the others go on."""
        joins, flags = len(self._joins), len(self._flags)
        try:
            match rule:
                case RowRule():
                    self._flag(number, rule.applies or "TRUE", rule.unexpected)
                case UniqueRule():
                    self._unique(number, rule)
                case CodeSetRule():
                    self._code_set(number, rule)
                case ReferenceRule():
                    self._reference(number, rule)
                case TableRule():
                    self._values[rule.id] = self._aggregate(rule)
                case _:
                    assert_never(rule)
            self._con.sql(f"SELECT * FROM ({self.statement()}) LIMIT 0")  # noqa: S608 - binds only
        except (duckdb.Error, LookupError) as error:
            del self._joins[joins:], self._flags[flags:]
            self._errors[rule.id] = type(error).__name__

    def _flag(self, number: int, applies: str, unexpected: str) -> None:
        self._flags.append(f"coalesce({applies}, FALSE) AS __a{number}")
        self._flags.append(f"coalesce(({applies}) AND ({unexpected}), FALSE) AS __u{number}")

    def _unique(self, number: int, rule: UniqueRule) -> None:
        texts = [f"CAST(t.{quoted(c)} AS VARCHAR)" for c in rule.columns]
        known = " AND ".join([*(f"t.{quoted(c)} IS NOT NULL" for c in rule.columns), f"({rule.applies or 'TRUE'})"])
        text = " || ".join([self._salt, *(f"length({t}) || ':' || {t}" for t in texts)])
        self._flags.append(f"coalesce({known}, FALSE) AS __a{number}")
        self._flags += [f"md5_number_{half}({text}) AS __{half}{number}" for half in ("lower", "upper")]
        self._hashes.execute(f"CREATE TABLE h{number} (low UBIGINT, high UBIGINT)")

    def _code_set(self, number: int, rule: CodeSetRule) -> None:
        codes = self._code_sets[rule.code_set]
        given = pa.table(
            {
                "__code": pa.array(codes.codes, pa.string()),
                "__since": pa.array([codes.valid_from.get(c) for c in codes.codes], pa.string()),
                "__until": pa.array([codes.valid_to.get(c) for c in codes.codes], pa.string()),
            }
        )
        self._table(
            f"__codes{number}",
            given,
            "SELECT __code, min(CAST(__since AS DATE)) AS __since, max(CAST(__until AS DATE)) AS __until FROM given"
            " GROUP BY __code",
        )
        code = f"CAST(({rule.key or f't.{quoted(rule.columns[0])}'}) AS VARCHAR)"
        self._joins.append(f"LEFT JOIN __codes{number} ON __codes{number}.__code = {code}")
        broken = f"__codes{number}.__code IS NULL"
        if rule.valid_at:
            at = f"t.{quoted(rule.valid_at)}"
            broken = f"({broken} OR {at} < __codes{number}.__since OR {at} >= __codes{number}.__until)"
        self._flag(number, f"{code} IS NOT NULL AND ({rule.applies or 'TRUE'})", broken)

    def _reference(self, number: int, rule: ReferenceRule) -> None:
        target = self._targets[rule.id]
        keys = self._lake.scan(target.table, target.snapshot, [target.column], current=target.current)
        column = quoted(target.column)
        self._table(f"__keys{number}", keys, f"SELECT DISTINCT {column} AS __k FROM given WHERE {column} IS NOT NULL")  # noqa: S608
        own = f"t.{quoted(target.own)}"
        self._joins.append(f"LEFT JOIN __keys{number} ON __keys{number}.__k = {own}")
        self._flag(number, f"{own} IS NOT NULL AND ({rule.applies or 'TRUE'})", f"__keys{number}.__k IS NULL")

    def _aggregate(self, rule: TableRule) -> object:
        """A table rule's metric, from a run of its own: an aggregate has no place in a stream of rows."""
        rows = self._con.execute(f"SELECT {rule.value} FROM {SOURCE}").fetchall()  # noqa: S608 - compiled from a tree
        return _json(rows[0][0])

    def _table(self, name: str, given: pa.Table | pa.RecordBatchReader, query: str) -> None:
        self._con.register("given", given)
        try:
            self._con.execute(f"CREATE TEMP TABLE {name} AS {query}")
        finally:
            self._con.unregister("given")

    def _keep_hashes(self, number: int, batch: pa.RecordBatch) -> None:
        hashes = pa.table({"low": batch.column(f"__lower{number}"), "high": batch.column(f"__upper{number}")})
        self._hashes.register("given", hashes)
        self._hashes.execute(f"INSERT INTO h{number} SELECT low, high FROM given")  # noqa: S608 - a number
        self._hashes.unregister("given")

    def _repeats(self, number: int) -> int:
        """Rows of all groups that repeat, as GX counts them."""
        groups = f"SELECT count(*) AS n FROM h{number} GROUP BY low, high HAVING count(*) > 1"  # noqa: S608 - a number
        rows = self._hashes.execute(f"SELECT coalesce(sum(n), 0) FROM ({groups})").fetchall()  # noqa: S608
        return int(rows[0][0])


def _true(flags: pa.Array) -> int:
    return int(pc.sum(flags).as_py() or 0)


def _json(value: object) -> object:
    """A metric as a JSON scalar or list.

    >>> _json([Decimal("1.5"), date(2026, 1, 2)])
    [1.5, '2026-01-02']
    """
    match value:
        case Decimal():
            return float(value)
        case date() | datetime():
            return value.isoformat()
        case list() | tuple():
            return [_json(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
