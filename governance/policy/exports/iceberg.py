"""Iceberg REST `read-restrictions`: a file for each subject, purpose and table, in the standard's own field names.

Additions are `deny`, `gov:<mask>`, and in the row filter the expressions `gov:before`, `gov:consented`, `gov:no-export`
and `gov:max-rows`. They stand only where the standard has a reader fail that does not know them: an unknown action, an unknown
expression. Nothing is closed by a key that a reader may overlook.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from governance.policy.exports.model import (
    Export,
    Inexpressible,
    Loss,
    Scope,
    field_loss,
    known,
    no_aggregates,
    purpose_name,
    whole_table,
)
from governance.policy.masks import ICEBERG

LIMITS = (
    "A file is the decision of one moment: a catalogue service should ask again for each load of a table.",
    "The reader is trusted to apply it; the standard has no proof that one did.",
    "Every column of the snapshot is named; a reader takes a column that is not named for an open one, so use a file with "
    "its own snapshot alone.",
    "A reader that knows the standard alone fails on every document of which `standard` in index.json is false.",
)

_FAILS = "a reader of the standard alone fails"


def export(scopes: Iterable[Scope]) -> Export:
    """`index.json` and the documents it names; a table that is closed to somebody has none."""
    files: dict[str, str] = {}
    losses: list[Loss] = []
    index: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for scope in scopes:
        restrictions = scope.restrictions
        losses += no_aggregates(restrictions)
        if not restrictions.visible:
            continue
        try:
            known(restrictions)
        except Inexpressible as refused:
            losses.append(whole_table(restrictions, refused.found))
            continue
        additions = tuple(_additions(scope))
        losses += additions
        purpose = names.setdefault(restrictions.purpose, purpose_name(restrictions.purpose))
        subject = names.setdefault(restrictions.subject, _folder(restrictions.subject))
        path = f"{purpose}/{subject}/{_file(restrictions.table)}"
        files[path] = _text({"read-restrictions": restrictions_of(scope)})
        index.append(
            {
                "subject": restrictions.subject,
                "purpose": restrictions.purpose,
                "table": restrictions.table,
                "snapshot-id": restrictions.snapshot,
                "decision-hash": restrictions.decision_hash,
                "standard": not additions and len(restrictions.visible) == len(restrictions.columns),
                "file": path,
            }
        )
    files["index.json"] = _text({"read-restrictions": index})
    return Export("iceberg", files, tuple(losses), LIMITS, names)


def restrictions_of(scope: Scope) -> dict[str, Any]:
    """The `read-restrictions` object of one scope."""
    made: dict[str, Any] = dict(scope.restrictions.document["read-restrictions"])
    filters = [made.pop("required-row-filter", None)]
    if scope.until is not None:
        filters.append({"type": "gov:before", "instant": scope.until.astimezone(UTC).isoformat()})
    if scope.restrictions.no_export:
        filters.append({"type": "gov:no-export"})
    if scope.restrictions.max_rows is not None:
        filters.append({"type": "gov:max-rows", "rows": scope.restrictions.max_rows})
    joined: Any = None
    for part in filters:
        if part is not None:
            joined = part if joined is None else {"type": "and", "left": joined, "right": part}
    return made if joined is None else {"required-row-filter": joined, **made}


def _additions(scope: Scope) -> Iterable[Loss]:
    restrictions = scope.restrictions
    for column in restrictions.columns:
        if column.outcome.kind != "aggregate_only" and not column.visible:
            yield field_loss(restrictions, column, f"deny: {_FAILS}", closes=False)
        elif column.outcome.mask is not None and column.outcome.mask.kind not in ICEBERG:
            yield field_loss(restrictions, column, f"a mask of our own: {_FAILS}", closes=False)
    if scope.until is not None:
        yield whole_table(restrictions, f"gov:before, an end in time: {_FAILS}", closes=False)
    if restrictions.consents:
        yield whole_table(restrictions, f"gov:consented, rows by consent: {_FAILS}", closes=False)
    if restrictions.no_export or restrictions.max_rows is not None:
        yield whole_table(restrictions, f"obligations: {_FAILS}", closes=False)


def _folder(subject: str) -> str:
    kind, _, name = subject.partition(":")
    plain = name.isascii() and name.isalnum() and name.islower() and len(name) <= 60
    return f"{kind}-{name}" if plain else f"{kind}-{hashlib.sha256(subject.encode('utf-8')).hexdigest()}"


def _file(table: str) -> str:
    plain = table.isascii() and table.replace(".", "").replace("_", "").isalnum() and table.islower()
    return f"{table if plain else hashlib.sha256(table.encode('utf-8')).hexdigest()}.json"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False) + "\n"
