"""Tables of what is published: copies for lookups, budgets that are spent, access that was asked for and consented to, logins of services."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy import text as sql_text

from governance.state.schema import BIG, Instant, metadata
from governance.state.tables import ledger_entry

# Copies of curated tables for lookups by key (`lake.serving`), under the same keys as the table; gone when their snapshot is not published any more.
serving = Table(
    "serving",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("table_name", String(255), nullable=False),
    Column("key_column", String(255), nullable=False),
    Column("snapshot", BIG, nullable=False),
    Column("path", String(1000), nullable=False, unique=True),
    Column("rows", BIG, nullable=False),
    Column("size_bytes", BIG, nullable=False),
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
    Column("keys", BIG, nullable=False),
)

# Statements of a subject on one UTC day that aggregated a table's aggregate-only columns: what the budget is held against.
aggregate_spent = Table(
    "aggregate_spent",
    metadata,
    Column("subject", String(255), primary_key=True),
    Column("table_name", String(255), primary_key=True),
    Column("day", Instant, primary_key=True),
    Column("statements", BIG, nullable=False),
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
    Column("id", BIG, primary_key=True, autoincrement=True),
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
    Column("id", BIG, primary_key=True, autoincrement=True),
    Column("scope", String(64), nullable=False),
    Column("domain", String(64), nullable=False),
    Column("given", Boolean, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("version", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Index("ix_consent_change_scope", "scope", "domain", "id"),
)

# Entries about access that was asked for, given, ended or consented to (`use.history`): few among many, read at each access.
OF_ACCESS = sql_text(
    "kind IN ('access_asked', 'access_approved', 'access_declined', 'access_withdrawn', 'break_glass', "
    "'break_glass_reviewed', 'consent_given', 'consent_withdrawn')"
)
Index("ix_ledger_entry_access", ledger_entry.c.kind, sqlite_where=OF_ACCESS, postgresql_where=OF_ACCESS)

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
