"""The data and the home of `governed_run`: 12 columns, four of them sensitive, one token column with distinct values, 0.5 % faulty rows.

`bench.orders` comes as CSV, `bench.members` (a tenth of the rows, 4 columns) as Parquet; `curated.turnover` joins them by token.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from benchmarks.measure import BUILD

REGIONS = 2990

ORDERS = """
COPY (
    SELECT i AS order_id,
        lpad(CAST(110000000000000000 + i * 7919 AS VARCHAR), 18, '0') AS person_no,
        '13' || lpad(CAST((i * 7907) % 1000000000 AS VARCHAR), 9, '0') AS phone,
        ['王','李','张','刘','陈','杨','赵','黄'][1 + i % 8] || ['伟','芳','娜','敏','静','强','磊','洋'][1 + (i // 8) % 8] AS name,
        ['人民路','解放路','中山路','建设路'][1 + i % 4] || CAST(i % 997 AS VARCHAR) || '号' AS address,
        CASE WHEN i % 800 = 17 THEN 'lost' ELSE ['new','paid','sent','done'][1 + i % 4] END AS status,
        'R' || lpad(CAST(i % {regions} AS VARCHAR), 4, '0') AS region,
        CASE WHEN i % 800 = 401 THEN '-5.00' ELSE CAST(CAST((i * 31) % 1000000 / 100.0 AS DECIMAL(18,2)) AS VARCHAR) END AS amount,
        CASE WHEN i % 800 = 633 THEN '0' ELSE CAST(1 + i % 9 AS VARCHAR) END AS quantity,
        CAST(DATE '2026-01-01' + CAST(i % 28 AS INTEGER) AS VARCHAR) AS ordered_on,
        strftime(TIMESTAMP '2026-01-02 00:00:00' + to_seconds(CAST(i % 2000000 AS BIGINT)), '%Y-%m-%d %H:%M:%S') AS shipped_at,
        CASE WHEN i % 10 = 3 THEN NULL WHEN i % 800 = 201 THEN 'n/a' ELSE CAST((i % 1000) / 7.0 AS VARCHAR) END AS score
    FROM range(1, {rows} + 1) r(i)
) TO '{path}' (FORMAT csv, HEADER)
"""

MEMBERS = """
COPY (
    SELECT lpad(CAST(110000000000000000 + i * 79190 AS VARCHAR), 18, '0') AS person_no,
        ['A','B','C'][1 + i % 3] AS grade, DATE '2020-01-01' + CAST(i % 1500 AS INTEGER) AS joined_on,
        'R' || lpad(CAST(i % {regions} AS VARCHAR), 4, '0') AS region
    FROM range(1, {rows} // 10 + 1) r(i)
) TO '{path}' (FORMAT parquet, COMPRESSION zstd)
"""

GOV_TOML = """
[engine]
threads = 2
memory_limit_mb = 2048
[sources.shop]
location = "{sources}"
"""

CONTRACT_HEAD = """apiVersion: v3.1.0
kind: DataContract
id: {id}
name: {name}
version: 1.0.0
status: active
domain: bench
team: {{name: bench, members: [{{username: bench-steward, role: steward}}]}}
"""

ORDERS_CONTRACT = (
    CONTRACT_HEAD.format(id="bench-orders", name="orders")
    + """servers:
- {server: files, type: local, path: orders.csv, format: csv}
customProperties:
- {property: gov.system, value: shop}
- {property: gov.loadMode, value: full}
schema:
- name: orders
  properties:
  - {name: order_id, logicalType: integer, required: true, unique: true, classification: L1}
  - {name: person_no, logicalType: string, required: true, classification: L3, tags: [personal],
     logicalTypeOptions: {minLength: 18, maxLength: 18, pattern: '^[0-9]{17}[0-9X]$'},
     customProperties: [{property: gov.domain, value: person}]}
  - {name: phone, logicalType: string, required: true, classification: L3, logicalTypeOptions: {pattern: '^1[0-9]{10}$'}}
  - {name: name, logicalType: string, required: true, classification: L3, logicalTypeOptions: {maxLength: 20}}
  - {name: address, logicalType: string, classification: L3, logicalTypeOptions: {maxLength: 100}}
  - {name: status, logicalType: string, required: true, classification: L1, customProperties: [{property: gov.codeSet, value: status}]}
  - {name: region, logicalType: string, required: true, classification: L1, customProperties: [{property: gov.codeSet, value: regions}]}
  - {name: amount, logicalType: number, physicalType: 'DECIMAL(18,2)', required: true, classification: L2, logicalTypeOptions: {minimum: 0, maximum: 100000}}
  - {name: quantity, logicalType: integer, required: true, classification: L1, logicalTypeOptions: {minimum: 1, maximum: 100}}
  - {name: ordered_on, logicalType: date, required: true, classification: L1}
  - {name: shipped_at, logicalType: timestamp, physicalType: TIMESTAMP, classification: L1}
  - {name: score, logicalType: number, physicalType: DOUBLE, classification: L1}
"""
)

MEMBERS_CONTRACT = (
    CONTRACT_HEAD.format(id="bench-members", name="members")
    + """servers:
- {server: files, type: local, path: members.parquet, format: parquet}
customProperties:
- {property: gov.system, value: shop}
- {property: gov.loadMode, value: full}
schema:
- name: members
  properties:
  - {name: person_no, logicalType: string, required: true, unique: true, classification: L3, customProperties: [{property: gov.domain, value: person}]}
  - {name: grade, logicalType: string, required: true, classification: L1}
  - {name: joined_on, logicalType: date, required: true, classification: L1}
  - {name: region, logicalType: string, required: true, classification: L1, customProperties: [{property: gov.codeSet, value: regions}]}
"""
)

TURNOVER_CONTRACT = (
    CONTRACT_HEAD.format(id="curated-turnover", name="turnover")
    + """schema:
- name: turnover
  properties:
  - {name: region, logicalType: string, required: true, classification: L1}
  - {name: grade, logicalType: string, required: true, classification: L1}
  - {name: orders, logicalType: integer, required: true, classification: L1}
  - {name: amount, logicalType: number, physicalType: 'DECIMAL(38,2)', required: true, classification: L2}
"""
)

TURNOVER_SQL = """SELECT o.region, m.grade, count(*) AS orders, sum(o.amount) AS amount
FROM bench.orders AS o
JOIN bench.members AS m ON o.person_no__token = m.person_no__token
GROUP BY o.region, m.grade
"""


def sources(rows: int) -> Path:
    """The folder with `orders.csv` and `members.parquet` of that size, made once."""
    folder = BUILD / "bench" / f"orders-{rows}"
    if not (folder / "members.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as con:
            con.execute(ORDERS.format(rows=rows, regions=REGIONS, path=folder / "orders.csv"))
            con.execute(MEMBERS.format(rows=rows, regions=REGIONS, path=folder / "members.parquet"))
    return folder


def home(rows: int, access: str) -> Path:
    """A fresh home that declares both datasets and the curated table; `access` is the text of its access.yaml."""
    folder = home_folder(rows)
    shutil.rmtree(folder, ignore_errors=True)
    files = {
        "gov.toml": GOV_TOML.format(sources=sources(rows)),
        "catalog/bench/orders.odcs.yaml": ORDERS_CONTRACT,
        "catalog/bench/members.odcs.yaml": MEMBERS_CONTRACT,
        "catalog/curated/turnover.odcs.yaml": TURNOVER_CONTRACT,
        "catalog/curated/turnover.sql": TURNOVER_SQL,
        "catalog/standards/status.csv": "code\nnew\npaid\nsent\ndone\n",
        "catalog/standards/regions.csv": "code\n" + "".join(f"R{i:04}\n" for i in range(REGIONS)),
        "catalog/access.yaml": access,
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "expectations").mkdir()
    return folder


def home_folder(rows: int) -> Path:
    return BUILD / "bench" / f"home-{rows}"
