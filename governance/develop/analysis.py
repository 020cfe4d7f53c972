"""`Analysis`: all that is known of a model (or of a check beside it) before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from governance.catalog.types import Level
from governance.errors import Fault
from governance.keys.names import KeyName
from governance.lineage.edges import EdgeSet


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a SELECT reads, makes and may do. Nothing here depends on data."""

    inputs: tuple[str, ...]
    """Datasets and curated tables that the SELECT names, sorted."""
    edges: EdgeSet
    keys: tuple[KeyName, ...]
    """Exactly the keys of the encrypted columns that the lineage reads, and their tables' footers."""
    classification: Mapping[str, Level | None]
    """Level by output column as inherited over DIRECT sources, before declassification; None: unclassified, the top."""
    faults: tuple[Fault, ...]
    needs_worker: bool
    """True when encrypted columns are read: then the build runs in a process of its own, under a grant."""
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns by input that the lineage reads; any other is bound as NULL of its type."""
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All other columns by input, which the text may name (often by `*` in a CTE) though nothing comes of them."""
    columns: tuple[tuple[str, str], ...] = ()
    """Output columns and their DuckDB types, in the order of the SELECT."""
