"""The reference of `governed_run`: one hand-written DuckDB script over the same files, rules, joins and outputs, all plain zstd Parquet.

No landed copy, no encryption, no tokens, no positions, no lineage, no ledger, no policy: what an engineer would write who needs none of it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

TYPED_ORDERS = """
CREATE TEMP TABLE orders AS
WITH raw AS (SELECT * FROM read_csv('{sources}/orders.csv', all_varchar = true, header = true)),
repeated AS (SELECT order_id FROM raw WHERE order_id IS NOT NULL GROUP BY order_id HAVING count(*) > 1),
typed AS (
    SELECT TRY_CAST(order_id AS BIGINT) AS order_id, person_no, phone, name, address, status, region,
        TRY_CAST(amount AS DECIMAL(18,2)) AS amount, TRY_CAST(quantity AS BIGINT) AS quantity,
        TRY_CAST(ordered_on AS DATE) AS ordered_on, TRY_CAST(shipped_at AS TIMESTAMP) AS shipped_at, TRY_CAST(score AS DOUBLE) AS score,
        order_id AS order_id_raw, amount AS amount_raw, quantity AS quantity_raw, ordered_on AS ordered_on_raw,
        shipped_at AS shipped_at_raw, score AS score_raw
    FROM raw
)
SELECT t.* EXCLUDE (order_id_raw, amount_raw, quantity_raw, ordered_on_raw, shipped_at_raw, score_raw),
    list_filter([
        CASE WHEN t.order_id IS NULL THEN 'required:order_id' END,
        CASE WHEN t.order_id IS NULL AND order_id_raw IS NOT NULL THEN 'type:order_id' END,
        CASE WHEN rep.order_id IS NOT NULL THEN 'unique:order_id' END,
        CASE WHEN person_no IS NULL THEN 'required:person_no' END,
        CASE WHEN length(person_no) <> 18 THEN 'length:person_no' END,
        CASE WHEN NOT regexp_matches(person_no, '^[0-9]{{17}}[0-9X]$') THEN 'pattern:person_no' END,
        CASE WHEN phone IS NULL THEN 'required:phone' END,
        CASE WHEN NOT regexp_matches(phone, '^1[0-9]{{10}}$') THEN 'pattern:phone' END,
        CASE WHEN name IS NULL THEN 'required:name' END,
        CASE WHEN length(name) > 20 THEN 'length:name' END,
        CASE WHEN length(address) > 100 THEN 'length:address' END,
        CASE WHEN t.status IS NULL THEN 'required:status' END,
        CASE WHEN t.status IS NOT NULL AND s.code IS NULL THEN 'codeSet:status' END,
        CASE WHEN t.region IS NULL THEN 'required:region' END,
        CASE WHEN t.region IS NOT NULL AND g.code IS NULL THEN 'codeSet:region' END,
        CASE WHEN amount IS NULL THEN 'required:amount' END,
        CASE WHEN amount IS NULL AND amount_raw IS NOT NULL THEN 'type:amount' END,
        CASE WHEN amount < 0 OR amount > 100000 THEN 'range:amount' END,
        CASE WHEN quantity IS NULL THEN 'required:quantity' END,
        CASE WHEN quantity IS NULL AND quantity_raw IS NOT NULL THEN 'type:quantity' END,
        CASE WHEN quantity < 1 OR quantity > 100 THEN 'range:quantity' END,
        CASE WHEN ordered_on IS NULL THEN 'required:ordered_on' END,
        CASE WHEN ordered_on IS NULL AND ordered_on_raw IS NOT NULL THEN 'type:ordered_on' END,
        CASE WHEN shipped_at IS NULL AND shipped_at_raw IS NOT NULL THEN 'type:shipped_at' END,
        CASE WHEN score IS NULL AND score_raw IS NOT NULL THEN 'type:score' END
    ], lambda x: x IS NOT NULL) AS reasons
FROM typed t
LEFT JOIN repeated rep ON rep.order_id = t.order_id_raw
LEFT JOIN status_codes s ON s.code = t.status
LEFT JOIN region_codes g ON g.code = t.region
"""

TYPED_MEMBERS = """
CREATE TEMP TABLE members AS
WITH raw AS (SELECT * FROM read_parquet('{sources}/members.parquet')),
repeated AS (SELECT person_no FROM raw WHERE person_no IS NOT NULL GROUP BY person_no HAVING count(*) > 1)
SELECT m.*, list_filter([
        CASE WHEN m.person_no IS NULL THEN 'required:person_no' END,
        CASE WHEN rep.person_no IS NOT NULL THEN 'unique:person_no' END,
        CASE WHEN grade IS NULL THEN 'required:grade' END,
        CASE WHEN joined_on IS NULL THEN 'required:joined_on' END,
        CASE WHEN m.region IS NULL THEN 'required:region' END,
        CASE WHEN m.region IS NOT NULL AND g.code IS NULL THEN 'codeSet:region' END
    ], lambda x: x IS NOT NULL) AS reasons
FROM raw m LEFT JOIN repeated rep ON rep.person_no = m.person_no LEFT JOIN region_codes g ON g.code = m.region
"""

WRITE = """
COPY (SELECT * EXCLUDE reasons FROM {table} WHERE len(reasons) = 0) TO '{out}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd);
COPY (SELECT * FROM {table} WHERE len(reasons) > 0) TO '{out}/{table}_quarantine.parquet' (FORMAT parquet, COMPRESSION zstd);
"""

CURATED = """
COPY (
    SELECT o.region, m.grade, count(*) AS orders, sum(o.amount) AS amount
    FROM read_parquet('{out}/orders.parquet') o JOIN read_parquet('{out}/members.parquet') m ON o.person_no = m.person_no
    GROUP BY o.region, m.grade
) TO '{out}/turnover.parquet' (FORMAT parquet, COMPRESSION zstd)
"""


def main(sources: Path, home: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute("SET threads = 2")
        con.execute("SET preserve_insertion_order = false")
        for name in ("status", "regions"):
            table = {"status": "status_codes", "regions": "region_codes"}[name]
            path = home / "catalog" / "standards" / f"{name}.csv"
            con.execute(f"CREATE TEMP TABLE {table} AS SELECT code FROM read_csv('{path}', all_varchar = true)")  # noqa: S608
        con.execute(TYPED_ORDERS.format(sources=sources))
        con.execute(WRITE.format(table="orders", out=out))
        con.execute("DROP TABLE orders")
        con.execute(TYPED_MEMBERS.format(sources=sources))
        con.execute(WRITE.format(table="members", out=out))
        con.execute(CURATED.format(out=out))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
