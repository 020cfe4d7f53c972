from __future__ import annotations

import struct

from governance.lake.footers import FileStatistics, bounds
from governance.lake.schema import LakeColumn, LakeSchema


def bound(kind: str, low: str, high: str) -> tuple[bytes, bytes] | None:
    schema = LakeSchema(0, (LakeColumn(1, "v", kind),))
    return bounds(FileStatistics(lows={1: (low,)}, highs={1: (high,)}), schema).get(1)


def test_bounds_of_wide_decimals_are_exact() -> None:
    low, high = bound("decimal(38, 2)", "5.00", "123456789012345678901234567811111111.11")
    assert int.from_bytes(low, "big", signed=True) == 500
    assert int.from_bytes(high, "big", signed=True) == 12345678901234567890123456781111111111


def test_bounds_of_moments_are_exact_to_the_first_and_last() -> None:
    assert bound("date", "0001-01-01", "9999-12-31") == (struct.pack("<i", -719162), struct.pack("<i", 2932896))
    low, high = bound("timestamp", "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999")
    assert struct.unpack("<q", low) == (-1,)
    assert struct.unpack("<q", high) == (253402300799999999,)


def test_a_moment_that_pythons_calendar_has_not_gives_no_bounds_and_no_error() -> None:
    assert bound("date", "2026-01-31", "20260-01-31") is None
    assert bound("timestamp", "0044-03-15 (BC) 00:00:00", "2026-01-31 00:00:00") is None
