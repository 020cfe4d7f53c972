"""Tables of lineage that others tell: events as they were received, which flows are in force by them, what was refused; and the delivery
of our own events to others."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from governance.state.schema import BIG, Instant, metadata

# OpenLineage events of any producer, whole: `body` is the zlib form of their canonical JSON, `digest` its sha256 (an event is kept once).
lineage_event = Table(
    "lineage_event",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("kind", String(8), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("job", String(512), nullable=False),
    Column("run", String(36), nullable=False),
    Column("event_type", String(8), nullable=False),
    Column("event_time", Instant, nullable=False),
    Column("datasets", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_lineage_event_run", "run"),
    Index("ix_lineage_event_datasets", "event_type", "datasets", "recorded_at"),
)

# What a job makes an output of, by its events; superseded, never overwritten. `detail`: 3 the lineage facet, 2 columnLineage, 1 inputs × outputs.
lineage_flow = Table(
    "lineage_flow",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("output", String(512), nullable=False),
    Column("job", String(512), nullable=False),
    Column("run", String(36), nullable=False),
    Column("detail", Integer, nullable=False),
    Column("edge_set", String(64), ForeignKey("edge_set.id"), nullable=False),
    Column("event_time", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("superseded_at", Instant),
    Index("ix_lineage_flow_output", "output", "job"),
    Index("ix_lineage_flow_edge_set", "edge_set"),
)

# Events that were not taken, counted by producer and reason; never their content.
lineage_rejected = Table(
    "lineage_rejected",
    metadata,
    Column("subject", String(255), primary_key=True),
    Column("reason", String(255), primary_key=True),
    Column("events", BIG, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
)

# Our own events that a receiver refused for good: kept in the outbox, reported, and passed over.
outbox_refused = Table(
    "outbox_refused",
    metadata,
    Column("outbox", BIG, ForeignKey("outbox.id"), primary_key=True, autoincrement=False),
    Column("endpoint", String(512), nullable=False),
    Column("status", Integer, nullable=False),
    Column("recorded_at", Instant, nullable=False),
)

# How delivery to an endpoint stands: after failures, when it is tried again.
outbox_endpoint = Table(
    "outbox_endpoint",
    metadata,
    Column("endpoint", String(512), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("next_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)
