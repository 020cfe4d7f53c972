"""Quarantined rows of one dataset, opened for a repair: under one grant, in one connection that never spills, and rewritten batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from governance.catalog.types import Dataset
from governance.errors import Damaged
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyName
from governance.lake.lake import Lake
from governance.lake.reader import quoted
from governance.lake.schema import duckdb_type
from governance.lake.specs import TableSpec, quarantine_spec, stored_spec
from governance.lake.stream import BATCH_ROWS
from governance.manage.items import KEY
from governance.manage.repair import LISTED_ROWS, BatchRepair
from governance.pipeline.context import Context
from governance.state.batches import BatchRow
from governance.state.values import Actor, DataFile

GRANT_SECONDS = 1800
ITEMS, CHOSEN = "quarantine_rows", "chosen"
"""The view of all quarantined rows (the table's columns and `__key`), and the table of those decided on (`batch`, `key`)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The quarantine of `dataset` at `snapshot`, as the view `ITEMS` of `con`."""

    context: Context
    dataset: Dataset
    snapshot: int
    con: duckdb.DuckDBPyConnection
    grant_id: str

    def choose(self, chosen: pa.Table) -> None:
        """Make `chosen` (`batch`, `key`) the table of rows decided on."""
        self.con.register("given", chosen)
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {CHOSEN} AS SELECT batch, key FROM given")  # noqa: S608
        self.con.unregister("given")

    def released(self, batch: str) -> tuple[DataFile, ...]:
        """A new file of the dataset's table with the chosen rows of the batch, as they are."""
        spec = stored_spec(self.dataset)
        columns = [f"i.{quoted(c.name)}" if c.name != "_row" else "i.__key AS _row" for c in spec.columns]
        query = f"SELECT {', '.join(columns)} FROM {ITEMS} i {_chosen('SEMI')} WHERE i._batch = $batch"  # noqa: S608
        return self.write(spec, batch, query)

    def kept(self, batch: str, *, rejected: bool = False, more: pa.Table | None = None) -> tuple[DataFile, ...]:
        """The batch's quarantine file written anew: without the chosen rows, or with them as rejected; and with the rows `more`."""
        spec = quarantine_spec(self.dataset)
        names = [quoted(c.name) for c in spec.columns]
        if rejected:
            state = "CASE WHEN c.key IS NULL THEN i._state ELSE 'rejected' END AS _state"
            columns = [state if name == quoted("_state") else f"i.{name}" for name in names]
            query = f"SELECT {', '.join(columns)} FROM {ITEMS} i {_chosen('LEFT')} WHERE i._batch = $batch"  # noqa: S608
        else:
            query = f"SELECT {', '.join(names)} FROM {ITEMS} i {_chosen('ANTI')} WHERE i._batch = $batch"  # noqa: S608
        return self.write(spec, batch, query, more)

    def write(self, spec: TableSpec, batch: str, query: str, more: pa.Table | None = None) -> tuple[DataFile, ...]:
        """Stream the rows of `query` (with the parameter $batch) into files of the batch."""
        with self.context.lake.writer(spec, batch) as writer:
            if more is not None and more.num_rows:
                writer.write(more)
            for rows in self.con.sql(query, params={"batch": batch}).to_arrow_reader(BATCH_ROWS):
                writer.write(rows)
            return writer.close()

    def repaired(
        self,
        row: BatchRow,
        *,
        added: tuple[DataFile, ...] = (),
        quarantine: tuple[DataFile, ...],
        rejected: bool = False,
        held: int = 0,
    ) -> BatchRepair:
        """What became of the chosen rows of a batch."""
        assert row.stored is not None
        stored = replace(row.stored, passed_files=(*row.stored.passed_files, *added), quarantine_files=quarantine)
        keys = self.con.sql(f"SELECT key FROM {CHOSEN} WHERE batch = $batch ORDER BY key", params={"batch": row.id})  # noqa: S608
        listed = keys.to_arrow_table().column("key")
        query = f"""
            SELECT reason, count(*) FROM (SELECT unnest(i._reasons) AS reason FROM {ITEMS} i {_chosen("SEMI")}
            WHERE i._batch = $batch) GROUP BY reason ORDER BY reason"""  # noqa: S608
        reasons = dict(self.con.execute(query, {"batch": row.id}).fetchall())
        return BatchRepair(
            row=row,
            stored=stored,
            added=added,
            passed=sum(f.rows for f in added),
            rejected=len(listed) if rejected else 0,
            held=held,
            positions=tuple(f"{row.id}:{key}" for key in listed.slice(0, LISTED_ROWS).to_pylist()),
            reasons={str(reason): int(rows) for reason, rows in reasons.items()},
        )

    def rows_sha256(self) -> str:
        """A hash of exactly which rows were decided on, for the ledger."""
        query = f"SELECT sha256(coalesce(string_agg(batch || ':' || key, ',' ORDER BY batch, key), '')) FROM {CHOSEN}"  # noqa: S608
        found = self.con.execute(query).fetchall()[0]
        return str(found[0])


@contextmanager
def opened(
    context: Context, dataset: Dataset, snapshot: int, actor: Actor, *, own: Sequence[str] = (), digests: int = 0
) -> Iterator[Opened]:
    """The quarantine at `snapshot`, under a grant of its own that ends with this.

    The grant names the keys of the quarantine's columns; those of the dataset's own columns `own`; and the digest keys for `digests` values.
    It is the service's: what a steward is shown goes through `export`.
    """
    lake, database = context.lake, context.database
    spec = quarantine_spec(dataset)
    source = _source_names(spec, lake, snapshot)
    keys: set[KeyName] = set(lake.keys(spec.name, snapshot, sorted(set(source.values()))))
    there = lake.snapshot(dataset.name)
    if own and there is not None:
        keys |= lake.keys(dataset.name, there, own)
    domains = sorted({f.domain for f in dataset.fields if f.domain})
    digest_keys = [DigestKeyName("domain", domain) for domain in domains] if digests else []
    service = Actor(f"service:manage@{dataset.department}", actor.purpose, actor.run)
    with ExitStack() as stack:
        with database.unit_of_work() as tx:
            grant = grants.issue(
                tx,
                actor=service,
                keys=sorted(keys),
                digest_keys=digest_keys,
                digest_budget=digests * max(1, len(domains)) * 4,
                seconds=GRANT_SECONDS,
                database=database,
            )
        stack.callback(_revoke, context, grant.id, service)
        con = stack.enter_context(connection(context))
        lake.bind(con, "__stored_rows", spec.name, snapshot, sorted(set(source.values())), grant_id=grant.id)
        con.execute(f"CREATE VIEW {ITEMS} AS {_renamed(spec, source)}")
        yield Opened(context, dataset, snapshot, con, grant.id)


def _chosen(kind: str) -> str:
    return f"{kind} JOIN {CHOSEN} c ON c.batch = i._batch AND c.key = i.__key"


def _source_names(spec: TableSpec, lake: Lake, snapshot: int) -> dict[str, str]:
    """Column of the spec -> its name in the snapshot's schema: a renamed field by the contract's own id. New columns are left out.

    Raises Damaged when what every quarantine has is not there.
    """
    there = lake.schema(spec.name, snapshot).columns
    names, ids = {c.name for c in there}, {c.own_id: c.name for c in there if c.own_id}
    found = {}
    for column in spec.columns:
        if column.id and column.id in ids:
            found[column.name] = ids[column.id]
        elif column.name in names:
            found[column.name] = column.name
    if missing := [c.name for c in spec.columns if c.name.startswith("_") and c.name not in found]:
        raise Damaged(f"no column {', '.join(missing)}", where=spec.name, do="report it")
    return found


def _renamed(spec: TableSpec, source: dict[str, str]) -> str:
    columns = [
        f"{quoted(source[c.name])} AS {quoted(c.name)}"
        if c.name in source
        else f"CAST(NULL AS {duckdb_type(c.type)}) AS {quoted(c.name)}"
        for c in spec.columns
    ]
    return f"SELECT {', '.join(columns)}, {KEY} AS __key FROM __stored_rows"  # noqa: S608


@contextmanager
def connection(context: Context) -> Iterator[duckdb.DuckDBPyConnection]:
    settings = context.settings
    config = {
        "threads": settings.threads,
        "memory_limit": f"{settings.memory_limit_mb}MB",
        "temp_directory": "",
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=config) as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


def _revoke(context: Context, grant_id: str, actor: Actor) -> None:
    with context.database.unit_of_work() as tx:
        grants.revoke(tx, grant_id, actor=actor, database=context.database)
