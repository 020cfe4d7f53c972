"""Column edges that follow from a contract and its rules: source column -> landed copy, source column -> field, field -> its
token, and what decides which rows are there: the columns of rules that set rows aside. Pure.

A source is named `<system>:<table or file>`; the colon tells it from a dataset, and a graph answer ends well there.
"""

from __future__ import annotations

from typing import Literal

from governance.catalog.rules import ReferenceRule, RowRules
from governance.catalog.types import DatabaseSource, Dataset, Field
from governance.lineage.edges import Edge, EdgeSet
from governance.lineage.graph import ROWS

LANDED_PREFIX = "landed:"
"""The landed originals of dataset `d` are the lineage node `landed:d`; its columns have the source's names."""


def source_name(dataset: Dataset) -> str:
    """The lineage name of what `dataset` is collected from: table, or last part of the file's place, in its system."""
    match dataset.source:
        case None:
            return f"{dataset.system}:{dataset.short}"
        case DatabaseSource(schema=schema, table=table):
            return f"{dataset.system}:{schema}.{table}" if schema else f"{dataset.system}:{table}"
        case source:
            place = source.location.partition("?")[0].rstrip("/").rpartition("/")[2]
            return f"{dataset.system}:{place or dataset.short}"


def landed_edges(dataset: Dataset) -> EdgeSet:
    """Landing keeps bytes as they are: every source column IDENTITY."""
    source, landed = source_name(dataset), LANDED_PREFIX + dataset.name
    names = dict.fromkeys(f.source_name for f in dataset.fields)
    edges = tuple(Edge(source, name, name, "DIRECT", "IDENTITY") for name in names)
    return EdgeSet(landed, "collect", edges)


def edges_of_dataset(dataset: Dataset, rules: RowRules | None = None) -> EdgeSet:
    """Store parses and types: text stays IDENTITY, what is converted is a TRANSFORMATION; a token masks its field. With `rules` the
    columns of those that hold rows back, or stop their batch, decide on the rows (`*`), and so do the fields that they refer to.
    """
    source = source_name(dataset)
    edges = [Edge(source, f.source_name, f.name, "DIRECT", _subtype(f)) for f in dataset.fields]
    edges += [
        Edge(dataset.name, f.name, f.token_name, "DIRECT", "TRANSFORMATION", masking=True)
        for f in dataset.fields
        if f.token_name
    ]
    edges += _deciding(dataset, rules) if rules is not None else []
    return EdgeSet(dataset.name, "store", tuple(edges))


def _deciding(dataset: Dataset, rules: RowRules) -> list[Edge]:
    source, names = source_name(dataset), {f.name: f.source_name for f in dataset.fields}
    found: dict[Edge, None] = {}
    for rule in rules.rules:
        if rule.severity == "warn":
            continue
        for column in rule.columns:
            if column in names:
                found[Edge(source, names[column], ROWS, "INDIRECT", "FILTER")] = None
        if isinstance(rule, ReferenceRule):
            found[Edge(rule.dataset, rule.field, ROWS, "INDIRECT", "FILTER")] = None
    return list(found)


def _subtype(field: Field) -> Literal["IDENTITY", "TRANSFORMATION"]:
    return "IDENTITY" if field.type.kind == "string" else "TRANSFORMATION"
