"""What the trusted scanner computes for a statement that aggregates aggregate-only columns: made by `aggregate.py`,
carried out by `grouped.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from governance.policy.restrictions import Restricted

Function = Literal["group", "rows", "count", "sum", "avg"]


@dataclass(frozen=True, slots=True)
class Term:
    """One released column: a grouping column, the count of rows, or an aggregate of a column."""

    function: Function
    column: str = ""

    @property
    def name(self) -> str:
        match self.function:
            case "group":
                return self.column
            case "rows":
                return "count_star()"
            case _:
                return f"{self.function}({self.column})"


@dataclass(frozen=True, slots=True)
class Grouped:
    """What the scanner computes: `terms`, released as columns r0, r1, … of groups of at least `min_group`. `where` are
    conditions over the visible columns as they are seen (masked), which all hold. `sql` is the locked worker's statement over the
    released rows. `columns` are all columns that are used.
    """

    columns: tuple[Restricted, ...]
    groups: tuple[str, ...]
    terms: tuple[Term, ...]
    where: tuple[str, ...]
    min_group: int
    sql: str

    def request(self, identifiers: Sequence[str]) -> dict[str, Any]:
        """For the scanner; `identifiers` are the token columns by which persons are counted."""
        return {
            "groups": list(self.groups),
            "terms": [[term.function, term.column] for term in self.terms],
            "where": list(self.where),
            "min_group": self.min_group,
            "identifiers": list(identifiers),
        }


def released(at: int) -> str:
    """The name of a released column."""
    return f"r{at}"
