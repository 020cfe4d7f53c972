"""Lineage that a person declares (`gov.lineage:` lines in a model's head) where it cannot be found: of SQL that cannot be
followed, and of every Python step. Pure.

A model whose column lineage cannot be determined is refused until every output column is declared, with evidence. Then
exactly the columns that are declared (and those that were found) are read: any other is bound as NULL, so that what is
not declared cannot get out; a step gets those columns alone. The declaration is in the ledger with every build, and in the release that a steward signs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Model
from governance.develop.deps import NONE, Dep, Trace
from governance.develop.schema import table_columns
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


def declared_tables(model: Model, catalogue: Catalogue) -> tuple[str, ...]:
    """Tables of the catalogue that the declaration names: all that a step reads."""
    named = {source.rpartition(".")[0] for sources, _ in model.lineage.values() for source in sources}
    return tuple(sorted(named & {*catalogue.datasets, *catalogue.models}))


def step_columns(model: Model) -> tuple[tuple[str, str], ...]:
    """The columns that a step gives, with their DuckDB types: its contract's fields and their tokens."""
    return tuple(table_columns(model.contract).items())


def undeclared(model: Model) -> list[Fault]:
    """What is wrong with a step as long as nothing is declared."""
    found = "a Python step whose lineage is not declared"
    return [_fault(model, found, "a gov.lineage line for every output column", "declare each")]


def token_faults(model: Model, catalogue: Catalogue) -> list[Fault]:
    """A step makes no token: it hands on those of its inputs, of the domain that the field has."""
    domains = {field.token_name: field.domain for field in model.contract.fields if field.token_name}
    faults = []
    for name, (sources, _) in model.lineage.items():
        if not name.endswith(TOKEN_SUFFIX):
            continue
        found = {_domain(source, catalogue) for source in sources}
        wanted = {domains[name]} if name in domains else found - {None}
        if not found or found != wanted or len(wanted) != 1:
            allowed = f"tokens of the domain {domains[name]}" if name in domains else "tokens of one domain"
            do = "declare and hand on the source's token: a step cannot make one"
            faults.append(_fault(model, "a token that is not an input's", allowed, do, of=name))
    return faults


def _domain(source: str, catalogue: Catalogue) -> str | None:
    """The domain of a token column; None of anything else. A field that holds tokens without a domain stands for itself."""
    table, _, column = source.rpartition(".")
    if table not in {*catalogue.datasets, *catalogue.models} or not column.endswith(TOKEN_SUFFIX):
        return None
    for field in catalogue.table(table).fields:
        if column in (field.token_name, field.name):
            return field.domain or source
    return None


def _faults(model: Model, names: Sequence[str], columns: Mapping[str, Mapping[str, str]]) -> list[Fault]:
    faults = []
    missing = [name for name in names if name not in model.lineage]
    if missing:
        found = f"no declared lineage of {', '.join(missing)}"
        faults.append(_fault(model, found, "a gov.lineage line for every output column", "declare each"))
    unknown = sorted(set(model.lineage) - {*names, ROWS})
    if unknown:
        found = f"declared lineage of {', '.join(unknown)}, which the model does not make"
        faults.append(_fault(model, found, f"{', '.join(names)}, *", "correct the name", of=unknown[0]))
    for name, (sources, _) in model.lineage.items():
        for source in sources:
            table, _, column = source.rpartition(".")
            if column.lower() not in columns.get(table, {}):
                allowed = ", ".join(sorted(columns)) or "no table"
                found = f"{source} is no column that the model can read"
                faults.append(_fault(model, found, allowed, "correct it", of=name))
    return faults


def _deps(sources: Sequence[str], use: Use, columns: Mapping[str, Mapping[str, str]]) -> frozenset[Dep]:
    found = set()
    for source in sources:
        table, _, column = source.rpartition(".")
        found.add(Dep(table, columns[table][column.lower()], use))
    return frozenset(found)


def _fault(model: Model, found: str, allowed: str, do: str, *, of: str = "") -> Fault:
    """A fault at the line that declares column `of`, else at the first."""
    start = re.compile(rf"\s*(--|#)\s*gov\.lineage\s*:\s*{re.escape(of)}\s")
    lines = (number for number, text in enumerate(model.sql.splitlines(), 1) if of and start.match(text))
    return Fault(model.file, next(lines, 1), "gov.lineage", found, allowed, do)
