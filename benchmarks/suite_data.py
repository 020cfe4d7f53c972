"""The table, the suite of 20 checks and the home of the `suite_*` measures: 12 columns, three of them encrypted, each kind of fault in about 0.1 %.

The faults are inside the rules' reach alone, not outside the contract's types, so that the store pass lets every row in and the suite meets all.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import BUILD

CODES = 3000
DATASET = "bench.sales"
EMAIL = r"^[a-z0-9.]+@[a-z0-9]+\.[a-z]{2,}$"
STATUSES = ["new", "paid", "sent", "done"]

_TABLE = """
COPY (
    SELECT CASE WHEN i % 1009 = 3 THEN i - 1 WHEN i % 1009 = 500 THEN NULL ELSE i END AS order_id,
        CASE WHEN i % 1013 = 7 THEN '12345' WHEN i % 1013 = 8 THEN NULL WHEN i % 1013 = 9 THEN repeat('A', 18)
             ELSE lpad(CAST(110000000000000000 + i * 7919 AS VARCHAR), 18, '0') END AS code,
        CASE WHEN i % 1019 = 11 THEN NULL WHEN i % 1019 = 12 THEN repeat('长', 21) WHEN i % 1019 = 13 THEN '王5'
             ELSE ['王','李','张','刘','陈','杨','赵','黄'][1 + i % 8] || ['伟','芳','娜','敏','静','强','磊','洋'][1 + (i // 8) % 8] END AS name,
        CASE WHEN i % 1021 = 17 THEN 'lost' WHEN i % 1021 = 18 THEN NULL ELSE ['new','paid','sent','done'][1 + i % 4] END AS status,
        CASE WHEN i % 1031 = 19 THEN 'R9999' WHEN i % 1031 = 20 THEN NULL ELSE 'R' || lpad(CAST(i % {codes} AS VARCHAR), 4, '0') END AS region,
        CASE WHEN i % 1033 = 23 THEN -5.00 WHEN i % 1033 = 24 THEN NULL ELSE (i * 31) % 1000000 / 100.0 END::DECIMAL(18,2) AS amount,
        CASE WHEN i % 1039 = 29 THEN 0 ELSE 1 + i % 9 END AS quantity,
        CASE WHEN i % 1049 = 31 THEN DATE '2019-01-01' ELSE DATE '2026-01-01' + CAST(i % 28 AS INTEGER) END AS ordered_on,
        CASE WHEN i % 1051 = 37 THEN DATE '2018-01-01' ELSE DATE '2026-01-28' + CAST(i % 90 AS INTEGER) END AS shipped_on,
        i // 1000 AS lot, CASE WHEN i % 1061 = 43 THEN greatest(i % 1000 - 1, 0) ELSE i % 1000 END AS seq,
        CASE WHEN i % 10 = 3 THEN NULL WHEN i % 1063 = 41 THEN 'no address' ELSE 'user' || CAST(i % 100000 AS VARCHAR) || '@example.org' END AS email
    FROM range(1, {rows} + 1) r(i)
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

_CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: bench-sales
name: sales
version: 1.0.0
status: active
domain: bench
servers:
- {server: files, type: local, path: sales.parquet, format: parquet}
customProperties:
- {property: gov.system, value: shop}
- {property: gov.loadMode, value: full}
schema:
- name: sales
  properties:
  - {name: order_id, logicalType: integer, classification: L1}
  - {name: code, logicalType: string, classification: L3}
  - {name: name, logicalType: string, classification: L3}
  - {name: status, logicalType: string, classification: L1}
  - {name: region, logicalType: string, classification: L1,
     customProperties: [{property: gov.codeSet, value: regions}, {property: gov.severity.codeSet, value: warn}]}
  - {name: amount, logicalType: number, physicalType: 'DECIMAL(18,2)', classification: L2}
  - {name: quantity, logicalType: integer, classification: L1}
  - {name: ordered_on, logicalType: date, classification: L1}
  - {name: shipped_on, logicalType: date, classification: L1}
  - {name: lot, logicalType: integer, classification: L1}
  - {name: seq, logicalType: integer, classification: L1}
  - {name: email, logicalType: string, classification: L3}
"""

_TOML = """
[engine]
threads = 2
memory_limit_mb = 4096
[sources.shop]
location = "{sources}"
"""


def _one(type: str, *, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{type}", "kwargs": kwargs, "severity": severity}


def checks() -> list[dict[str, Any]]:
    """Nineteen expectations; the twentieth check, the code set of 3,000, is the contract's."""
    present = ("order_id", "code", "name", "status", "region", "amount")
    return [
        *(_one("column_values_to_not_be_null", column=name) for name in present),
        _one("column_values_to_not_be_null", severity="warning", column="email", mostly=0.85),
        _one("column_values_to_be_unique", column="order_id"),
        _one("compound_columns_to_be_unique", column_list=["lot", "seq"]),
        _one("column_values_to_match_regex", column="code", regex="^[0-9]{17}[0-9X]$"),
        _one("column_values_to_match_regex", column="email", regex=EMAIL),
        _one("column_values_to_not_match_regex", column="name", regex="[0-9]"),
        _one("column_value_lengths_to_equal", column="code", value=18),
        _one("column_value_lengths_to_be_between", column="name", min_value=1, max_value=20),
        _one("column_values_to_be_in_set", column="status", value_set=STATUSES),
        _one("column_values_to_be_between", column="amount", min_value=0, max_value=100000),
        _one("column_values_to_be_between", column="quantity", min_value=1, max_value=100),
        _one("column_values_to_be_between", column="ordered_on", min_value="2020-01-01", max_value="2027-01-01"),
        _one("column_pair_values_a_to_be_greater_than_b", column_A="shipped_on", column_B="ordered_on", or_equal=True),
    ]


def plain(rows: int) -> Path:
    """The table as a plain Parquet file, made once."""
    path = BUILD / "bench" / f"sales-{rows}" / "sales.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as con:
            con.execute("SET preserve_insertion_order = true")
            con.execute(_TABLE.format(rows=rows, codes=CODES, path=path))
    return path


def home(rows: int) -> Path:
    """A home in which the table is stored, encrypted and let in whole; and beside it the suite as `suite.json`."""
    from governance.config import load_settings
    from governance.pipeline.context import open_context
    from governance.pipeline.run import run_all
    from governance.state.values import Window

    folder = BUILD / "bench" / f"sales-home-{rows}"
    shutil.rmtree(folder, ignore_errors=True)
    files = {
        "gov.toml": _TOML.format(sources=plain(rows).parent),
        "catalog/bench/sales.odcs.yaml": _CONTRACT,
        "catalog/standards/regions.csv": "code\n" + "".join(f"R{i:04}\n" for i in range(CODES)),
        "catalog/access.yaml": "version: 1\nroles: []\npurposes: []\nsubjects: []\nrules: []\n",
        "suite.json": json.dumps({"name": DATASET, "expectations": checks(), "meta": {}}),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "expectations").mkdir()
    context = open_context(load_settings(folder))
    result = run_all(context, Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)))
    context.database.close()
    assert not result.failed, result.failed
    return folder
