"""Whether a number is like those before it: median and median absolute deviation, which a few odd batches do not move. Pure, no training.

A number is unlike when it lies further from the median than 3.5 deviations (Iglewicz and Hoaglin's limit, with 1.4826 MAD as the deviation of a
normal); of one among many that are judged together further, so that all of them together are as seldom wrong. Small histories know their spread
badly, so the limit is wider there; and a spread of zero counts as `floor`, so that a constant may move a little.
Trends and seasons are not modelled: a number that grows steadily moves its own median along.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 8
"""Batches before it that a judgement needs."""
MOST = 60
"""Newest batches before it that are looked at."""
LIMIT = 3.5
_NORMAL = 1.4826
_TAIL = statistics.NormalDist().cdf(-LIMIT)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a number stands among those before it: `score` is its distance from the median in deviations."""

    value: float
    median: float
    deviation: float
    score: float
    limit: float

    @property
    def unlike(self) -> bool:
        return self.score > self.limit


def place(value: float, before: Sequence[float], *, floor: float, among: int = 1) -> Place | None:
    """The place of `value` after `before` (oldest first), one of `among` numbers that are judged together; None where there are too few.

    >>> place(100.0, [10.0, 11, 9, 10, 12, 10, 9, 11], floor=1.0).unlike, place(12.0, [10.0, 11, 9, 10, 12, 10, 9, 11], floor=1.0).unlike
    (True, False)
    >>> place(1.0, [1.0] * 7, floor=1.0) is None
    True
    """
    known = list(before[-MOST:])
    if len(known) < FEWEST:
        return None
    median = statistics.median(known)
    deviation = max(_NORMAL * statistics.median(abs(x - median) for x in known), floor)
    score = abs(value - median) / deviation if deviation > 0 else 0.0 if value == median else float("inf")
    limit = -statistics.NormalDist().inv_cdf(_TAIL / max(1, among))
    return Place(value, median, deviation, score, limit * (1.0 + 8.0 / len(known)))
