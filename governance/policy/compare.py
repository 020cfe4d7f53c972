"""Whether one sight of a field is more or less than another: outcome, rows and duties together. Pure."""

from __future__ import annotations

import json
from typing import Literal, NamedTuple

from governance.policy.lattice import NONE, Outcome, meet

Direction = Literal["gains", "loses", "differs"]
"""`differs`: cannot be compared, so it has to be read as a widening."""


class Sight(NamedTuple):
    """One field for one subject and purpose: outcome, deciding rules, row filters and obligations of its table."""

    outcome: Outcome = NONE
    rules: tuple[str, ...] = ()
    rows: frozenset[str] = frozenset()
    no_export: bool = False
    max_rows: int | None = None
    aggregates_a_day: int | None = None

    @property
    def visible(self) -> bool:
        """Be it in groups only."""
        return self.outcome.kind != "none"

    def __str__(self) -> str:
        parts = [str(self.outcome)]
        parts += [f"rows where {' and '.join(sorted(map(_said, self.rows)))}"] if self.rows else []
        parts += ["no export"] if self.no_export else []
        parts += [f"at most {self.max_rows} rows"] if self.max_rows is not None else []
        parts += [f"{self.aggregates_a_day} aggregates a day"] if self.aggregates_a_day is not None else []
        return ", ".join(parts)


def _said(row_filter: str) -> str:
    """A row filter as it is shown: of consent what is asked for, whatever the table calls the column of the person's token.

    >>> _said('{"scope": "research", "domain": "person", "column": "resident_no__token"}')
    'the person consents to research'
    """
    match json.loads(row_filter):
        case {"scope": str(scope), "domain": str(domain)}:
            return f"the {domain} consents to {scope}"
        case _:
            return row_filter


def compare(before: Sight, after: Sight) -> Direction | None:
    """How `after` stands to `before`; None when they are the same.

    >>> compare(Sight(), Sight(Outcome.parse("raw"))), compare(Sight(Outcome.parse("mask:phone")), Sight())
    ('gains', 'loses')
    """
    steps = {_outcomes(before.outcome, after.outcome)}
    if before.visible and after.visible:
        steps |= {_rows(before.rows, after.rows), _order(before.no_export, after.no_export)}
        steps |= {_order(-_limit(before.max_rows), -_limit(after.max_rows))}
        steps |= {_order(-_limit(before.aggregates_a_day), -_limit(after.aggregates_a_day))}
    steps -= {None}
    if not steps:
        return None
    return steps.pop() if len(steps) == 1 else "differs"


def _outcomes(before: Outcome, after: Outcome) -> Direction | None:
    if before == after:
        return None
    met = meet((before, after))
    return "gains" if met == before else "loses" if met == after else "differs"


def _rows(before: frozenset[str], after: frozenset[str]) -> Direction | None:
    """All filters of a side hold together: it is the narrower one when each filter of the other follows from one of its."""
    if before == after:
        return None
    narrower = all(any(_implies(own, other) for own in after) for other in before)
    wider = all(any(_implies(own, other) for own in before) for other in after)
    if narrower and wider:
        return None
    return "differs" if narrower == wider else "loses" if narrower else "gains"


def _implies(left: str, right: str) -> bool:
    """Whether a row that `left` lets pass is let pass by `right`, for what can be seen: equal texts, or lists of values of
    one column.
    """
    if left == right:
        return True
    (column, values), (other, allowed) = _listed(left), _listed(right)
    return column is not None and column == other and values <= allowed


def _listed(row_filter: str) -> tuple[str | None, frozenset[str]]:
    match json.loads(row_filter):
        case {"column": str(column), "op": "in", "values": [*values]}:
            return column, frozenset(map(repr, values))
        case {"column": str(column), "op": "=", "value": value}:
            return column, frozenset({repr(value)})
        case _:
            return None, frozenset()


def _order(before: float, after: float) -> Direction | None:
    """More of a duty is less of a right."""
    return None if before == after else "gains" if after < before else "loses"


def _limit(limit: int | None) -> float:
    return float("inf") if limit is None else limit
