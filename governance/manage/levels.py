"""Service levels of a contract, judged: is the data there in time, and as much of it as was agreed? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from governance.catalog.types import Dataset
from governance.state.values import Window

FREQUENCY, LATENCY, BOUNDS = "freshness:frequency", "freshness:latency", "volume:bounds"


@dataclass(frozen=True, slots=True)
class Arrival:
    """The newest batch that was let in: its window, and when its verdict was committed first."""

    batch: str
    window: Window
    at: datetime


@dataclass(frozen=True, slots=True)
class Freshness:
    """`window` is what was judged: the newest batch's, or the one that is missing. `due` is when the next batch has to be in, None where the
    contract does not say how often; `failing` names the levels that are not met."""

    window: Window
    batch: str | None
    due: datetime | None
    failing: tuple[str, ...]


def freshness(dataset: Dataset, newest: Arrival | None, since: datetime, now: datetime) -> Freshness | None:
    """What the contract's frequency and latency say now; None where it names neither, or names a latency and nothing has come yet.

    A batch is due one period after the end of the newest one's window (before the first: after `since`, when the contract came into force),
    and may be in by the latency after that. A batch that came later than the latency after its own window fails until the next one.
    """
    failing: list[str] = []
    due = None
    if newest is not None and dataset.latency is not None and newest.at > dataset.latency.after(newest.window.end):
        failing.append(LATENCY)
    last = newest.window.end if newest is not None else since
    if dataset.frequency is not None:
        due = following = dataset.frequency.after(last)
        if dataset.latency is not None:
            due = dataset.latency.after(due)
        if now > due:
            return Freshness(Window(last, following), None, due, (*failing, FREQUENCY))
    if newest is None or (dataset.frequency is None and dataset.latency is None):
        return None
    return Freshness(newest.window, newest.batch, due, tuple(failing))


def too_few_or_many(dataset: Dataset, records: int) -> bool:
    """Whether a batch's records are outside the contract's bounds."""
    few = dataset.min_rows is not None and records < dataset.min_rows
    return few or (dataset.max_rows is not None and records > dataset.max_rows)
