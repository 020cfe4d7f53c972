"""Reconciliation, judged: what a comparison of the live source, what landed and the lake comes to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from governance.catalog.types import DatabaseSource, Dataset
from governance.state.values import Window


@dataclass(frozen=True, slots=True)
class Difference:
    """Rows that differ between two sides, the first of which is what landed.

    `only_first`, `only_second`: rows without a counterpart; `altered`: rows that have one with another content. Positions (at most 20 of each)
    are numbers of records in their batch; of `only_second` against the source, numbers of records in what it sends now. `complete` is False
    when so many rows differ that only a part was looked at one by one: then the numbers are the least that differ.
    """

    only_first: int = 0
    only_second: int = 0
    altered: int = 0
    first_at: tuple[int, ...] = ()
    second_at: tuple[int, ...] = ()
    altered_at: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    """Fields whose checksums differ where both sides have as many rows."""
    complete: bool = True

    @property
    def rows(self) -> int:
        return self.only_first + self.only_second + self.altered


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found of one batch; rows are parsed records.

    `verdict`: agrees; changed (the source, since); late (it has other rows of a window that is over); differs (the lake does not hold what landed).
    """

    dataset: str
    batch: str
    window: Window
    verdict: str
    how: str
    """How the source was compared: `digest` of its files, `checksum` or `sums` by its database, `rows` read again."""
    source_rows: int | None
    landed_rows: int
    lake_rows: int
    unparsed: int
    duplicates: int
    corrected: int
    """Rows that differ from what landed because a steward corrected them: no difference."""
    since: Difference
    lake: Difference
    sums: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Of clear columns with exact numbers: sum of what landed, sum of what the lake holds."""
    not_compared: tuple[str, ...] = ()
    """Fields that the dataset's table did not have when the batch came."""


def weigh(
    dataset: Dataset,
    batch: str,
    window: Window,
    answer: Mapping[str, Any],
    *,
    how: str,
    source_rows: int | None,
    duplicates: int,
    corrected: Collection[int],
    corrected_besides: int,
    not_compared: tuple[str, ...] = (),
) -> Reconciled:
    """The verdict on what the worker counted (`answer`: `lake` and, where the source was read again, `source`).

    Declared duplicates are left out of the table, and rows that a steward corrected (at the positions `corrected`, and so many besides) differ
    on purpose. Of `append` from a database the window is over: what it has gained since never comes by itself, so it is late, not changed.
    """
    inside, now = answer["lake"], answer.get("source")
    lake, since = difference(inside), difference(now)
    known = min(lake.altered, len(corrected) + corrected_besides)
    left_out = min(lake.only_first, duplicates)
    lost_lines = abs(inside["unparsed"] - inside["lines"])
    lake = replace(
        lake,
        only_first=lake.only_first - left_out + lost_lines,
        altered=lake.altered - known,
        first_at=lake.first_at if lake.only_first > left_out else (),
        altered_at=tuple(p for p in lake.altered_at if p not in corrected) if lake.altered > known else (),
        columns=lake.columns if lake.altered > known else (),
    )
    late = since.rows > 0 and dataset.load_mode == "append" and isinstance(dataset.source, DatabaseSource)
    return Reconciled(
        dataset=dataset.name,
        batch=batch,
        window=window,
        verdict="differs" if lake.rows else "late" if late else "changed" if since.rows else "agrees",
        how=how,
        source_rows=now["parsed"] if now else inside["parsed"] if source_rows is None else source_rows,
        landed_rows=inside["parsed"],
        lake_rows=inside["rows"][1],
        unparsed=inside["unparsed"],
        duplicates=duplicates,
        corrected=known,
        since=since,
        lake=lake,
        sums={name: (a, b) for name, (a, b) in inside["sums"].items()},
        not_compared=not_compared,
    )


def difference(answer: Mapping[str, Any] | None) -> Difference:
    """What two sides differ in; nothing, where they were not compared because they are the same."""
    if answer is None:
        return Difference()
    found = answer["found"]
    return Difference(
        found["left"],
        found["right"],
        found["altered"],
        tuple(found["left_at"]),
        tuple(found["right_at"]),
        tuple(found["altered_at"]),
        tuple(answer["columns"]),
        answer["looked_into"] == answer["buckets"],
    )
