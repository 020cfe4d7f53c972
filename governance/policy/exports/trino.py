"""Trino's file-based access control: `rules.json`.

Trino knows no purposes. A purpose is a catalogue of its own over the same tables (`p_<purpose>`): choosing it is stating
the purpose. First match wins there, so each user has one rule a table, and each list ends in a rule that denies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from governance.policy.exports.dialect import TRINO
from governance.policy.exports.model import Export, Inexpressible, Scope, purpose_name
from governance.policy.exports.openings import Opening, openings, value
from governance.policy.restrictions import Restricted, Restrictions

LIMITS = (
    "Mount the data once a purpose, as catalogues with the names in `names`; users' names are the subjects'.",
    "A column that is added later is open there until the next export: load tables with the columns of this release.",
    "Tables are read as they stand in the catalogue, not at the release's snapshot, and earlier snapshots of a table can be "
    "asked for: load only what the release names.",
    "Trino reads the file anew at its security.refresh-period, or when it starts; until then the old rules hold.",
    "One statement can join catalogues of two purposes. Names of closed columns of an open table can be seen.",
    "EXPLAIN and SHOW STATS estimate from whole tables.",
)


def export(scopes: Iterable[Scope]) -> Export:
    """`rules.json`: the whole file, read as it is."""
    opened, losses = openings(scopes, TRINO, check_table, check_column)
    names = {o.restrictions.purpose: purpose_name(o.restrictions.purpose) for o in opened}
    rules = {
        "catalogs": [*_catalogs(opened), {"allow": "none"}],
        "schemas": [{"owner": False}],
        "tables": [*map(_table, opened), {"privileges": []}],
        "functions": [],
        "procedures": [],
        "impersonation": [],
        "queries": [{"allow": ["execute"]}],
        "system_session_properties": [{"allow": False}],
        "catalog_session_properties": [{"allow": False}],
    }
    text = json.dumps(rules, ensure_ascii=False, indent=2) + "\n"
    return Export("trino", {"rules.json": text}, losses, LIMITS, names)


def pattern(name: str) -> str:
    """A Java regular expression that `name` alone matches.

    >>> pattern("user:o'neil.*")
    "^user\\\\:o\\\\'neil\\\\.\\\\*$"
    """
    return "^" + re.sub(r"([\x20-\x7e])", lambda m: m[1] if m[1].isalnum() or m[1] == "_" else "\\" + m[1], name) + "$"


def check_table(restrictions: Restrictions) -> None:
    """Raises Inexpressible: Trino knows names in lower case only, so a rule for another one would not hold."""
    for name in (restrictions.table, *(column.name for column in restrictions.columns)):
        TRINO.sayable(name)
        if name != name.lower():
            raise Inexpressible("names in upper case: Trino knows every name in lower case, and rules would miss them")


def check_column(column: Restricted) -> None:
    """Every column that Trino can name can have a rule."""


def _catalogs(opened: Iterable[Opening]) -> list[dict[str, Any]]:
    places = dict.fromkeys((o.restrictions.subject, o.restrictions.purpose) for o in opened)
    return [
        {"user": pattern(subject), "catalog": pattern(purpose_name(purpose)), "allow": "read-only"}
        for subject, purpose in places
    ]


def _table(opening: Opening) -> dict[str, Any]:
    schema, name = opening.place
    rule: dict[str, Any] = {
        "user": pattern(opening.restrictions.subject),
        "catalog": pattern(purpose_name(opening.restrictions.purpose)),
        "schema": pattern(schema),
        "table": pattern(name),
        "privileges": ["SELECT"],
    }
    if columns := [*_masks(opening.columns), *({"name": column.name, "allow": False} for column in opening.closed)]:
        rule["columns"] = columns
    if opening.where is not None:
        rule["filter"] = opening.where.sql("trino")
    return rule


def _masks(columns: Sequence[Restricted]) -> list[dict[str, Any]]:
    return [
        {"name": column.name, "mask": value(column, TRINO.column(column.name), TRINO).sql("trino")}
        for column in columns
        if column.outcome.mask is not None
    ]
