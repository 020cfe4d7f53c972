"""Incidents: an expectation that fails, from the validation that found it failing to the one that finds it met again.

They are made of validations and observations after the commits that wrote these (`after_commits`), each once, so that a verdict never waits for
them and a killed process leaves nothing undone. What one kind opens, only that kind closes. The assignee is the contract's steward until somebody reassigns it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, func, insert, select, update

from governance.errors import GovernanceError, Refused
from governance.ledger.entry import Json, append
from governance.lineage.graph import ROWS
from governance.lineage.index import Index
from governance.manage.repair import ROLES
from governance.manage.verdict import MAX_QUARANTINE
from governance.pipeline.context import Context
from governance.pipeline.observations import Failure, failures_from
from governance.policy.access import Access, parse_access
from governance.state.tables import incident, observation, validation
from governance.state.values import Actor

_MOST = 200
"""Validations of one unit of work."""


_VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it stands. `failures` counts validations that failed since it was opened; `closed_at` None: it is open."""

    id: int
    subject: str
    expectation: str
    severity: str
    column: str
    owner: str
    opened_at: datetime
    last_at: datetime
    unexpected: int | None
    errored: bool
    """The last time it could not be judged: whether it holds nobody knows."""
    failures: int
    closed_at: datetime | None
    batch: str
    """Batch of the last validation that failed; empty for a curated table."""


def settle(context: Context) -> int:
    """Open and close incidents by the validations and observations that nobody has looked at; how many those were."""
    looked = 0
    while True:
        with context.database.unit_of_work() as tx:
            rows = [*_waiting(tx, validation), *_waiting(tx, observation)]
            for row in rows:
                _settle_one(tx, row, context)
        looked += len(rows)
        if len(rows) < _MOST:
            return looked


def incidents(
    connection: Connection, *, closed: bool = False, subject: str | None = None, owner: str | None = None
) -> tuple[Incident, ...]:
    """Open incidents, the longest open first; with `closed` all of them."""
    query = _query()
    if not closed:
        query = query.where(incident.c.closed_at.is_(None))
    if subject is not None:
        query = query.where(incident.c.subject == subject)
    if owner is not None:
        query = query.where(incident.c.owner == owner)
    return tuple(map(_incident, connection.execute(query)))


def find(connection: Connection, number: int) -> Incident:
    """GovernanceError if there is none."""
    row = connection.execute(_query().where(incident.c.id == number)).one_or_none()
    if row is None:
        raise GovernanceError(f"no incident {number}", do="gov incident list --all names them")
    return _incident(row)


def reached(connection: Connection, index: Index, found: Incident) -> tuple[str, ...]:
    """Tables downstream of the failing column (of the rows, where the expectation is of no one column), by the lineage of now."""
    answer = index.downstream(connection, found.subject, found.column or ROWS)
    return tuple(sorted({node.table for node in answer.nodes} - {found.subject}))


def counted(unexpected: int | None, errored: bool) -> str:
    """What is said of an expectation's last failure.

    >>> counted(1200, False), counted(None, False), counted(None, True)
    ('1,200 rows', 'no count', 'could not be judged')
    """
    if errored:
        return "could not be judged"
    return "no count" if unexpected is None else f"{unexpected:,} rows"


def assign(context: Context, number: int, owner: str, *, subject: str) -> Incident:
    """`subject` gives an open incident to somebody. GovernanceError if there is none, or it is closed; Refused unless `subject` may, and `owner`
    is one whom access.yaml or a contract names."""
    database, actor = context.database, Actor(subject, "incident.assign", uuid.uuid4().hex)
    with database.unit_of_work() as tx:
        found = find(tx, number)
        if found.closed_at is not None:
            raise GovernanceError(f"incident {number} is closed", where=found.subject)
        _require_assigner(context, found, subject)
        _require_known(context, found, owner)
        tx.execute(update(incident).where(incident.c.id == number).values(owner=owner))
        facts: dict[str, Json] = {"incident": number, "subject": found.subject, "owner": owner}
        append(tx, "incident_assigned", facts, actor=actor, writer=database.writer, at=database.clock())
        return find(tx, number)


def failures_of(result: str) -> tuple[Failure, ...]:
    """What a validation result (GX's, as JSON text) says failed or errored, and whether too much was quarantined.

    >>> met = {"success": True, "result": {}, "expectation_config": {"meta": {"gov": {"id": "a", "severity": "warn"}}, "kwargs": {}}}
    >>> failures_of(json.dumps({"results": [met, {**met, "success": False}], "meta": {"gov": {}}}))
    (Failure(expectation='a', severity='warn', column='', unexpected=None, errored=False),)
    """
    document = json.loads(result)
    return tuple(_failures(document["results"], document["meta"]["gov"]))


def _failures(results: Sequence[Mapping[str, Any]], gov: Mapping[str, Any]) -> Iterator[Failure]:
    for one in results:
        if not one["success"]:
            config = one["expectation_config"]
            own = config["meta"]["gov"]
            errored = bool((one.get("exception_info") or {}).get("raised_exception"))
            counted = None if errored else (one.get("result") or {}).get("unexpected_count")
            column = str(config["kwargs"].get("column") or "")
            yield Failure(own["id"], own["severity"], column, None if counted is None else int(counted), errored)
    rows, quarantined = gov.get("rows", 0), gov.get("quarantined", 0)
    if rows and quarantined / rows > gov.get("max_quarantine", 1):
        yield Failure(MAX_QUARANTINE, "stop", "", quarantined)


