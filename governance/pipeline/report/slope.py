"""Whether a series gets better or worse: a robust slope and a rank test, on its newest steps. Pure.

Theil-Sen's slope is the median of the slopes between all pairs of points: a single bad week does not move it. Mann-Kendall's test asks whether
later points tend to be lower (or higher) than earlier ones, whatever their size. A change is called one when both say so: the slope, over
the steps looked at, comes to at least the smallest change that matters, and the one-sided test is significant at 5 %.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

STEPS = 24
"""Newest steps that are looked at."""
FEWEST = 6
"""Fewer say nothing: no order of five points is significant together with a slope that matters."""
Z = 1.645
"""One-sided 5 %."""

Direction = Literal["falling", "rising", "steady", "too few"]


@dataclass(frozen=True, slots=True)
class Slope:
    """`change` is the slope times the steps that were looked at; 0 where there are too few."""

    direction: Direction
    change: float
    steps: int


def slope(values: Sequence[float], smallest: float) -> Slope:
    """Of the newest `STEPS` values, oldest first; `smallest` is the change over them that matters.

    >>> slope([99.0, 98.5, 98.6, 98.0, 97.2, 97.0, 96.1], 1.0)
    Slope(direction='falling', change=-2.9, steps=7)
    >>> slope([99.0, 99.1, 60.0, 99.0, 99.1, 99.0, 99.1], 1.0).direction  # one bad step is no trend
    'steady'
    >>> slope([99.0, 90.0], 1.0).direction
    'too few'
    """
    newest = values[-STEPS:]
    if len(newest) < FEWEST:
        return Slope("too few", 0.0, len(newest))
    change = round(theil_sen(newest) * (len(newest) - 1), 6)
    z = mann_kendall(newest)
    if change <= -smallest and z <= -Z:
        return Slope("falling", change, len(newest))
    if change >= smallest and z >= Z:
        return Slope("rising", change, len(newest))
    return Slope("steady", change, len(newest))


def theil_sen(values: Sequence[float]) -> float:
    """The median slope between all pairs of equally spaced points (P. K. Sen, 1968). Needs two.

    >>> theil_sen([1.0, 2.0, 9.0, 4.0])
    1.0
    """
    pairs = ((i, j) for j in range(len(values)) for i in range(j))
    return statistics.median((values[j] - values[i]) / (j - i) for i, j in pairs)


def mann_kendall(values: Sequence[float]) -> float:
    """The test's z, corrected for ties and continuity (M. G. Kendall, 1975); 0 when all values are equal.

    >>> round(mann_kendall([1, 2, 3, 4, 5, 6]), 3), mann_kendall([5, 5, 5])
    (2.63, 0.0)
    """
    n = len(values)
    s = sum(_sign(values[j] - values[i]) for j in range(n) for i in range(j))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    return (s - _sign(s)) / math.sqrt(variance) if variance > 0 else 0.0


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
