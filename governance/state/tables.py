"""The tables of the pipeline; those of the lake are in `tables_lake.py`, of the use of what is published in `tables_use.py`.

Rows are superseded, never overwritten, wherever an auditor may ask "what was in force then". JSON columns hold the frozen values of
`state.values`; no table holds a cell value of the governed data. Instants are aware UTC.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
)

from governance.state.schema import BIG, Instant, metadata

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
    Column("id", BIG, primary_key=True, autoincrement=True),
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
    Column("recorded_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("error", Text),
    Column("judged", Text),
    Column("landed", Text),  # the long texts stand last: SQLite walks over them to what follows
    Column("base", Text),
    Column("stored", Text),
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
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("run", String(64), nullable=False, index=True),
    Column("stage", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("purpose", String(255), nullable=False),
    Column("batch", String(255)),
    Column("output", String(255), nullable=False),
    Column("output_snapshot", BIG),
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
    Column("run_row", BIG, ForeignKey("run.id"), primary_key=True),
    Column("input", String(512), primary_key=True),
    Column("snapshot", BIG),
)

edge_set = Table(
    "edge_set",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("output", String(512), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

edge = Table(
    "edge",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("edge_set", String(64), ForeignKey("edge_set.id"), nullable=False, index=True),
    Column("input", String(512), nullable=False),
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
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("model", String(255), nullable=False, index=True),
    Column("run", String(64), nullable=False),
    Column("pin", String(64), ForeignKey("pin.id"), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("snapshot", BIG),
    Column("built", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("model", "run"),
)

finding = Table(
    "finding",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("model", String(255), nullable=False),
    Column("check_name", String(255), nullable=False),
    Column("pin", String(64), nullable=False),
    Column("token", LargeBinary),
    Column("left_batch", String(255)),
    Column("left_row", BIG),
    Column("right_batch", String(255)),
    Column("right_row", BIG),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_finding_model", "model", "check_name", "pin"),
)

validation = Table(
    "validation",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("subject", String(255), nullable=False),
    Column("batch", String(255)),
    Column("run", String(64), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("rules_hash", String(64), nullable=False),
    Column("counts", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("looked_at", Instant),  # when its failures became incidents; NULL: not yet
    Column("dimensions", Text),  # `catalog.dimensions.tallies` of the result: what trends are made of
    Column("result", Text, nullable=False),
    Index("ix_validation_subject", "subject", "recorded_at"),
    Index("ix_validation_looked_at", "looked_at", "id"),
)

# What was seen of a dataset beside its batches' verdicts: `kind` is reconcile, freshness, volume, drift or gx; `outcome` met, warned or failed.
# `facts` (counts, names, hashes; no cell value) and `failures` are JSON: each failure an expectation `<kind>:…` with severity, column, rows.
observation = Table(
    "observation",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("batch", String(255)),
    Column("window_start", Instant),
    Column("window_end", Instant),
    Column("run", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("failures", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("looked_at", Instant),  # when its failures became incidents; NULL: not yet
    Column("facts", Text, nullable=False),
    Index("ix_observation_subject", "subject", "kind", "recorded_at"),
    Index("ix_observation_looked_at", "looked_at", "id"),
)

# Metrics of a batch's passed rows (`manage.drift`), of clear columns and tokens alone: what later batches are compared with.
batch_profile = Table(
    "batch_profile",
    metadata,
    Column("batch", String(255), ForeignKey("batch.id"), primary_key=True),
    Column("dataset", String(255), nullable=False),
    Column("window_start", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("unlike", Text, nullable=False),  # JSON list of expectations that it does not meet
    Column("metrics", Text, nullable=False),
    Index("ix_batch_profile_dataset", "dataset", "window_start"),
)

# Counts and exact sums of data files, of which rules about a whole table are put together: `key` is the aggregate's hash, `files` the paths (JSON)
# that it is of, `value` its text, NULL where no row has one. They hold as long as all of these files are in the table.
rule_partial = Table(
    "rule_partial",
    metadata,
    Column("table_name", String(255), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("files_hash", String(64), primary_key=True),
    Column("files", Text, nullable=False),
    Column("value", Text),
    Column("recorded_at", Instant, nullable=False),
)

# An expectation that fails, from the first validation (or observation) that found it failing to the one that found it met again.
incident = Table(
    "incident",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("subject", String(255), nullable=False),
    Column("expectation", String(255), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("column_name", String(255), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("origin", String(16), nullable=False, server_default="validation"),  # or the kind of observation
    Column("observation", BIG, ForeignKey("observation.id")),  # the last one that failed; NULL for validations
    Column("opened_by", BIG, ForeignKey("validation.id")),
    Column("opened_at", Instant, nullable=False),
    Column("last_by", BIG, ForeignKey("validation.id")),
    Column("last_at", Instant, nullable=False),
    Column("unexpected", BIG),
    Column("errored", Boolean, nullable=False, server_default=false()),  # the last time: it could not be judged
    Column("failures", BIG, nullable=False),
    Column("closed_by", BIG, ForeignKey("validation.id")),
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
    Column("id", BIG, primary_key=True, autoincrement=True),
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
    Column("digest_budget", BIG, nullable=False),
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
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("writer", String(64), nullable=False),
    Column("counter", BIG, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("position", BIG, unique=True),
    Column("recorded_at", Instant, nullable=False),
    UniqueConstraint("writer", "counter"),
    Index("ix_ledger_entry_waiting", "id", postgresql_where=_NO_POSITION).ddl_if(dialect="postgresql"),
)

# Hashes of the ledger's Merkle tree, 256 a tile: `level` 0 holds leaf hashes, level n the roots of full tiles of level n - 1.
ledger_tile = Table(
    "ledger_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

# Signed heads of the ledger; the signed text (`ledger.note`) is made of these columns. `signature` and keys are hex.
checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BIG, primary_key=True, autoincrement=False),
    Column("origin", String(255), nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("public_key", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)

countersignature = Table(
    "countersignature",
    metadata,
    Column("size", BIG, ForeignKey("checkpoint.size"), primary_key=True),
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
    Column("size", BIG, ForeignKey("checkpoint.size"), nullable=False),
    Column("at", Instant, nullable=False),
)

_WAITING = literal_column("delivered_at IS NULL", Boolean)
_UNSENT = literal_column("sent_at IS NULL", Boolean)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("delivered_at", Instant),  # to the home's own file
    Column("sent_at", Instant),  # to the configured endpoint, or passed over as it refused the event
    Index("ix_outbox_waiting", "id", sqlite_where=_WAITING, postgresql_where=_WAITING),
    Index("ix_outbox_unsent", "id", sqlite_where=_UNSENT, postgresql_where=_UNSENT),
)
