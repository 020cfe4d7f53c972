"""Code sets looked up in Arrow: the rows never leave the stream, where a join would take them into another engine and back.

For plain rules only: a text or integer column as it is, at any time or at a day in another column. The others are joined (`lookups.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from governance.catalog.rules import CodeSetRule
from governance.catalog.types import CodeSet
from governance.store.plan import BITS, Plan, word

_ALWAYS = np.datetime64("0001-01-01", "D"), np.datetime64("9999-12-31", "D") + np.timedelta64(1, "D")


class Beside(Protocol):
    """A rule that is judged on the batches that come out of the statement."""

    @property
    def bit(self) -> int: ...

    def broken(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """TRUE for rows that break it."""
        ...


@dataclass(frozen=True, slots=True)
class Membership:
    """Reason `bit`: the values of `column` must be among `codes`, and valid at the day in `at` if there is one (half-open)."""

    bit: int
    column: str
    codes: pa.Array
    at: str | None
    start: npt.NDArray[np.datetime64]
    end: npt.NDArray[np.datetime64]

    def broken(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Rows whose value is there and is no code, or none at that day. A missing value breaks nothing."""
        values = batch.column(self.column)
        if not pa.types.is_string(values.type):
            values = values.cast(pa.string())
        present: npt.NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
        if self.at is None:
            among: npt.NDArray[np.bool_] = pc.is_in(values, value_set=self.codes).to_numpy(zero_copy_only=False)
            return present & ~among
        place = pc.index_in(values, value_set=self.codes)
        known: npt.NDArray[np.bool_] = place.is_valid().to_numpy(zero_copy_only=False)
        where = pc.fill_null(place, 0).to_numpy()
        at = batch.column(self.at).to_numpy(zero_copy_only=False).astype("datetime64[D]")
        untimely: npt.NDArray[np.bool_] = (at < self.start[where]) | (
            at >= self.end[where]
        )  # FALSE where there is no day
        return present & (~known | untimely)


def membership(plan: Plan, bit: int, rule: CodeSetRule, codes: CodeSet) -> Membership | None:
    """The rule as a `Membership`; None when it has to be joined."""
    kinds = {f.name: f.type.kind for f in plan.dataset.fields}
    if rule.key or not codes.codes or kinds[rule.columns[0]] not in ("string", "integer"):
        return None
    if rule.valid_at and kinds[rule.valid_at] != "date":
        return None
    if plan.skip(rule).kind != "nulls":
        return None
    distinct = list(dict.fromkeys(codes.codes))
    if len(distinct) != len(codes.codes):
        return None
    start = np.array([_day(codes.valid_from.get(code), _ALWAYS[0]) for code in distinct], "datetime64[D]")
    end = np.array([_day(codes.valid_to.get(code), _ALWAYS[1]) for code in distinct], "datetime64[D]")
    return Membership(bit, rule.columns[0], pa.array(distinct, pa.string()), rule.valid_at or None, start, end)


def marked(members: Sequence[Beside], batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the bits of these rules in its words."""
    for member in members:
        broken = member.broken(batch)
        if not broken.any():
            continue
        number, bit = divmod(member.bit, BITS)
        position = batch.schema.get_field_index(word(number))
        values = batch.column(position).to_numpy(zero_copy_only=False) | np.where(
            broken, np.int64(1 << bit), np.int64(0)
        )
        batch = batch.set_column(position, batch.schema.field(position), pa.array(values, pa.int64()))
    return batch


def _day(text: str | None, otherwise: np.datetime64) -> np.datetime64:
    return np.datetime64(text, "D") if text else otherwise
