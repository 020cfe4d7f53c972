"""`record_trace`: from one row of a published two-join aggregate back to its landed records, encryption on.

`BENCH_ROWS` invoices (10 million) of a fiftieth as many enterprises, joined with their register and their taxpayers and
summed by enterprise; stored, built and released as the pipeline does it. `ours_s` is the median over `TRACES` keys of the
whole of `record_trace`: decision, plan, ledger entry and grant, query, positions, second ledger entry. Every answer is
compared with the records that a scan of the stored tables finds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
from sqlalchemy import insert

from benchmarks.measure import BUILD
from governance.keys import grants
from governance.keys.names import DigestKeyName
from governance.keys.tokens import sql_standard, tokens
from governance.lake.lake import TableChange
from governance.lake.specs import stored_spec
from governance.pipeline.context import Context
from governance.pipeline.curate import build_models
from governance.pipeline.record_trace import record_trace
from governance.pipeline.trace_answer import RecordTrace
from governance.state.tables import batch
from governance.state.values import LANDED, Actor, Landed, LandedFile
from tests.pipeline.home import Home, empty_home
from tests.pipeline.traced import ACCESS, publish

ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))
TRACES = 21
CODE = {
    "logicalType": "string",
    "classification": "L4",
    "tags": ["identifier"],
    "customProperties": [{"property": "gov.domain", "value": "enterprise"}],
}
AMOUNT = {"logicalType": "number", "physicalType": "DECIMAL(18,2)", "classification": "L3"}
KIND = {"logicalType": "string", "classification": "L1"}
DISTRICT = {"logicalType": "string", "classification": "L1", "tags": ["key"]}
SQL = """\
SELECT max(e.code) AS code, e.code__token, max(e.district) AS district, max(t.kind) AS kind,
    CAST(sum(i.amount) AS DECIMAL(24, 2)) AS amount, count(*) AS invoices
