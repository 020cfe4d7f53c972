"""Alerts: each incident is told of once when it opens and once when it closes, by a webhook, by mail, or both (`[alerts]` in gov.toml).

What is told: the table, the expectation, counts, the tables downstream. Never a value. An incident counts as told when every target has taken
it; until then the next stage's end tells all of them again, so that one which was there the first time hears of it twice.
"""

from __future__ import annotations

import json
import logging
import smtplib
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Any

from sqlalchemy import select, update

from governance.lineage.index import Index
from governance.pipeline.context import Context
from governance.pipeline.incidents import Incident, counted, find, reached
from governance.state.tables import incident

log = logging.getLogger("governance")

_SECONDS = 10
_MOST = 500


def deliver(context: Context) -> int:
    """Tell of every incident that is untold; how many notices were taken. An unreachable target is a warning, never an error."""
    targets = _targets(context)
    notices = _notices(context) if targets else []
    if not notices:
        return 0
    for name, send in targets:
        try:
            send(notices)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            log.warning("alerts: %s does not take them: %s; they wait", name, type(error).__name__)
            return 0
    with context.database.unit_of_work() as tx:
        at = context.database.clock()
        for notice in notices:
            told = {"told_opened_at": at} if notice["change"] == "opened" else {"told_closed_at": at}
            tx.execute(update(incident).where(incident.c.id == notice["incident"]).values(told))
    return len(notices)


def notice(found: Incident, change: str, tables: Sequence[str]) -> dict[str, Any]:
    """What is told of one incident, as JSON values."""
    return {
        "change": change,
        "incident": found.id,
        "subject": found.subject,
        "batch": found.batch,
        "expectation": found.expectation,
        "severity": found.severity,
        "unexpected": found.unexpected,
        "errored": found.errored,
        "failures": found.failures,
        "owner": found.owner,
        "opened_at": found.opened_at.isoformat(),
        "closed_at": found.closed_at.isoformat() if found.closed_at else None,
        "downstream": list(tables),
    }


def text_of(notices: Sequence[dict[str, Any]]) -> str:
    """Notices as lines of text.

    >>> text_of([{"change": "opened", "subject": "a.b", "expectation": "unique:id", "severity": "warn", "unexpected": 3, "errored": False, "downstream": []}])
    'opened: a.b unique:id (warn), 3 rows; reaches nothing'
    """
    return "\n".join(
        f"{n['change']}: {n['subject']} {n['expectation']} ({n['severity']}),"
        f" {counted(n['unexpected'], n['errored'])};"
        f" reaches {', '.join(n['downstream']) or 'nothing'}"
        for n in notices
    )


def _notices(context: Context) -> list[dict[str, Any]]:
    """Openings first, in order; an incident that opened and closed before anybody was told gives two."""
    untold_open = select(incident.c.id).where(incident.c.told_opened_at.is_(None))
    untold_close = select(incident.c.id).where(incident.c.closed_at.is_not(None), incident.c.told_closed_at.is_(None))
    found, index = [], Index(context.settings.lineage / "graph")
    with context.database.read() as connection:
        for change, query in (("opened", untold_open), ("closed", untold_close)):
            for number in connection.execute(query.order_by(incident.c.id).limit(_MOST)).scalars().all():
                one = find(connection, number)
                found.append(notice(one, change, reached(connection, index, one)))
    return found


def _targets(context: Context) -> list[tuple[str, Callable[[list[dict[str, Any]]], None]]]:
    alerts = context.settings.alerts
    targets: list[tuple[str, Callable[[list[dict[str, Any]]], None]]] = []
    if alerts.get("webhook"):
        targets.append(("the webhook", lambda notices: _post(alerts["webhook"], notices)))
    if alerts.get("smtp"):
        targets.append(("the mail server", lambda notices: _mail(alerts, notices)))
    return targets


def _post(url: str, notices: list[dict[str, Any]]) -> None:
    import httpx

    body = json.dumps({"text": text_of(notices), "incidents": notices}, ensure_ascii=False)
    try:
        httpx.post(
            url, content=body.encode("utf-8"), headers={"Content-Type": "application/json"}, timeout=_SECONDS
        ).raise_for_status()
    except httpx.HTTPError as error:
        raise OSError(type(error).__name__) from None


def _mail(alerts: Any, notices: list[dict[str, Any]]) -> None:
    host, _, port = alerts["smtp"].partition(":")
    message = EmailMessage()
    message["Subject"] = f"{len(notices)} incident notice{'' if len(notices) == 1 else 's'}: {notices[0]['subject']}"
    message["From"] = alerts.get("sender", "gov@localhost")
    message["To"] = alerts.get("to", "")
    message.set_content(text_of(notices))
    with smtplib.SMTP(host, int(port or 25), timeout=_SECONDS) as server:
        server.send_message(message)
