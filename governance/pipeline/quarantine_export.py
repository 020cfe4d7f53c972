"""`export`: open items of a quarantine as a patch file, with the fields that policy opens to the steward. As `use` answers a query:

    restrictions now -> ledger entry and grant, committed -> scanner in a process of its own -> file, whole or not at all

Quarantined rows obey the rules of their dataset: row filters on the values that they have (an unparsed line satisfies none), then masks.
Raw text of a value that did not convert is shown where the field is raw to the subject, an unparsed line where every field is.
"""

from __future__ import annotations

import codecs
import hashlib
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv

from governance.catalog.types import ColumnType, Dataset
from governance.config import as_request
from governance.errors import NotReady, Refused, StorageError
from governance.keys import grants
from governance.keys.names import DigestKeyName
from governance.lake.specs import quarantine_spec
from governance.ledger.entry import Json, append
from governance.manage.repair import require_steward
from governance.pipeline.context import Context
from governance.pipeline.quarantine import dataset_of
from governance.policy import filters
from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider
from governance.policy.restrictions import Policy, Restricted, Restrictions, compile_restrictions
from governance.state import texts
from governance.state.values import Actor
from governance.use import scanner
from governance.workers import Limits, start

SECONDS = 3600
_TEXT = ColumnType("string")


@dataclass(frozen=True, slots=True)
class Exported:
    """What the file holds: rows, and the outcome of each field that is in it. `closed` fields are not."""

    rows: int
    fields: Mapping[str, str]
    closed: tuple[str, ...]
    decision_hash: str


def export(context: Context, name: str, to: Path, *, subject: str, purpose: str) -> Exported:
    """Write the open items of dataset `name` to `to`, readable for its owner alone; nothing of it exists before its ledger entry.

    Raises Refused, which is in the ledger too, for whoever may not decide on the rows, when no field is open, when an obligation forbids to
    export, or when there are more rows than an obligation allows; NotReady when nothing is in quarantine.
    """
    dataset, actor = dataset_of(context, name), Actor(subject, purpose, uuid.uuid4().hex)
    snapshot = context.lake.snapshot(quarantine_spec(dataset).name)
    try:
        restrictions = _restrictions(context, dataset, actor, snapshot)
    except Refused as refused:
        with context.database.unit_of_work() as tx:
            facts = {"dataset": name, "reason": refused.found}
            at = context.database.clock()
            append(tx, "access_refused", facts, actor=actor, writer=context.database.writer, at=at)
        raise
    request = _request(context, dataset, restrictions)
    grant = _record(context, restrictions, request, actor)
    try:
        rows = _write(context, to, {**request, "grant": grant}, restrictions.max_rows)
    finally:
        with context.database.unit_of_work() as tx:
            grants.revoke(tx, grant, actor=actor, database=context.database)
    fields = {c.name: str(c.outcome) for c in restrictions.visible}
    closed = tuple(f.name for f in dataset.fields if f.name not in fields)
    return Exported(rows, fields, closed, restrictions.decision_hash)


def _restrictions(context: Context, dataset: Dataset, actor: Actor, snapshot: int | None) -> Restrictions:
    """What holds for the dataset's own fields, on the quarantine's columns."""
    catalogue, table = context.catalogue, quarantine_spec(dataset).name
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    require_steward(access, actor.subject, dataset)
    if snapshot is None:
        raise NotReady("nothing is in quarantine", where=dataset.name)
    field_ids = {column.name: column.id for column in context.lake.schema(table, snapshot).columns}
    declared = tuple(Column.of(f) for f in dataset.fields if f.name in field_ids)
    own = tuple(Column(name, _TEXT, None) for name in field_ids if name not in {c.name for c in declared})
    digest = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    found = compile_restrictions(
        [Policy(Decider(access), declared + own, digest)],
        subject=actor.subject,
        purpose=actor.purpose,
        table=dataset.name,
        snapshot=snapshot,
        field_ids=field_ids,
        at=context.database.clock(),
    )
    if not found.visible:
        raise Refused("no field of the rows is open to you for this purpose", where=dataset.name, do="ask the steward")
    if found.no_export:
        raise Refused("an obligation forbids to keep these rows in a file", where=dataset.name)
    return replace(found, table=table)