FROM tax.invoices AS i
JOIN market.enterprises AS e ON e.code__token = i.code__token
JOIN tax.taxpayers AS t ON t.code__token = e.code__token
GROUP BY e.code__token
"""
ACTOR = Actor("service:store@tax", "pipeline.store", "bench")


def measure() -> Iterator[dict[str, object]]:
    folder = BUILD / "bench" / "record_trace"
    shutil.rmtree(folder, ignore_errors=True)
    home = _declared(empty_home(folder))
    with home.opened() as context:
        _fill(context)
        began = time.monotonic()
        steps = build_models(context, "bench")
        if [step.outcome for step in steps] != ["done"]:
            raise AssertionError(f"the model was not built: {steps}")
        publish(context)
        print(f"  built in {time.monotonic() - began:.1f} s", flush=True)
        times, found = _traces(context)
        yield {
            "ours_s": round(statistics.median(times), 3),
            "worst_s": round(max(times), 3),
            "first_s": round(times[0], 3),
            "rows": ROWS,
            "records": found,
            "load": round(os.getloadavg()[0], 1),
        }
    shutil.rmtree(folder, ignore_errors=True)


def _traces(context: Context) -> tuple[list[float], int]:
    """Seconds of each trace, and how many records the last one found; AssertionError when one is not right."""
    times, records = [], 0
    for code in random.Random(1).sample(range(_enterprises()), TRACES):
        began = time.monotonic()
        who = {"subject": "user:clerk", "purpose": "service"}
        found = record_trace(context, "curated.turnover", [[_code(code)]], **who, column="invoices")
        times.append(time.monotonic() - began)
        _require(found, code)
        records = len(found.rows)
    return times, records


def _require(found: RecordTrace, code: int) -> None:
    """By arithmetic: invoice n (from 0) is of enterprise n modulo their number."""
    expected = {("tax.invoices", n + 1) for n in range(code, ROWS, _enterprises())}
    expected |= {(table, code + 1) for table in ("market.enterprises", "tax.taxpayers")}
    told = {(row.table, row.row) for row in found.rows}
    if told != expected or not found.exact or any(row.position is None for row in found.rows):
        raise AssertionError("a trace gave other records")


def _declared(home: Home) -> Home:
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS.replace(", without_tags: [use]", ""), encoding="utf-8")
    (home.folder / "gov.toml").write_text("[engine]\nthreads = 2\nmemory_limit_mb = 2048\n", encoding="utf-8")
    home.declare("market.enterprises", {"code": CODE, "district": DISTRICT})
    home.declare("tax.taxpayers", {"code": CODE, "kind": KIND})
    home.declare("tax.invoices", {"code": CODE, "amount": AMOUNT}, mode="append")
    made = {"amount": {**AMOUNT, "physicalType": "DECIMAL(24,2)"}, "invoices": {"logicalType": "integer"}}
    made["invoices"]["classification"] = "L2"
    home.declare("curated.turnover", {"code": CODE, "district": DISTRICT, "kind": KIND, **made}, sql=SQL)
    return home


def _enterprises() -> int:
    return max(1, ROWS // 50)


def _code(number: int) -> str:
    return f"91440106{number:010d}"


def _fill(context: Context) -> None:
    """The stored tables: an invoice every fiftieth of a row, each enterprise in the register and among the taxpayers."""
    with duckdb.connect() as con:
        con.execute(
            f"CREATE TABLE firm AS SELECT i AS n, printf('91440106%010d', i) AS code FROM range({_enterprises()}) t(i)"  # noqa: S608 - a number
        )
        con.register("made", _tokens(context, con))
        con.execute("CREATE TABLE token AS SELECT * FROM made")
        firm = "SELECT f.code, t.token AS code__token, f.n + 1 AS _row, {} FROM firm f JOIN token t USING (n)"
        _put(context, con, "market.enterprises", firm.format("'north' AS district"))
        _put(context, con, "tax.taxpayers", firm.format("'general' AS kind"))
        rows = (
            "SELECT f.code, t.token AS code__token, i + 1 AS _row, (i % 100000)::DECIMAL(18, 2) AS amount"  # noqa: S608
            f" FROM range({ROWS}) r(i) JOIN firm f ON f.n = i % {_enterprises()} JOIN token t USING (n)"
        )
        _put(context, con, "tax.invoices", rows)


def _tokens(context: Context, con: duckdb.DuckDBPyConnection) -> pa.Table:
    rows = con.sql(f"SELECT n, {sql_standard('code')} AS h FROM firm ORDER BY n").to_arrow_table()  # noqa: S608
    key = DigestKeyName("domain", "enterprise")
    with context.database.unit_of_work() as tx:
        grant = grants.issue(
            tx, actor=ACTOR, keys=(), digest_keys=(key,), digest_budget=rows.num_rows, database=context.database
        )
    made = tokens(rows.column("h").combine_chunks(), keystore=context.keystore, key=key, grant_id=grant.id)
    return pa.table({"n": rows.column("n"), "token": made})


def _put(context: Context, con: duckdb.DuckDBPyConnection, name: str, sql: str) -> None:
    dataset, lake = context.catalogue.datasets[name], context.lake
    spec, own = stored_spec(dataset), f"{name}@20260101T000000Z.1"
    lake.ensure(spec)
    columns: Sequence[str] = [c.name for c in spec.columns]
    with lake.writer(spec, own) as writer:
        for part in con.sql(f"SELECT *, '{own}' AS _batch FROM ({sql})").to_arrow_reader(122_880):  # noqa: S608
            fixed = part.column("code__token").cast(pa.binary(12))
            writer.write(part.set_column(part.schema.names.index("code__token"), "code__token", fixed).select(columns))
        files = writer.close()
    prepared = lake.prepare([TableChange(name, files)])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    file = LandedFile(f"{name}.csv", f"{name}.csv", "0" * 64, 1, "")
    landed = LANDED.dump_json(Landed(own, name, (file,), "csv", at, name)).decode()
    with context.database.unit_of_work() as tx:
        lake.swap(tx, prepared)
        values = {"id": own, "dataset": name, "window_start": at, "window_end": at, "revision": 1, "status": "judged"}
        tx.execute(insert(batch).values(**values, recorded_at=at, updated_at=at, landed=landed))


if __name__ == "__main__":
    for line in measure():
        print(json.dumps(line))
