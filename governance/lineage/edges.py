"""Column edges: what an output column was made from. Stored once per edge set; runs point at the set.

Kinds and subtypes are OpenLineage's columnLineage facet 1-2-0: DIRECT (IDENTITY, TRANSFORMATION, AGGREGATION),
INDIRECT (JOIN, GROUP_BY, FILTER, SORT, WINDOW, CONDITIONAL).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Kind = Literal["DIRECT", "INDIRECT"]
Subtype = Literal[
    "IDENTITY", "TRANSFORMATION", "AGGREGATION", "JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"
]


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """`output_column` of the set's output depends on `input`.`input_column`. An INDIRECT edge on the whole output has
    output_column '*'."""

    input: str
    input_column: str
    output_column: str
    kind: Kind
    subtype: Subtype
    masking: bool = False


@dataclass(frozen=True, slots=True)
class EdgeSet:
    """All edges of one output as made by one text. `complete` False means: somebody must declare before it may be
    published."""

    output: str
    stage: str
    edges: tuple[Edge, ...]
    complete: bool = True

    @property
    def id(self) -> str:
        """sha256 of the content: equal sets are stored once."""
        text = "\n".join(
            [self.output, self.stage, str(self.complete)]
            + [
                f"{e.input}\t{e.input_column}\t{e.output_column}\t{e.kind}\t{e.subtype}\t{e.masking}"
                for e in sorted(self.edges)
            ]
        )
        return hashlib.sha256(text.encode("utf-8")).hexdigest()
