"""Texts go into a patch file's cells and come back the same, and no cell begins as a formula does."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from governance.manage.patch_cells import NO_VALUE, read, written

TEXTS = st.lists(st.text(alphabet="\\N'=+-@\t\r1.e a王", max_size=6), min_size=1, max_size=30)


@settings(deadline=None)
@example(["\\N", "\\\\N", "\\", "'", "''=", "-", "+1", "-1.5e3", "=1", "'-1", "@a", "- 1", "-1,5", "\t1"])
@given(TEXTS)
def test_texts_come_back_and_no_cell_is_a_formula(texts: list[str]) -> None:
    with duckdb.connect() as con:
        con.register("given", pa.table({"v": pa.array(texts, pa.string())}))
        rows = con.sql(f"SELECT c, {read('c')} FROM (SELECT {written('v')} AS c FROM given)").fetchall()  # noqa: S608
    for text, (cell, back) in zip(texts, rows, strict=True):
        assert back == text
        assert cell != NO_VALUE
        assert cell[:1] not in ("=", "@", "\t", "\r")
        assert cell[:1] not in ("+", "-") or re.fullmatch(r"[+-]\d[\d.,]*(?:[eE][+-]?\d+)?", cell)
