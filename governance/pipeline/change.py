"""One difference between two catalogues, and of which kinds there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from governance.lineage.graph import Node

Kind = Literal[
    "table dropped",
    "table added",
    "field dropped",
    "field renamed",
    "field added",
    "type narrowed",
    "type widened",
    "type changed",
    "nullability",
    "key",
    "level raised",
    "level lowered",
    "mask",
    "rule",
    "reference",
    "token",
    "key group",
    "load mode",
    "source",
    "model",
    "tolerance",
    "declassified",
    "declared lineage",
    "check",
    "expectations",
    "codes",
]


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One difference. `column` is '*' where it is of the whole table; `root` is what lineage is asked about."""

    table: str
    column: str
    kind: Kind
    breaking: bool
    what: str

    @property
    def root(self) -> Node:
        return Node(self.table, self.column)
