"""Apache Ranger policies for its Trino service: the JSON that Ranger's policy import takes.

One access policy a column, one policy of masks a column, one of row filters a table, since Ranger keeps one policy of a
kind for a resource; each holds an item a subject. `isDenyAllElse` keeps other policies from opening the same column. A
purpose is a catalogue of its own, as for Trino.

Of Ranger's built-in masks two mean what ours mean: MASK_NULL and MASK_DATE_SHOW_YEAR. The others leave Chinese signs and
short values as they are, or hash in other letters, so ours are CUSTOM expressions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from governance.policy.exports import trino
from governance.policy.exports.dialect import TRINO
from governance.policy.exports.model import Export, Inexpressible, Scope, purpose_name
from governance.policy.exports.openings import Opening, openings, value
from governance.policy.filters import Compare, comparisons
from governance.policy.restrictions import Restricted, Restrictions

SERVICE = "gov"
LIMITS = (
    f"The service is called {SERVICE}; map it at import. Users' names are the subjects'. Import with override, so that "
    "policies of an earlier export go, and keep it for this export alone: other policies could open what none here speaks of.",
    "Users and groups of the service's super users see everything.",
    "Plugins pull policies at intervals, so revocation waits for the next one; without Ranger they go on with what they have.",
    "Mount the data once a purpose, as catalogues with the names in `names`. One statement can join two of them.",
    "Tables are read as they stand, not at the release's snapshot.",
    "EXPLAIN and SHOW STATS estimate from whole tables.",
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_SPECIAL = re.compile(r"[*?{}$]")
Item = dict[str, Any]


def export(scopes: Iterable[Scope]) -> Export:
    """`policies.json` in the form of Ranger's export and import of policies."""
    opened, losses = openings(scopes, TRINO, check_table, check_column)
    names = {o.restrictions.purpose: purpose_name(o.restrictions.purpose) for o in opened}
    policies = [*_catalogs(opened), *_access(opened), *_masks(opened), *_filters(opened)]
    whole = {"metaDataInfo": {"Host name": "", "Exported by": "gov"}, "policies": policies}
    text = json.dumps(whole, ensure_ascii=False, indent=2) + "\n"
    return Export("ranger", {"policies.json": text}, losses, LIMITS, names)


def check_table(restrictions: Restrictions) -> None:
    """Raises Inexpressible for names that are wild cards or macros in Ranger."""
    trino.check_table(restrictions)
    if _SPECIAL.search(restrictions.table) or _SPECIAL.search(restrictions.subject):
        raise Inexpressible("a name holds a sign that is a wild card or a macro in Ranger (* ? { } $)")
    values = [v for compare in _comparisons(restrictions) for v in (compare.column, compare.value, *compare.values)]
    if any(isinstance(value, str) and re.search(r"[{}$]", value) for value in values):
        raise Inexpressible("the row filter holds a sign that is a macro in Ranger ({ } $)")


def check_column(column: Restricted) -> None:
    """Raises Inexpressible for a name that is a wild card or a macro in Ranger."""
    if _SPECIAL.search(column.name):
        raise Inexpressible("a name holds a sign that is a wild card or a macro in Ranger (* ? { } $)")


def _comparisons(restrictions: Restrictions) -> Iterable[Compare]:
    return () if restrictions.row_filter is None else comparisons(restrictions.row_filter)


def _catalogs(opened: Sequence[Opening]) -> list[Item]:
    users: dict[str, list[str]] = {}
    for opening in opened:
        known = users.setdefault(purpose_name(opening.restrictions.purpose), [])
        if opening.restrictions.subject not in known:
            known.append(opening.restrictions.subject)
    return [
        _policy(0, (catalog,), [_item(subject, access="use") for subject in subjects], deny_else=False)
        for catalog, subjects in users.items()
    ]


def _access(opened: Iterable[Opening]) -> list[Item]:
    items: dict[tuple[str, ...], list[Item]] = {}
    for opening in opened:
        for column in opening.columns:
            items.setdefault(_resource(opening, column), []).append(_item(opening.restrictions.subject))
    return [_policy(0, resource, made, deny_else=True) for resource, made in items.items()]


def _masks(opened: Iterable[Opening]) -> list[Item]:
    items: dict[tuple[str, ...], list[Item]] = {}
    for opening in opened:
        for column in opening.columns:
            if column.outcome.mask is not None:
                own = _item(opening.restrictions.subject) | {"dataMaskInfo": _mask(column)}
                items.setdefault(_resource(opening, column), []).append(own)
    return [_policy(1, resource, made) for resource, made in items.items()]


def _filters(opened: Iterable[Opening]) -> list[Item]:
    items: dict[tuple[str, ...], list[Item]] = {}
    for opening in opened:
        if opening.where is not None:
            info = {"filterExpr": opening.where.sql("trino")}
            own = _item(opening.restrictions.subject) | {"rowFilterInfo": info}
            items.setdefault(_resource(opening, None), []).append(own)
    return [_policy(2, resource, made) for resource, made in items.items()]


def _mask(column: Restricted) -> Mapping[str, str]:
    """Built-in where it means the same; Ranger puts a column's name into its own masks without quotes."""
    assert column.outcome.mask is not None
    kind = column.outcome.mask.kind
    if kind == "replace-with-null":
        return {"dataMaskType": "MASK_NULL"}
    if kind == "truncate-to-year" and _PLAIN.fullmatch(column.name):
        return {"dataMaskType": "MASK_DATE_SHOW_YEAR"}
    return {"dataMaskType": "CUSTOM", "valueExpr": value(column, TRINO.column(column.name), TRINO).sql("trino")}


def _resource(opening: Opening, column: Restricted | None) -> tuple[str, ...]:
    table = (purpose_name(opening.restrictions.purpose), *opening.place)
    return table if column is None else (*table, column.name)


def _item(subject: str, *, access: str = "select") -> Item:
    return {
        "accesses": [{"type": access, "isAllowed": True}],
        "users": [subject],
        "groups": [],
        "roles": [],
        "conditions": [],
        "delegateAdmin": False,
    }


def _policy(kind: int, resource: tuple[str, ...], items: list[Item], *, deny_else: bool = False) -> Item:
    lists = ("policyItems", "dataMaskPolicyItems", "rowFilterPolicyItems")
    resources = {
        level: {"values": [name], "isExcludes": False, "isRecursive": False}
        for level, name in zip(("catalog", "schema", "table", "column"), resource, strict=False)
    }
    return {
        "service": SERVICE,
        "serviceType": "trino",
        "name": f"gov {('access', 'mask', 'rows')[kind]} {json.dumps(resource, ensure_ascii=False)}",
        "policyType": kind,
        "policyPriority": 1,
        "isEnabled": True,
        "isAuditEnabled": True,
        "isDenyAllElse": deny_else,
        "resources": resources,
        **{name: items if at == kind else [] for at, name in enumerate(lists)},
        "denyPolicyItems": [],
        "allowExceptions": [],
        "denyExceptions": [],
        "validitySchedules": [],
        "policyLabels": [],
    }
