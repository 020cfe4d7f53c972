"""Permits: what one person was given beside the rules, for a time. An approved access request, or a break-glass.

A permit is one more rule: it opens what no rule opens, the most restrictive outcome wins, and a rule with action none
closes what it opens. An approved request gives nothing raw above the subject's clearance. A break-glass gives raw up to
the level that `break_glass` of access.yaml names, whatever mask or clearance stands before it; row filters still hold.

    break_glass:                      # absent: nobody may
      roles: [caseworker]             # who may, at least one
      purposes: [benefits]            # for which purposes, at least one
      max_level: L3                   # the highest level that it opens
      max_hours: 4                    # 1 to 8, default 1: the longest that it lasts
      review_days: 3                  # default 3: after that many days without a review it is a fault
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Constraint

from governance.catalog.types import Level
from governance.policy.lattice import Outcome

Some = Annotated[tuple[str, ...], Constraint(min_length=1)]


class BreakGlass(BaseModel):
    """Who may break the glass, and how far that goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: Some
    purposes: Some
    max_level: Level
    max_hours: Annotated[int, Constraint(ge=1, le=8)] = 1
    review_days: Annotated[int, Constraint(ge=1)] = 3


@dataclass(frozen=True, slots=True)
class Permit:
    """What one request opens of one table, from `valid_from` until before `valid_to`."""

    request: str
    """Hash of the request."""
    hash: str
    """Hash of what was signed (the request as it was approved) or, for a break-glass, of the request."""
    subject: str
    purpose: str
    table: str
    fields: tuple[str, ...]
    action: Outcome
    valid_from: datetime
    valid_to: datetime
    emergency: bool = False

    @property
    def id(self) -> str:
        """What stands for a rule's id in explanations; no rule of access.yaml can have it, as it has a colon."""
        return f"{'break-glass' if self.emergency else 'request'}:{self.request[:16]}"

    @property
    def no_export(self) -> bool:
        return self.emergency

    def counts_under(self, section: BreakGlass | None) -> bool:
        """Whether the rules with this `break_glass` section know such a permit. Roles and level are Cedar's to ask."""
        if not self.emergency:
            return True
        return (
            section is not None
            and self.purpose in section.purposes
            and self.valid_to - self.valid_from <= timedelta(hours=section.max_hours)
        )
