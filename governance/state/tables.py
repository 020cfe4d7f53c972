"""Every table of the state database. Rows are superseded, never overwritten, wherever an auditor may ask "what was in force then".

JSON columns hold the frozen values of `state.values`; no table holds a cell value of the governed data. Instants are aware UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    literal_column,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant on every engine (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("naive instant")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_BIG = BigInteger().with_variant(Integer, "sqlite")

text = Table(
    "text",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

in_force = Table(
    "in_force",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("name", String(255), nullable=False),
    Column("sha256", String(64), ForeignKey("text.sha256"), nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_to", Instant),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_in_force_name", "kind", "name", "valid_to"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("dataset", String(255), nullable=False),
    Column("window_start", Instant, nullable=False),
    Column("window_end", Instant, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("replaced_by", String(255)),
    Column("landed", Text),
    Column("base", Text),
    Column("stored", Text),
    Column("judged", Text),
    Column("error", Text),
    Column("recorded_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("dataset", "window_start", "revision"),
    Index("ix_batch_dataset_status", "dataset", "status"),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires_at", Instant, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("run", String(64), nullable=False, index=True),
    Column("stage", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("purpose", String(255), nullable=False),
    Column("batch", String(255)),
    Column("output", String(255), nullable=False),
    Column("output_snapshot", _BIG),
    Column("outcome", String(32), nullable=False),
    Column("counts", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("edge_set", String(64)),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_run_output", "output", "stage"),
)

run_input = Table(
    "run_input",
    metadata,
    Column("run_row", _BIG, ForeignKey("run.id"), primary_key=True),
    Column("input", String(512), primary_key=True),
    Column("snapshot", _BIG),
)

edge_set = Table(
    "edge_set",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("output", String(255), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

edge = Table(
    "edge",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("edge_set", String(64), ForeignKey("edge_set.id"), nullable=False, index=True),
    Column("input", String(255), nullable=False),
    Column("input_column", String(255), nullable=False),
    Column("output_column", String(255), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("subtype", String(16), nullable=False),
    Column("masking", Boolean, nullable=False),
    Index("ix_edge_input", "input", "input_column"),
)

pin = Table(
    "pin",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("model", String(255), nullable=False),
    Column("run", String(64), nullable=False),
    Column("pin", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("model", "run"),
)

build = Table(
    "build",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("model", String(255), nullable=False, index=True),
    Column("run", String(64), nullable=False),
    Column("pin", String(64), ForeignKey("pin.id"), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("snapshot", _BIG),
    Column("built", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("model", "run"),
)

finding = Table(
    "finding",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("model", String(255), nullable=False),
    Column("check_name", String(255), nullable=False),
    Column("pin", String(64), nullable=False),
    Column("token", LargeBinary),
    Column("left_batch", String(255)),
    Column("left_row", _BIG),
    Column("right_batch", String(255)),
    Column("right_row", _BIG),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_finding_model", "model", "check_name", "pin"),
)

validation = Table(
    "validation",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("subject", String(255), nullable=False),
    Column("batch", String(255)),
    Column("run", String(64), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("rules_hash", String(64), nullable=False),
    Column("counts", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("looked_at", Instant),  # when its failures became incidents; NULL: not yet
    Index("ix_validation_subject", "subject", "recorded_at"),
    Index("ix_validation_looked_at", "looked_at", "id"),
)

# An expectation that fails, from the first validation that found it failing to the one that found it met again.
incident = Table(
    "incident",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("subject", String(255), nullable=False),
    Column("expectation", String(255), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("column_name", String(255), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("opened_by", _BIG, ForeignKey("validation.id"), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("last_by", _BIG, ForeignKey("validation.id"), nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("unexpected", _BIG),
    Column("failures", _BIG, nullable=False),
    Column("closed_by", _BIG, ForeignKey("validation.id")),
    Column("closed_at", Instant),
    Column("told_opened_at", Instant),
    Column("told_closed_at", Instant),
    Index("ix_incident_subject", "subject", "expectation", "closed_at"),
)

release = Table(
    "release",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("document", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

approval = Table(
    "approval",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("release", String(64), ForeignKey("release.id"), nullable=False, index=True),
    Column("subject", String(255), nullable=False),
    Column("decision", String(16), nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

grant = Table(
    "grant",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("subject", String(255), nullable=False),
    Column("purpose", String(255), nullable=False),
    Column("run", String(64), nullable=False),
    Column("keys", Text, nullable=False),
    Column("digest_budget", _BIG, nullable=False),
    Column("decision_hash", String(64), nullable=False),
    Column("issued_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

# Epochs of master keys beyond the first: new data keys are wrapped under the greatest epoch of a name (`owner/table/group`).
key_epoch = Table(
    "key_epoch",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("plan", String(64), nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

_NO_POSITION = literal_column("position IS NULL", Boolean)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("writer", String(64), nullable=False),
    Column("counter", _BIG, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("position", _BIG, unique=True),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("writer", "counter"),
    Index("ix_ledger_entry_waiting", "id", postgresql_where=_NO_POSITION).ddl_if(dialect="postgresql"),
)

# Hashes of the ledger's Merkle tree, 256 a tile: `level` 0 holds leaf hashes, level n the roots of full tiles of level n - 1.
ledger_tile = Table(
    "ledger_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", _BIG, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

# Signed heads of the ledger; the signed text (`ledger.note`) is made of these columns. `signature` and keys are hex.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", _BIG, primary_key=True, autoincrement=False),
    Column("origin", String(255), nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)

countersignature = Table(
    "countersignature",
    metadata,
    Column("size", _BIG, ForeignKey("checkpoint.size"), primary_key=True),
    Column("public_key", String(64), primary_key=True),
    Column("witness", String(255), nullable=False),
    Column("signature", String(160), nullable=False),
    Column("at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

# How far each place outside has been told of checkpoints.
checkpoint_sent = Table(
    "checkpoint_sent",
    metadata,
    Column("target", String(255), primary_key=True),
    Column("size", _BIG, ForeignKey("checkpoint.size"), nullable=False),
    Column("at", Instant, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("delivered_at", Instant),
)

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
    Column("snapshot", _BIG, primary_key=True, autoincrement=False),
    Column("sequence", _BIG, nullable=False),
    Column("schema_id", Integer, nullable=False),
    Column("metadata_location", String(1000), nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

lake_file = Table(
    "lake_file",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("table_name", String(255), nullable=False),
    Column("path", String(1000), nullable=False, unique=True),
    Column("rows", _BIG, nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("schema_id", Integer, nullable=False),
    Column("encrypted", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("added", _BIG, nullable=False),
    Column("removed", _BIG),
    Index("ix_lake_file_table", "table_name", "added", "removed"),
)

# Copies of curated tables for lookups by key (`lake.serving`), under the same keys as the table; gone when their snapshot is not published any more.
serving = Table(
    "serving",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("table_name", String(255), nullable=False),
    Column("key_column", String(255), nullable=False),
    Column("snapshot", _BIG, nullable=False),
    Column("path", String(1000), nullable=False, unique=True),
    Column("rows", _BIG, nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("encrypted", Text, nullable=False),
    Column("names", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("table_name", "key_column", "snapshot"),
)

# How many identifiers a subject has looked up for a purpose in one hour: what the budget is held against.
lookup_spent = Table(
    "lookup_spent",
    metadata,
    Column("subject", String(255), primary_key=True),
    Column("purpose", String(255), primary_key=True),
    Column("hour", Instant, primary_key=True),
    Column("keys", _BIG, nullable=False),
)

# Statements of a subject on one UTC day that aggregated a table's aggregate-only columns: what the budget is held against.
aggregate_spent = Table(
    "aggregate_spent",
    metadata,
    Column("subject", String(255), primary_key=True),
    Column("table_name", String(255), primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("statements", _BIG, nullable=False),
)

# Requests of access and break-glasses (`use.requests`, `use.break_glass`): the canonical document by its hash, and what became of it.
access_request = Table(
    "access_request",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("purpose", String(255), nullable=False),
    Column("document", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

access_step = Table(
    "access_step",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("request", String(64), ForeignKey("access_request.id"), nullable=False, index=True),
    Column("step", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("document", Text, nullable=False),
    Column("signature", String(128)),
    Column("recorded_at", Instant, nullable=False),
)

# Consents given and withdrawn (`use.consents`): tokens of an identifier domain, 12 bytes each, never values. The set is what its changes leave.
consent_change = Table(
    "consent_change",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("scope", String(64), nullable=False),
    Column("domain", String(64), nullable=False),
    Column("given", Boolean, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("version", String(64), nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_consent_change_scope", "scope", "domain", "id"),
)

# Logins of the query service: an API key is known by its SHA-256 alone; a one-time token by that of issuer and `jti`, until it expires.
service_key = Table(
    "service_key",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("subject", String(255), nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

service_token_seen = Table(
    "service_token_seen",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("expires_at", Instant, nullable=False, index=True),
)
