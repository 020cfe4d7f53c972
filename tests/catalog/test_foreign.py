"""Contracts that other people write by the standard, without a word of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.catalog.types import DatabaseSource, FileSource, HttpSource, Reference
from tests.catalog.home import faults, load

ORDERS = """\
apiVersion: {version}
kind: DataContract
id: 53581432-6c55-4ba2-a65f-72344a91553a
name: orders
version: 1.0.0
status: active
tenant: ClimateQuantumInc
domain: seller
dataProduct: my quantum
contractCreatedTs: 2022-11-15T02:59:43+00:00
tags: [transactions]
authoritativeDefinitions:
  - url: https://example.com/wiki/orders
    type: canonicalUrl
description:
  purpose: Views built on top of the seller tables.
  limitations: Data based on seller perspective, no buyer information
  usage: Predict sales over time
servers:
  - server: production
    type: postgres
    host: db.example.com
    port: 5432
    database: pypl-edw
    schema: pp_access_views
    environment: prod
    roles:
      - role: reader
        access: read
schema:
  - name: orders
    physicalName: tbl_orders_1
    physicalType: table
    businessName: Core orders
    description: One row an order
    dataGranularityDescription: Aggregation on columns order_id
    tags: [finance]
    quality:
      - id: row_count
        metric: rowCount
        mustBeGreaterThan: 1000
        type: library
        dimension: completeness
        severity: error
        businessImpact: operational
        schedule: 0 20 * * *
        scheduler: cron
      - type: custom
        engine: greatExpectations
        implementation: |
          type: expect_table_row_count_to_be_between
    customProperties:
      - property: business-key
        value: [order_id, line_id]
    properties:
      - name: order_id
        primaryKey: true
        primaryKeyPosition: 2
        logicalType: string
        physicalType: varchar(18)
        required: true
        unique: true
        classification: restricted
        criticalDataElement: true
        encryptedName: order_id_encrypted
        examples: [ORD-1, 2, null]
        partitioned: false
        partitionKeyPosition: -1
        transformSourceObjects: [table_a]
        transformLogic: select 1
        quality:
          - metric: nullValues
            mustBe: 0
          - metric: duplicateValues
            mustBeLessThan: 10
            unit: rows
          - metric: invalidValues
            arguments:
              validValues: [a, b]
            mustBe: 0
          - type: sql
            query: SELECT count(*) FROM orders
            mustBeBetween: [0, 100]
          - type: text
            description: somebody looks at it
      - name: line_id
        primaryKey: true
        primaryKeyPosition: 1
        physicalType: bigint
      - name: placed_at
        logicalType: timestamp
        physicalType: timestamptz
        logicalTypeOptions:
          format: yyyy-MM-dd'T'HH:mm:ss.SSSXXX
          timezone: true
          defaultTimezone: Etc/UTC
      - name: placed_on
        logicalType: date
        logicalTypeOptions: {{minimum: 2020-01-01}}
      - name: opens
        logicalType: time
      - name: amount
        logicalType: number
        physicalType: "NUMERIC(12, 3)"
        logicalTypeOptions: {{minimum: 0, multipleOf: 0.001}}
      - name: rate
        logicalType: number
        classification: public
      - name: count
        logicalType: integer
        logicalTypeOptions: {{format: i32, exclusiveMaximum: 100}}
      - name: address
        logicalType: object
        properties:
          - name: street
            logicalType: string
            classification: restricted
      - name: labels
        logicalType: array
        items:
          logicalType: string
      - name: untyped
  - name: receivers
    properties:
      - name: order_ref
        logicalType: string
        relationships:
          - to: orders.order_id
            type: foreignKey
      - name: by_path
        logicalType: string
        relationships:
          - to: schema/orders/properties/order_id
price:
  priceAmount: 9.95
  priceCurrency: USD
  priceUnit: megabyte
team:
  - username: ceastwood
    role: Data Scientist
    dateIn: 2022-08-02
    dateOut: 2022-10-01
    replacedByUsername: mhopper
  - username: mhopper
    role: Owner
    dateIn: 2022-10-01
roles:
  - role: microstrategy_user_opr
    access: read
    firstLevelApprovers: Reporting Manager
    secondLevelApprovers: mandolorian
slaProperties:
  - property: latency
    value: 4
    unit: d
    element: orders.placed_at
  - property: frequency
    value: 1
    unit: d
    element: orders.placed_at
    driver: regulatory
  - property: generalAvailability
    value: 2022-05-12T09:30:10-08:00
support:
  - channel: "#product-help"
    tool: slack
    url: https://example.com/slack
  - channel: datacontract-ann
    scope: announcements
customProperties:
  - property: refRulesetName
    value: gcsc.ruleset.name
  - property: someObject
    value: {{a: 1}}