def _require_assigner(context: Context, found: Incident, subject: str) -> None:
    """Approvers, administrators of any office, stewards of the table's department, and whoever has the incident now."""
    access = _access(context)
    known = access.subject(subject)
    offices = access.administrators
    held = offices is not None and offices.office(subject) is not None
    approves = any(approver.subject == subject for approver in access.approvers)
    department = found.subject.partition(".")[0]
    steward = known is not None and bool(ROLES & set(known.roles)) and known.department == department
    if not (held or (known is not None and (approves or steward or subject == found.owner))):
        raise Refused(
            f"{subject} may not assign this incident",
            where=f"incident {found.id} of {found.subject}",
            allowed="approvers, administrators, stewards of the department, and whoever has it now, by access.yaml",
            do="ask its steward",
        )


def _require_known(context: Context, found: Incident, owner: str) -> None:
    owners = {d.owner for d in context.catalogue.datasets.values()}
    owners |= {model.contract.owner for model in context.catalogue.models.values()}
    if not owner.strip() or (owner not in owners and _access(context).subject(owner) is None):
        raise Refused(
            f"nobody is called {owner!r}",
            where=f"incident {found.id} of {found.subject}",
            allowed="a subject of access.yaml, or the owner of a contract",
            do="correct --to",
        )


def _access(context: Context) -> Access:
    catalogue = context.catalogue
    return parse_access(catalogue.access_text, catalogue.access_file, catalogue)


def _waiting(tx: Connection, table: Table) -> Sequence[Row[Any]]:
    query = select(table).where(table.c.looked_at.is_(None)).order_by(table.c.id).limit(_MOST)
    return tx.execute(query.with_for_update(skip_locked=True)).all()


def _settle_one(tx: Connection, row: Row[Any], context: Context) -> None:
    at = context.database.clock()
    seen = _seen(row)
    failing = {failure.expectation: failure for failure in seen.failures}
    is_open = incident.c.subject == row.subject, incident.c.origin == seen.origin, incident.c.closed_at.is_(None)
    known = {found.expectation: found.id for found in tx.execute(select(incident).where(*is_open))}
    opened = [failure for name, failure in failing.items() if name not in known]
    closed = [name for name in known if name not in failing]
    if opened:
        tx.execute(insert(incident), [_opened(failure, seen, row, context) for failure in opened])
    for name in failing.keys() & known.keys():
        again = {
            "last_by": seen.validation,
            "observation": seen.observation,
            "last_at": row.recorded_at,
            "unexpected": failing[name].unexpected,
            "errored": failing[name].errored,
            "failures": incident.c.failures + 1,
        }
        tx.execute(update(incident).where(incident.c.id == known[name]).values(again))
    if closed:
        ended = update(incident).where(incident.c.id.in_([known[name] for name in closed]))
        tx.execute(ended.values(closed_by=seen.validation, closed_at=row.recorded_at))
    table = validation if seen.validation is not None else observation
    tx.execute(update(table).where(table.c.id == row.id).values(looked_at=at))
    if opened or closed:
        facts: dict[str, Json] = {
            "subject": row.subject,
            "batch": row.batch,
            "opened": sorted(failure.expectation for failure in opened),
            "closed": sorted(closed),
        }
        actor = Actor(f"service:manage@{row.subject.partition('.')[0]}", "pipeline.incidents", row.run)
        append(tx, "incidents", facts, actor=actor, writer=context.database.writer, at=at)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A row as an incident's cause: of which table it is, and what failed."""

    origin: str
    validation: int | None
    observation: int | None
    failures: tuple[Failure, ...]


def _seen(row: Row[Any]) -> _Seen:
    if "result" in row._mapping:
        return _Seen(_VALIDATION, row.id, None, failures_of(row.result))
    return _Seen(row.kind, None, row.id, failures_from(row.failures))


def _opened(failure: Failure, seen: _Seen, row: Row[Any], context: Context) -> dict[str, Any]:
    return {
        "origin": seen.origin,
        "observation": seen.observation,
        "subject": row.subject,
        "expectation": failure.expectation,
        "severity": failure.severity,
        "column_name": failure.column,
        "owner": _steward(context, row.subject),
        "opened_by": seen.validation,
        "opened_at": row.recorded_at,
        "last_by": seen.validation,
        "last_at": row.recorded_at,
        "unexpected": failure.unexpected,
        "errored": failure.errored,
        "failures": 1,
    }


def _steward(context: Context, subject: str) -> str:
    model = context.catalogue.models.get(subject)
    dataset = model.contract if model is not None else context.catalogue.datasets.get(subject)
    return dataset.owner if dataset is not None else ""


def _query() -> Any:
    joined = incident.outerjoin(validation, validation.c.id == incident.c.last_by)
    joined = joined.outerjoin(observation, observation.c.id == incident.c.observation)
    batch = func.coalesce(validation.c.batch, observation.c.batch).label("batch")
    return select(incident, batch).select_from(joined).order_by(incident.c.opened_at, incident.c.id)


def _incident(row: Row[Any]) -> Incident:
    return Incident(
        id=row.id,
        subject=row.subject,
        expectation=row.expectation,
        severity=row.severity,
        column=row.column_name,
        owner=row.owner,
        opened_at=row.opened_at,
        last_at=row.last_at,
        unexpected=row.unexpected,
        errored=row.errored,
        failures=row.failures,
        closed_at=row.closed_at,
        batch=row.batch or "",
    )
