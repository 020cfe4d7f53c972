"""Which fields of curated tables a request may speak of: known, classified, and such that the action fits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Dataset, Field, Level
from governance.errors import Refused
from governance.policy import masks
from governance.policy.lattice import Outcome

_LEVELS = list(Level)


def chosen(
    catalogue: Catalogue, fields: Sequence[str], tables: Sequence[str], *, action: Outcome, ceiling: Level
) -> Mapping[str, Mapping[str, str]]:
    """table -> field -> level, of the named fields (`<schema>.<table>.<field>`) and of every field of the named tables
    to which `action` can be given; raw only up to `ceiling`.

    Raises Refused for a named field to which it cannot, and for a table with no field to which it can.
    """
    found: dict[str, dict[str, str]] = {}
    for table in tables:
        own = {f.name: level(f) for f in _table(catalogue, table).fields if not why_not(f, action, ceiling)}
        if not own:
            raise Refused(f"no field of {table} can be given as {action}", do="ask for a mask: --action mask:<mask>")
        found.setdefault(table, {}).update(own)
    for name in fields:
        table, _, column = name.rpartition(".")
        known = {field.name: field for field in _table(catalogue, table or name).fields}
        if column not in known:
            raise Refused(f"no field {column} in {table}", allowed=", ".join(sorted(known)))
        why = why_not(known[column], action, ceiling)
        if why:
            raise Refused(f"{name} cannot be given as {action}: {why}", do="name another field, or another --action")
        found.setdefault(table, {})[column] = level(known[column])
    if not found:
        raise Refused("no field is named", do="give --field or --table")
    return {table: dict(sorted(own.items())) for table, own in sorted(found.items())}


def why_not(field: Field, action: Outcome, ceiling: Level) -> str:
    """Why a field cannot be given as `action`; empty when it can. `ceiling` is for raw: a clearance, or a break-glass's
    highest level.
    """
    if field.name.endswith(TOKEN_SUFFIX) or field.name.startswith("_"):
        return "it is a column of the lake itself"
    if field.classification is None:
        return "nobody classified it"
    if action.kind == "raw" and above(field.classification, ceiling):
        return f"it is {field.classification}, above {ceiling}"
    return masks.fault(action.mask, field) if action.mask is not None else ""


def above(level: Level, other: Level) -> bool:
    """Whether `level` is more sensitive than `other`."""
    return _LEVELS.index(level) > _LEVELS.index(other)


def level(field: Field) -> str:
    """The level of a classified field, as documents write it."""
    assert field.classification is not None
    return field.classification.value


def _table(catalogue: Catalogue, name: str) -> Dataset:
    if name not in catalogue.models:
        raise Refused(f"no curated table {name}", allowed=", ".join(sorted(catalogue.models)))
    return catalogue.models[name].contract
