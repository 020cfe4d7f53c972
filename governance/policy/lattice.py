"""The lattice of outcomes: none < aggregate_only < masks < raw. Where several rules apply, the most restrictive wins.

Two masks of which neither tells no more than the other have no meet that a person could foresee: they refuse, which
is `none`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from governance.policy.masks import KINDS, Mask, coarser

Kind = Literal["none", "aggregate_only", "mask", "raw"]
_ORDER: tuple[Kind, ...] = ("none", "aggregate_only", "mask", "raw")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one field is to one subject. `mask` only for kind mask, `min_group` (at least 2) only for aggregate_only.

    >>> Outcome.parse("aggregate_only(10)"), str(Outcome.parse("mask:phone"))
    (Outcome(kind='aggregate_only', mask=None, min_group=10), 'mask:phone')
    """

    kind: Kind
    mask: Mask | None = None
    min_group: int = 0

    def __str__(self) -> str:
        if self.kind == "mask":
            return f"mask:{self.mask}"
        return f"aggregate_only({self.min_group})" if self.kind == "aggregate_only" else self.kind

    @classmethod
    def parse(cls, text: str) -> Outcome:
        """From the words of access.yaml. Raises ValueError with what is allowed."""
        if text in ("raw", "none"):
            return RAW if text == "raw" else NONE
        if text.startswith("mask:"):
            return cls("mask", mask=Mask.parse(text.removeprefix("mask:")))
        found = re.fullmatch(r"aggregate_only\(([0-9]{1,9})\)", text)
        if found and int(found[1]) >= 2:
            return cls("aggregate_only", min_group=int(found[1]))
        masks = ", ".join(f"mask:{kind}" for kind in sorted(KINDS))
        raise ValueError(f"not an action; allowed: raw, none, aggregate_only(k) with k >= 2, {masks}")


NONE = Outcome("none")
RAW = Outcome("raw")


def meet(outcomes: Iterable[Outcome]) -> Outcome:
    """The most restrictive; of nothing, `none`.

    >>> phone, token = Outcome.parse("mask:phone"), Outcome.parse("mask:token")
    >>> str(meet([RAW, phone])), str(meet([phone, token])), str(meet([]))
    ('mask:phone', 'none', 'none')
    """
    met = list(outcomes)
    return reduce(_meet, met) if met else NONE


def _meet(left: Outcome, right: Outcome) -> Outcome:
    if left.kind != right.kind:
        return min(left, right, key=lambda outcome: _ORDER.index(outcome.kind))
    if left.kind == "aggregate_only":
        return max(left, right, key=lambda outcome: outcome.min_group)
    if left.mask is None or right.mask is None:
        return left
    match coarser(left.mask, right.mask):
        case None:
            return NONE
        case 1:
            return right
        case _:
            return left
