"""`record_trace`: the landed records that a row of a published table, or one value of it, was made from.

    decision now -> plan from the text and pin of the build -> ledger entry and grant -> worker -> positions -> files

Nothing is written for this when tables are built: the model's text is run again, rewritten so that each row names its
source rows (`develop.provenance`), over exactly the snapshots that the build was pinned to, down through other curated
tables to the stored ones, whose rows know batch and record.

It stands under the auditor's own policy. The key is a value that they see raw or in part, or the token that their purpose
has of it; the row filter holds; a source is named to whoever has an opened field made from it (one that no field is made
from: to whoever has every field opened), the others are counted. The answer holds positions and never a value: those are
for `gov lookup` and `gov query`, masked as policy says. What the text joins and groups by may be encrypted: the worker
opens it under a grant of the trace service for this consumer and table, beside the consumer's own on the published table, and nothing of
it leaves.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from governance import workers
from governance.config import as_request
from governance.errors import Conflict, Refused
from governance.keys import grants
from governance.keys.authority import TRACER, trace_purpose
from governance.keys.names import DigestKeyName, KeyName
from governance.ledger.entry import Json, append
from governance.pipeline.context import Context
from governance.pipeline.landed_files import positions
from governance.pipeline.record_trace_worker import run
from governance.pipeline.trace_answer import LISTED, MOST_LISTED, RecordTrace, listed, rows_of, whole_of
from governance.pipeline.trace_decided import Asked, column_of, decided, how_of, where_of
from governance.state import texts
from governance.state.values import Actor
from governance.use import lookup_budget

MAX_ROWS = 1_000
"""Rows that one key may be of."""
TRACE_SECONDS = 600


def record_trace(
    context: Context,
    table: str,
    keys: Sequence[Sequence[str | None]],
    *,
    subject: str,
    purpose: str,
    column: str | None = None,
    by: Sequence[str] = (),
    lines: bool = False,
    as_of: datetime | None = None,
    most: int = LISTED,
) -> RecordTrace:
    """The source rows of the rows of `table` (as published) whose fields `by` (default: the table's identifier) are one of `keys` (a part
    that is None: NULL); of `column` alone, if given. `lines` opens landed files to tell the line of each record. With `as_of`
    the rows as they were published then, under what holds now. Of a table that is given as a whole (a superset) the first
    `most` rows are listed.

    Raises Refused (forbidden and absent read alike), NotReady when nothing is published or the build is not known,
    Conflict when the text does not give the published rows again.
    """
    if not 0 <= most <= MOST_LISTED:
        raise Refused(f"{most} rows to list", allowed=f"0 to {MOST_LISTED}")
    actor = Actor(subject, purpose, uuid.uuid4().hex)
    try:
        asked = decided(context, table, keys, actor, column, tuple(by), as_of)
        granted = _granted(context, asked, len(keys), actor)
    except Refused as refused:
        facts: dict[str, Json] = {"trace": True, "keys": len(keys), "reason": refused.found}
        with context.database.unit_of_work() as tx:
            append(
                tx, "access_refused", facts, actor=actor, writer=context.database.writer, at=context.database.clock()
            )
        raise
    try:
        found, result = _worked(context, asked, keys, granted)
    finally:
        with context.database.unit_of_work() as tx:
            grants.revoke(tx, granted.own, actor=actor, database=context.database)
            if granted.sources:
                grants.revoke(tx, granted.sources, actor=_tracer(asked, actor), database=context.database)
    return _told(context, asked, found, result, granted.own, actor, lines=lines, most=most)


@dataclass(frozen=True, slots=True)
class _Granted:
    """The consumer's grant, and that of the trace service on the sources ('' when none of them is opened)."""

    own: str
    sources: str
    closed: bool
    """Whether either opens an encrypted column."""


def _tracer(asked: Asked, actor: Actor) -> Actor:
    """The trace service, for one consumer and table."""
    return Actor(TRACER, trace_purpose(actor.subject, actor.purpose, asked.restrictions.table), actor.run)


def _granted(context: Context, asked: Asked, keys: int, actor: Actor) -> _Granted:
    """The grants of the trace and their ledger entries, in one unit of work, before anything is opened."""
    lake, restrictions, database = context.lake, asked.restrictions, context.database
    table, snapshot = restrictions.table, restrictions.snapshot
    needed = lake.keys(table, snapshot, [*dict.fromkeys([*asked.compared, *asked.anchors])])
    behind: set[KeyName] = set()
    for source in asked.plan.sources:
        there = {c.name.lower(): c.name for c in lake.schema(source.table, source.snapshot).columns}
        behind |= lake.keys(source.table, source.snapshot, [there[c] for c in source.reads if c in there])
    hows = [how_of(column, asked.domains) for column in asked.by]
    rows = sum(file.rows for file in lake.files(table, snapshot))
    names = {
        DigestKeyName("domain", asked.domains[c.name])
        for c, how in zip(asked.by, hows, strict=True)
        if how == "identifier"
    }
    names |= {DigestKeyName("purpose", actor.purpose)} if "token" in hows else set()
    at = database.clock()
    facts: dict[str, Json] = {
        "trace": True,
        "release": asked.release,
        "by": [column.name for column in asked.by],
        "keys": keys,
        "tables": {
            table: {
                "snapshot": str(snapshot),
                "decision_hash": restrictions.decision_hash,
                "columns": {c.name: str(c.outcome) for c in restrictions.columns if c.name == asked.column},
            }
        },
        **({"permits": [permit.id for permit in restrictions.permits]} if restrictions.permits else {}),
        "sources": {f"{n}:{s.table}": str(s.snapshot) for n, s in enumerate(asked.plan.sources)},
    }
    with database.unit_of_work() as tx:
        tried = keys * hows.count("identifier")
        if tried and not lookup_budget.spend(tx, actor, tried, budget=lookup_budget.KEYS_PER_HOUR, at=at):
            raise lookup_budget.spent()
        body = restrictions.canonical.decode("utf-8")
        texts.keep(tx, restrictions.decision_hash, "decision", body, at=at)
        grant = grants.issue(
            tx,
            actor=actor,
            keys=sorted(needed),
            digest_keys=sorted(names),
            digest_budget=keys * (hows.count("identifier") + hows.count("token") * rows) if names else 0,
            decision_hash=restrictions.decision_hash,
            seconds=TRACE_SECONDS + 60,
            database=database,
        )
        facts["grant"] = grant.id
        sources = ""
        if behind:
            own = _tracer(asked, actor)
            seconds, decision_hash = TRACE_SECONDS + 60, restrictions.decision_hash
            sources = grants.issue(
                tx, actor=own, keys=sorted(behind), decision_hash=decision_hash, seconds=seconds, database=database
            ).id
            facts["source_grant"] = sources
        append(tx, "access", facts, actor=actor, writer=database.writer, at=at)
    return _Granted(grant.id, sources, bool(needed or behind))


