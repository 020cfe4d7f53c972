"""What of a lineage answer a subject may know of: columns that policy opens to them for some purpose, in whatever form.

The audit administrator knows of every column, though of no value. A column outside the catalogue was classified by nobody, so
it is closed to everybody else; the columns of a source are as open as the fields that they become. What is hidden is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Dataset
from governance.errors import Refused
from governance.lineage.graph import ROWS, Answer, Node
from governance.lineage.store_edges import LANDED_PREFIX, source_name
from governance.policy.access import parse_access
from governance.policy.decide import Column, Decider
from governance.policy.lattice import NONE

Sees = Callable[[Node], bool]


def seen_by(subject: str, catalogue: Catalogue, *, at: datetime) -> Sees:
    """Whether `subject` may know of a node. Raises Refused for a subject that the access rules do not name."""
    access = parse_access(catalogue.access_text, catalogue.access_file, catalogue)
    if access.office(subject) == "audit":
        return lambda node: True
    if access.subject(subject) is None:
        raise Refused("unknown subject", where=subject[:64], allowed="a subject of the access rules")
    decider = Decider(access)
    purposes = [purpose.id for purpose in access.purposes]
    tables = _tables(catalogue)
    known: dict[str, frozenset[str]] = {}

    def columns(table: str) -> frozenset[str]:
        if table not in known:
            known[table] = _open(decider, subject, purposes, *tables[table], at) if table in tables else frozenset()
        return known[table]

    def sees(node: Node) -> bool:
        opened = columns(node.table)
        return bool(opened) if node.column == ROWS else node.column.removesuffix(TOKEN_SUFFIX) in opened

    return sees


def narrowed(answer: Answer, sees: Sees, subject: str) -> Answer:
    """The answer without what `subject` may not know of, which is counted. Raises Refused when that is the root: as if it were not there."""
    if not sees(answer.root):
        raise Refused("that is not there for you", where=str(answer.root), do="ask the steward for access")
    hidden = [node for node in answer.nodes if not sees(node)]
    if not hidden:
        return answer
    closed = set(hidden)
    links = tuple(link for link in answer.links if link.source not in closed and link.target not in closed)
    told = {reason for reason in answer.cut if _tells_only_of_seen(reason, sees)}
    cut = (*sorted(told), f"{len(hidden)} columns are hidden from {subject}")
    return replace(answer, links=links, cut=cut)


def _tells_only_of_seen(reason: str, sees: Sees) -> bool:
    """A reason that names a table is told to those who may know of the table."""
    table, colon, _ = reason.rpartition(": ")
    return not colon or sees(Node(table, ROWS))


def _tables(catalogue: Catalogue) -> Mapping[str, tuple[str, Dataset, bool]]:
    """Node name -> (table of the access rules, its contract, whether columns have the source's names)."""
    found: dict[str, tuple[str, Dataset, bool]] = {}
    for dataset in catalogue.datasets.values():
        found[dataset.name] = (dataset.name, dataset, False)
        found[LANDED_PREFIX + dataset.name] = found[source_name(dataset)] = (dataset.name, dataset, True)
    for model in catalogue.models.values():
        found[model.name] = (model.name, model.contract, False)
    return found


def _open(
    decider: Decider, subject: str, purposes: list[str], table: str, contract: Dataset, of_source: bool, at: datetime
) -> frozenset[str]:
    columns = [Column.of(field) for field in contract.fields]
    opened: set[str] = set()
    for purpose in purposes:
        decisions = decider.decide(subject, purpose, table, columns, at=at)
        opened.update(name for name, decision in decisions.items() if decision.outcome != NONE)
    if of_source:
        return frozenset(field.source_name for field in contract.fields if field.name in opened)
    return frozenset(opened)