def _request(context: Context, dataset: Dataset, restrictions: Restrictions) -> dict[str, object]:
    where = None
    if restrictions.row_filter is not None:
        where = filters.condition(restrictions.row_filter, {c.name: c.type for c in restrictions.columns})
    visible = restrictions.visible
    whole = {c.name for c in visible if c.outcome.kind == "raw"} >= {f.name for f in dataset.fields}
    raw = any(c.outcome.kind == "raw" for c in visible)
    read = scanner.needed([(c.name, c.type, c.outcome) for c in visible], where)
    return {
        "settings": as_request(context.settings),
        "table": restrictions.table,
        "snapshot": restrictions.snapshot,
        "columns": [_column(c) for c in visible],
        "where": where.sql("duckdb") if where is not None else "",
        "reads": [*read, *(["_raw"] if raw else []), *(["_line"] if whole else [])],
        "purpose": restrictions.purpose,
        "salt": secrets.token_hex(32),
        "memory_mb": context.settings.memory_limit_mb,
    }


def _column(column: Restricted) -> list[object]:
    kind = column.type
    return [column.name, kind.kind, kind.precision, kind.scale, str(column.outcome)]


def _record(context: Context, restrictions: Restrictions, request: Mapping[str, object], actor: Actor) -> str:
    """Grant and ledger entry, committed before anything is opened; returns the grant's id."""
    lake, database = context.lake, context.database
    table, snapshot = restrictions.table, restrictions.snapshot
    reads = request["reads"]
    assert isinstance(reads, Sequence)
    rows = sum(file.rows for file in lake.files(table, snapshot))
    budget = scanner.digests((c.outcome for c in restrictions.visible), rows)
    decision = restrictions.decision_hash
    at = database.clock()
    with database.unit_of_work() as tx:
        texts.keep(tx, decision, "decision", restrictions.canonical.decode("utf-8"), at=at)
        grant = grants.issue(
            tx,
            actor=actor,
            keys=sorted(lake.keys(table, snapshot, list(map(str, reads)))),
            digest_keys=(DigestKeyName("purpose", actor.purpose),) if budget else (),
            digest_budget=budget,
            decision_hash=decision,
            seconds=SECONDS,
            database=database,
        )
        columns: dict[str, Json] = {c.name: str(c.outcome) for c in restrictions.visible}
        seen: dict[str, Json] = {"snapshot": str(snapshot), "decision_hash": decision, "columns": columns}
        facts: dict[str, Json] = {"release": "", "grant": grant.id, "export": True, "tables": {table: seen}}
        append(tx, "access", facts, actor=actor, writer=database.writer, at=at)
    return grant.id


def _write(context: Context, to: Path, request: Mapping[str, object], max_rows: int | None) -> int:
    settings = context.settings
    limits = Limits(settings.memory_limit_mb + 1024, SECONDS, network=not settings.database_url.startswith("sqlite"))
    rows = 0
    with start("governance.pipeline.quarantine_scan:scan", request, limits=limits) as worker:
        reader = worker.stream()
        with _whole_file(to) as sink:
            sink.write(codecs.BOM_UTF8)  # else a Chinese Windows' spreadsheet takes it for GBK
            with csv.CSVWriter(sink, reader.schema, write_options=_AS_NEEDED) as writer:
                for batch in reader:
                    rows += batch.num_rows
                    if max_rows is not None and rows > max_rows:
                        do = "ask for a rule without that obligation"
                        raise Refused(f"there are more than {max_rows} rows", do=do)
                    writer.write_batch(batch)
        worker.result()
    return rows


_AS_NEEDED = csv.WriteOptions(quoting_style="needed")


@contextmanager
def _whole_file(to: Path) -> Iterator[pa.NativeFile]:
    """A file for its owner alone that is there when all of it is written."""
    temporary = to.with_name(f".{to.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        with pa.OSFile(str(temporary), "wb") as sink:
            yield sink
        temporary.replace(to)
    except OSError:
        raise StorageError("the file cannot be written", where=to.name, do="choose another place") from None
    finally:
        temporary.unlink(missing_ok=True)