def _worked(
    context: Context, asked: Asked, keys: Sequence[Sequence[str | None]], granted: _Granted
) -> tuple[pa.Table, Mapping[str, Any]]:
    """FOUND of all keys, and the result: by a worker when something closed is opened, else here."""
    settings, restrictions, plan = context.settings, asked.restrictions, asked.plan
    where = where_of(restrictions)
    parts = [
        {
            "field": column.name,
            "column": column_of(column, asked.domains),
            "how": how_of(column, asked.domains),
            "type": column.type.duckdb(),
            "domain": asked.domains.get(column.name, ""),
        }
        for column in asked.by
    ]
    request = {
        "settings": as_request(settings),
        "grant": granted.own,
        "source_grant": granted.sources or granted.own,
        "purpose": restrictions.purpose,
        "table": restrictions.table,
        "snapshot": restrictions.snapshot,
        "published": list(dict.fromkeys([*asked.compared, *asked.anchors])),
        "anchors": list(asked.anchors),
        "by": parts,
        "where": where.sql("duckdb") if where is not None else "",
        "most_rows": min(restrictions.max_rows or MAX_ROWS, MAX_ROWS),
        "sql": plan.sql,
        "sources": [
            {"table": s.table, "snapshot": s.snapshot, "reads": s.reads, "columns": s.columns, "current": s.current}
            for s in plan.sources
            if s.columns
        ],
    }
    given = pa.table({c.name: pa.array(v, pa.string()) for c, v in zip(asked.by, zip(*keys, strict=True), strict=True)})
    if not granted.closed:
        return run(request, given, context.lake, context.keystore)
    limits = workers.Limits(
        memory_mb=settings.memory_limit_mb + 1024,
        seconds=TRACE_SECONDS,
        network=not settings.database_url.startswith("sqlite"),
    )
    entry = "governance.pipeline.record_trace_worker:trace"
    with workers.start(entry, request, limits=limits, inputs={"keys": given.to_reader()}) as worker:
        return worker.stream().read_all(), worker.result()


def _told(
    context: Context,
    asked: Asked,
    found: pa.Table,
    result: Mapping[str, Any],
    grant: str,
    actor: Actor,
    *,
    lines: bool,
    most: int,
) -> RecordTrace:
    """The answer, and what was told of it in the ledger."""
    restrictions, plan = asked.restrictions, asked.plan
    if result["targets"] != result["again"]:
        raise Conflict(
            "the model's text does not give the published rows again",
            where=restrictions.table,
            do="look whether the model declares a tolerance; gov check names what breaks repeatability",
        )
    told = {number for number in plan.named if asked.told(number)}
    entries = [{**row, "s": s} for row in found.to_pylist() for s in plan.stored(row["s"]) if s in told]
    whole = {entry["s"] for entry in entries if entry["b"] is None}
    shown = () if restrictions.row_filter is not None else [plan.sources[n] for n in sorted(whole)]
    counted = listed(context, shown, min(most, restrictions.max_rows or most))
    exact = {(e["b"], e["r"]) for e in entries if e["b"] is not None}
    places = positions(context, exact.union(*(one.places for one in counted.values())), actor, lines=lines)
    answer = RecordTrace(
        restrictions.table,
        asked.column,
        asked.release,
        restrictions.snapshot,
        result["targets"],
        rows_of(plan, entries, places),
        whole_of(plan, whole, counted, places),
        len(plan.named) - len(told),
        grant,
        restrictions.decision_hash,
    )
    facts: dict[str, Json] = {
        "grant": grant,
        "table": restrictions.table,
        "column": asked.column,
        "rows": result["targets"],
        "records": len(answer.rows),
        "exact": answer.exact,
        "keys_sha256": sorted(result["digests"]),
    }
    if answer.whole:
        facts["whole"] = {f"{n}:{one.table}": one.rows for n, one in enumerate(answer.whole)}
        facts["listed"] = sum(len(one.records) for one in answer.whole)
    with context.database.unit_of_work() as tx:
        append(tx, "traced", facts, actor=actor, writer=context.database.writer, at=context.database.clock())
    return answer
