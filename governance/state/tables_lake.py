"""Tables of the lake: Iceberg's own catalog, and the plans of its snapshots."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text

from governance.state.schema import BIG, Instant, metadata

# The catalog tables of Apache Iceberg's SQL catalog (names and columns are its): `metadata_location` is the only pointer to what is current.
iceberg_tables = Table(
    "iceberg_tables",
    metadata,
    Column("catalog_name", String(255), primary_key=True),
    Column("table_namespace", String(255), primary_key=True),
    Column("table_name", String(255), primary_key=True),
    Column("metadata_location", String(1000)),
    Column("previous_metadata_location", String(1000)),
    Column("iceberg_type", String(5)),
)

iceberg_namespace_properties = Table(
    "iceberg_namespace_properties",
    metadata,
    Column("catalog_name", String(255), primary_key=True),
    Column("namespace", String(255), primary_key=True),
    Column("property_key", String(255), primary_key=True),
    Column("property_value", String(1000), nullable=False),
)

# The plan of each snapshot, written in the swap that makes it: readers list files without opening Iceberg's manifests.
lake_snapshot = Table(
    "lake_snapshot",
    metadata,
    Column("table_name", String(255), primary_key=True),
    Column("snapshot", BIG, primary_key=True, autoincrement=False),
    Column("sequence", BIG, nullable=False),
    Column("schema_id", Integer, nullable=False),
    Column("metadata_location", String(1000), nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

lake_file = Table(
    "lake_file",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("table_name", String(255), nullable=False),
    Column("path", String(1000), nullable=False, unique=True),
    Column("rows", BIG, nullable=False),
    Column("size_bytes", BIG, nullable=False),
    Column("schema_id", Integer, nullable=False),
    Column("encrypted", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("added", BIG, nullable=False),
    Column("removed", BIG),
    Index("ix_lake_file_table", "table_name", "added", "removed"),
)