"""


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.2", "v3.1.0", "v3.1.7"])
def test_a_full_contract_of_the_standard_loads_as_several_datasets(tmp_path: Path, version: str) -> None:
    catalogue = load(tmp_path, {"catalog/seller/contract.odcs.yaml": ORDERS.format(version=version)})
    assert list(catalogue.datasets) == ["seller.orders", "seller.receivers"]
    orders = catalogue.datasets["seller.orders"]
    assert [f.name for f in orders.key] == ["line_id", "order_id"]
    assert (orders.owner, orders.update_cycle, orders.system) == ("mhopper", "daily", "seller")
    assert catalogue.datasets["seller.receivers"].update_cycle is None
    location = "postgresql+psycopg://db.example.com:5432/pypl-edw"
    assert orders.source == DatabaseSource(location, "tbl_orders_1", "pp_access_views")


def test_other_types_find_a_column_type(tmp_path: Path) -> None:
    orders = load(tmp_path, {"catalog/seller/contract.odcs.yaml": ORDERS.format(version="v3.1.0")}).datasets[
        "seller.orders"
    ]
    assert {f.name: f.type.duckdb() for f in orders.fields} == {
        "order_id": "VARCHAR",
        "line_id": "BIGINT",
        "placed_at": "TIMESTAMP",
        "placed_on": "DATE",
        "opens": "VARCHAR",
        "amount": "DECIMAL(12,3)",
        "rate": "DOUBLE",
        "count": "BIGINT",
        "address": "VARCHAR",
        "labels": "VARCHAR",
        "untyped": "VARCHAR",
    }
    assert orders.field("placed_at").format == "%Y-%m-%dT%H:%M:%S.%f%z"
    assert orders.field("placed_on").minimum == "2020-01-01"


def test_levels_that_are_not_ours_count_as_unclassified(tmp_path: Path) -> None:
    orders = load(tmp_path, {"catalog/seller/contract.odcs.yaml": ORDERS.format(version="v3.1.0")}).datasets[
        "seller.orders"
    ]
    assert {f.classification for f in orders.fields} == {None}
    assert {f.group for f in orders.fields} == {"unclassified"}


def test_references_inside_a_contract_go_by_its_own_names(tmp_path: Path) -> None:
    catalogue = load(tmp_path, {"catalog/seller/contract.odcs.yaml": ORDERS.format(version="v3.1.0")})
    wanted = Reference("seller.orders", "order_id")
    assert [f.references for f in catalogue.datasets["seller.receivers"].fields] == [wanted, wanted]


def test_a_contract_without_servers_is_declared_but_has_no_source(tmp_path: Path) -> None:
    text = "apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: '1'\nstatus: draft\nschema: [{name: t, properties: [{name: a}]}]\n"
    dataset = load(tmp_path, {"catalog/seller/orders.odcs.yaml": text}).datasets["seller.orders"]
    assert dataset.source is None


SERVER = """\
apiVersion: v3.1.0
kind: DataContract
id: a
version: 1.0.0
status: active
servers:
  - {server}
schema:
  - name: orders
    customProperties: [{{property: gov.system, value: shop}}]
    properties: [{{name: a, logicalType: string, classification: L1}}]
"""


@pytest.mark.parametrize(
    ("server", "override", "source"),
    [
        ("{server: a, type: local, path: in/o.csv, format: csv}", "", FileSource("in/o.csv", "csv")),
        ("{server: a, type: local, path: o.xlsx, format: xlsx}", "/data", FileSource("/data/o.xlsx", "excel")),
        ("{server: a, type: local, path: 'in/{model}.jsonl.gz', format: json}", "", FileSource("in/orders.jsonl.gz", "jsonl")),
        ("{server: a, type: custom, path: o.tsv}", "", FileSource("o.tsv", "csv", delimiter="\t")),
        ("{server: a, type: local, path: o.avro, format: avro}", "", None),
        ("{server: a, type: kafka, host: k.example}", "", None),
        ("{server: a, type: snowflake, account: a, database: d, schema: s}", "", None),
        ("{server: a, type: api, location: 'https://x.example/o.csv?all=1'}", "", HttpSource("https://x.example/o.csv?all=1", "csv")),
        ("{server: a, type: api, location: 'https://x.example/o.csv'}", "/data", FileSource("/data/o.csv", "csv")),
        (
            "{server: a, type: custom, location: 'https://x.example/api', path: o.csv, format: csv}",
            "/data",
            FileSource("/data/o.csv", "csv"),
        ),
        ("{server: a, type: local, path: in/o.csv, format: csv}", "https://x.example/all/", HttpSource("https://x.example/all/o.csv", "csv")),
        (
            "{server: a, type: mysql, host: m, port: 3306, database: d}",
            "",
            DatabaseSource("mysql+pymysql://m:3306/d", "orders"),
        ),
        (
            "{server: a, type: oracle, host: m, port: 1521, serviceName: s}",
            "",
            DatabaseSource("oracle+oracledb://m:1521/?service_name=s", "orders"),
        ),
        (
            "{server: a, type: custom, customProperties: [{property: gov.url, value: 'sqlite:///a.db'}, {property: gov.table, value: x.y}]}",
            "",
            DatabaseSource("sqlite:///a.db", "y", "x"),
        ),
        (
            "{server: a, type: mysql, host: m, port: 3306, database: d}",
            "mysql+pymysql://${USER}:${PW}@other/d",
            DatabaseSource("mysql+pymysql://${USER}:${PW}@other/d", "orders"),
        ),
    ],
)  # fmt: skip
def test_servers_become_sources(tmp_path: Path, server: str, override: str, source: object) -> None:
    toml = f'[sources.shop]\nlocation = "{override}"\n' if override else ""
    text = SERVER.format(server=server)
    assert load(tmp_path, {"gov.toml": toml, "catalog/a/orders.odcs.yaml": text}).datasets["a.orders"].source == source


def test_a_folder_is_no_place_for_a_database(tmp_path: Path) -> None:
    text = SERVER.format(server="{server: a, type: mysql, host: m, port: 3306, database: d}")
    found = faults(tmp_path, {"gov.toml": '[sources.shop]\nlocation = "data"\n', "catalog/a/orders.odcs.yaml": text})
    assert [(f.line, f.found) for f in found] == [(6, "[sources.shop] has no database URL")]
