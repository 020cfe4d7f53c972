"""Lineage that a person declares (`-- gov.lineage:` lines in a model's head) where it cannot be found. Pure.

A model whose column lineage cannot be determined is refused until every output column is declared, with evidence. Then
exactly the columns that are declared (and those that were found) are read: any other is bound as NULL, so that what is
not declared cannot get out. The declaration is in the ledger with every build, and in the release that a steward signs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from governance.catalog.types import Model
from governance.develop.deps import NONE, Dep, Trace
from governance.develop.uses import Use
from governance.errors import Fault

ROWS = "*"


def with_declared(
    model: Model,
    found: Trace,
    unknown: Sequence[Fault],
    names: Sequence[str],
    columns: Mapping[str, Mapping[str, str]],
) -> tuple[Trace, list[Fault]]:
    """The trace completed by what the model declares, and its faults: those of `unknown` when nothing is declared.

    `names` are the output columns, `columns` those of the inputs (table -> lower case -> name).
    """
    if not model.lineage or not names:
        return found, [*unknown]
    if not unknown:
        do = "remove the gov.lineage lines"
        return found, [_fault(model, "its lineage is found, and declared as well", "one of the two", do)]
    faults = _faults(model, names, columns)
    if faults:
        return found, faults
    known = found.columns if [n.lower() for n in found.columns] == [n.lower() for n in names] else {}
    by_name = {name.lower(): deps for name, deps in known.items()}
    made = {
        name: by_name.get(name.lower(), NONE) | _deps(model.lineage[name][0], Use("DIRECT", "TRANSFORMATION"), columns)
        for name in names
    }
    decided = _deps(model.lineage.get(ROWS, ((), ""))[0], Use("INDIRECT", "FILTER"), columns)
    return Trace(made, found.rows | decided), []


def _faults(model: Model, names: Sequence[str], columns: Mapping[str, Mapping[str, str]]) -> list[Fault]:
    faults = []
    missing = [name for name in names if name not in model.lineage]
    if missing:
        found = f"no declared lineage of {', '.join(missing)}"
        faults.append(_fault(model, found, "a gov.lineage line for every output column", "declare each"))
    unknown = sorted(set(model.lineage) - {*names, ROWS})
    if unknown:
        found = f"declared lineage of {', '.join(unknown)}, which the model does not make"
        faults.append(_fault(model, found, f"{', '.join(names)}, *", "correct the name"))
    for sources, _ in model.lineage.values():
        for source in sources:
            table, _, column = source.rpartition(".")
            if column.lower() not in columns.get(table, {}):
                allowed = ", ".join(sorted(columns)) or "no table"
                faults.append(_fault(model, f"{source} is no column that the model can read", allowed, "correct it"))
    return faults


def _deps(sources: Sequence[str], use: Use, columns: Mapping[str, Mapping[str, str]]) -> frozenset[Dep]:
    found = set()
    for source in sources:
        table, _, column = source.rpartition(".")
        found.add(Dep(table, columns[table][column.lower()], use))
    return frozenset(found)


def _fault(model: Model, found: str, allowed: str, do: str) -> Fault:
    return Fault(model.file, 1, "gov.lineage", found, allowed, do)
