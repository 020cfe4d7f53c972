"""`suggest`: what `gov suggest` proposes from one delivery, accepted as it is, held against the next one: faults of kinds that it was not written for, and
the share of good rows that it would have held.

Two sources: the demo city (learned from January without faults, held against February), and real tables of the City of Chicago where they are at
hand (inspections, licences and complaints against those of the months after). Eleven kinds of damage are done to 0.5 % of the later rows each, at
most one a row, in any column of a fitting type. A proposal belongs to no kind: every rule may find every fault. Columns that decide others are
left out: they become checks beside a model, by hand. `BENCH_PEOPLE` sets the city's size.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import fault_detection
from benchmarks.measure import ROOT
from governance.catalog.rules import CodeSetRule, RowRule, UniqueRule
from governance.catalog.suites import parse_suite
from governance.catalog.types import CodeSet, ColumnType, Dataset, Field, Level
from governance.manage.compile import compile_rules
from governance.manage.suggest import Proposal, suggest

if TYPE_CHECKING:
    from governance.pipeline.context import Context

REAL = ROOT.parent / "shared" / "data" / "chicago"

TEXT: Mapping[str, str] = {
    "truncated": "left({c}, length({c}) // 2)",
    "transposed": "concat(left({c}, length({c}) // 2 - 1), substr({c}, length({c}) // 2 + 1, 1), substr({c}, length({c}) // 2, 1),"
    " substr({c}, length({c}) // 2 + 2))",
    "look_alike": "replace(replace(replace({c}, '0', 'O'), '1', 'l'), 'E', 'Е')",
    "padded": "concat(' ', {c}, ' ')",
    "placeholder": "'N/A'",
    "lost": "NULL",
    "of_the_row_before": "lag({c}) OVER (ORDER BY _row)",
}
NUMBER: Mapping[str, str] = {
    "unit": "{c} * 100",
    "sign": "-{c}",
    "lost": "NULL",
    "of_the_row_before": "lag({c}) OVER (ORDER BY _row)",
}
DATE: Mapping[str, str] = {
    "century": "CAST({c} + INTERVAL 100 YEAR AS DATE)",
    "placeholder": "DATE '1900-01-01'",
    "day_and_month": "coalesce(TRY(make_date(year({c}), day({c}), month({c}))), {c})",
    "lost": "NULL",
}
KINDS = tuple(dict.fromkeys([*TEXT, *NUMBER, *DATE]))
_SHARE_OF_A_THOUSAND = 5
_NUMBERS = ("integer", "decimal", "double")


@dataclass
class Found:
    """Rows by kind of fault: injected and found; good rows: all and held."""

    injected: dict[str, int]
    found: dict[str, int]
    good: int = 0
    held: int = 0
    proposals: int = 0

    def lines(self, source: str) -> Iterator[dict[str, object]]:
        flagged = sum(self.found.values()) + self.held
        yield {
            "source": source,
            "proposals": self.proposals,
            "injected": sum(self.injected.values()),
            "recall": round(sum(self.found.values()) / max(1, sum(self.injected.values())), 3),
            "precision": round(sum(self.found.values()) / max(1, flagged), 3),
            "good_rows": self.good,
            "good_held_percent": round(100 * self.held / max(1, self.good), 3),
            "recall_by_kind": {k: round(self.found[k] / n, 3) for k, n in self.injected.items() if n},
        }


def measure() -> Iterator[dict[str, object]]:
    folder = fault_detection.home()
    context = fault_detection.run(folder, (1,), models=False, rate=0.0)
    datasets = sorted(context.catalogue.datasets.values(), key=lambda d: d.name)
    before = {dataset.name: _stored(context, dataset, 1) for dataset in datasets}
    context.database.close()
    context = fault_detection.run(folder, (2,), models=False, rate=0.0)
    total = _nothing()
    for dataset in datasets:
        _try(
            total, _undeclared(dataset), before[dataset.name], _stored(context, dataset, 2), context.catalogue.code_sets
        )
    context.database.close()
    shutil.rmtree(folder)
    yield from total.lines("city")
    if REAL.is_dir():
        real = _nothing()
        for dataset, first, second in _chicago():
            _try(real, dataset, first, second, {})
        yield from real.lines("chicago")


def _nothing() -> Found:
    return Found(dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0))


def _try(total: Found, dataset: Dataset, first: pa.Table, second: pa.Table, code_sets: Mapping[str, CodeSet]) -> None:
    with duckdb.connect(config={"threads": 2}) as con:
        con.register("learned", first)
        con.execute("CREATE TABLE rows AS SELECT * FROM learned")
        proposals = [p for p in suggest(con, dataset, None, code_sets) if p.kind != "decides"]
    with duckdb.connect(config={"threads": 2}) as con:
        con.register("later", second)
        _damage(con, dataset)
        _flag(con, accepted(dataset, proposals), proposals, dataset, code_sets)
        total.proposals += len(proposals)
        query = "SELECT _damage, count(*), count_if(_flagged) FROM judged GROUP BY _damage"
        for kind, rows, flagged in con.execute(query).fetchall():
            if kind is None:
                total.good, total.held = total.good + rows, total.held + flagged
            else:
                total.injected[kind] += rows
                total.found[kind] += flagged


def accepted(dataset: Dataset, proposals: list[Proposal]) -> Dataset:
    """The contract with the lines that proposals have for it."""
    lines = {(p.column, p.kind): p.says.partition(": ")[2] for p in proposals if p.expectation is None}
    return replace(
        dataset,
        fields=tuple(
            replace(f, check=lines.get((f.name, "check")), code_set=lines.get((f.name, "code_set")))
            for f in dataset.fields
        ),
    )


def _damage(con: duckdb.DuckDBPyConnection, dataset: Dataset) -> None:
    """Table `damaged`: the later rows, `_damage`: what was done to each, NULL for a good row. What changes nothing is no damage."""
    parts, kinds = [], []
    for number, kind in enumerate(KINDS):
        fitting = [f for f in dataset.fields if kind in _kinds(f)]
        for place, field in enumerate(fitting):
            low = number * _SHARE_OF_A_THOUSAND
            chosen = f"_h % 1000 BETWEEN {low} AND {low + _SHARE_OF_A_THOUSAND - 1} AND (_h // 1000) % {len(fitting)} = {place}"
            parts.append((field.name, f"{chosen} AND {_quoted(field.name)} IS NOT NULL", _kinds(field)[kind]))
            kinds.append(f"WHEN {chosen} THEN '{kind}'")
    columns = []
    for field in dataset.fields:
        name = _quoted(field.name)
        own = [f"WHEN {where} THEN {how.format(c=name)}" for column, where, how in parts if column == field.name]
        cast = f"CAST(CASE {' '.join(own)} ELSE {name} END AS {field.type.duckdb()})" if own else name
        columns.append(f"{cast} AS {name}")
    same = " AND ".join(f"d.{_quoted(f.name)} IS NOT DISTINCT FROM l.{_quoted(f.name)}" for f in dataset.fields)
    source = "(SELECT *, hash(_row) AS _h FROM later)"
    con.execute(
        f"CREATE TABLE damaged AS SELECT d.*, CASE WHEN {same} THEN NULL ELSE d._done END AS _damage FROM "  # noqa: S608
        f"(SELECT {', '.join(columns)}, _row, CASE {' '.join(kinds)} END AS _done FROM {source}) d JOIN later l USING (_row)"
    )


def _kinds(field: Field) -> Mapping[str, str]:
    kind = field.type.kind
    return TEXT if kind == "string" else NUMBER if kind in _NUMBERS else DATE if kind == "date" else {}


def _flag(
    con: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    proposals: list[Proposal],
    contract: Dataset,
    code_sets: Mapping[str, CodeSet],
) -> None:
    """Table `judged`: the damage of each row, and whether one of the accepted rules holds it."""
    document = {"name": contract.name, "expectations": [p.expectation for p in proposals if p.expectation]}
    suite, _ = parse_suite(json.dumps(document, ensure_ascii=False, default=str), file="s", dataset=contract.name)
    conditions = ["FALSE"]
    for rule in compile_rules(dataset, suite, code_sets).rules:
        present = " AND ".join(f"{_quoted(c)} IS NOT NULL" for c in rule.columns) or "TRUE"
        match rule:
            case RowRule() if not rule.id.startswith("type:"):
                conditions.append(f"coalesce(({rule.applies or 'TRUE'}) AND ({rule.unexpected}), FALSE)")
            case UniqueRule():
                keys = ", ".join(map(_quoted, rule.columns))
                conditions.append(f"({present} AND count(*) OVER (PARTITION BY {keys}) > 1)")
            case CodeSetRule():
                con.register(f"codes_{rule.code_set}", pa.table({"code": list(code_sets[rule.code_set].codes)}))
                value = rule.key or f"CAST({_quoted(rule.columns[0])} AS VARCHAR)"
                conditions.append(f"({present} AND {value} NOT IN (SELECT code FROM codes_{rule.code_set}))")  # noqa: S608
    bad = {f"{f.name}__bad": "FALSE" for f in dataset.fields}
    flags = ", ".join(f"{value} AS {_quoted(name)}" for name, value in bad.items())
    con.execute(
        f"CREATE TABLE judged AS SELECT _damage, {' OR '.join(conditions)} AS _flagged FROM (SELECT *, {flags} FROM damaged)"  # noqa: S608
    )


def _undeclared(dataset: Dataset) -> Dataset:
    """The contract as it would be before anybody wrote a rule: names, types and classifications alone."""
    return replace(
        dataset,
        fields=tuple(
            Field(f.name, f.type, f.source_name, classification=f.classification, domain=f.domain)
            for f in dataset.fields
        ),
    )


def _stored(context: Context, dataset: Dataset, month: int) -> pa.Table:
    """What was let in of one month, read under a grant."""
    from governance.keys import grants
    from governance.state.values import Actor

    snapshot = context.lake.snapshot(dataset.name)
    assert snapshot is not None
    columns = [*(f.name for f in dataset.fields), "_batch", "_row"]
    actor = Actor(f"service:manage@{dataset.department}", "pipeline.suggest", "bench")
    keys = sorted(context.lake.keys(dataset.name, snapshot, columns))
    with context.database.unit_of_work() as tx:
        grant = grants.issue(tx, actor=actor, keys=keys, database=context.database)
    with context.lake.scan(dataset.name, snapshot, columns, grant_id=grant.id, current=True) as reader:
        table = reader.read_all()
    start = f"@{datetime(2026, month, 1, tzinfo=UTC):%Y%m%d}"
    return table.filter(pc.match_substring(table["_batch"].cast(pa.string()), start))


def _chicago() -> Iterator[tuple[Dataset, pa.Table, pa.Table]]:
    """Earlier and later rows of three tables, with the types that DuckDB finds in the files."""
    split: Mapping[str, tuple[str, str]] = {
        "health_food_inspections": ("Inspection_Date < DATE '2014-01-01'", "Inspection_Date >= DATE '2014-01-01'"),
        "business_affairs_licenses": (
            "LICENSE_TERM_START_DATE < DATE '2013-06-01'",
            "LICENSE_TERM_START_DATE >= DATE '2013-06-01'",
        ),
        "streets_sanitation_complaints": ("Creation_Date < DATE '2014-06-01'", "Creation_Date >= DATE '2014-06-01'"),
    }
    for name, (earlier, later) in split.items():
        with duckdb.connect() as con:
            file = REAL / f"{name}.csv.gz"
            con.execute(
                f"CREATE TABLE t AS SELECT *, 'b' AS _batch, row_number() OVER () AS _row FROM read_csv('{file}')"  # noqa: S608
            )
            kinds = con.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 't'").fetchall()
            fields = tuple(
                Field(column, _type(kind), column, classification=Level.L1)
                for column, kind in kinds
                if column not in ("_batch", "_row")
            )
            cast = ", ".join(f"CAST({_quoted(f.name)} AS {f.type.duckdb()}) AS {_quoted(f.name)}" for f in fields)
            first, second = (
                con.sql(f"SELECT {cast}, _batch, _row FROM t WHERE {w}").to_arrow_table()  # noqa: S608
                for w in (earlier, later)
            )
        yield Dataset(f"chicago.{name}", "chicago", "s", "1", fields, None, "f", "0"), first, second


def _type(kind: str) -> ColumnType:
    if kind in ("BIGINT", "INTEGER"):
        return ColumnType("integer")
    if kind in ("DATE", "DOUBLE"):
        return ColumnType("date" if kind == "DATE" else "double")
    return ColumnType("string")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
