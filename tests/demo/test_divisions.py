"""The code set of divisions against the public record of GB/T 2260."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from governance.demo.calendar import day
from governance.demo.divisions import read_divisions
from governance.errors import GovernanceError

CHINA = Path(__file__).parents[2].parent / "shared" / "data" / "china"


@pytest.mark.skipif(not CHINA.is_dir(), reason="the shared data of real divisions is not here")
def test_names_and_abolition_agree_with_the_public_record() -> None:
    ever = json.loads((CHINA / "history.json").read_text(encoding="utf-8"))
    today = json.loads((CHINA / "list.json").read_text(encoding="utf-8"))
    found = read_divisions()
    for code, name, end in zip(found.codes.tolist(), found.names, found.valid_to.tolist(), strict=True):
        assert ever[str(code)] == name
        assert (str(code) in today) == (end > day(2026, 1, 1)), code


def test_abolished_counties_end_when_they_ended() -> None:
    found = read_divisions()
    ends = dict(zip(found.codes.tolist(), found.valid_to.tolist(), strict=True))
    assert ends[110103] == ends[110104] == day(2010, 7, 1)
    assert ends[310103] == day(2011, 6, 8)
    assert day(2005, 4, 1) <= ends[440102] <= day(2005, 6, 1)


def test_a_drawn_division_is_valid_on_its_day() -> None:
    found = read_divisions()
    days = np.arange(day(1930, 1, 1), day(2026, 1, 1), 7)
    drawn = found.draw(np.random.default_rng(1), found.of_city, days, found.permanent)
    assert found.valid(drawn, days).all()


def test_a_code_set_without_the_city_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "divisions.csv"
    file.write_text("code,name,valid_from,valid_to\n110101,东城区,,\n", encoding="utf-8")
    with pytest.raises(GovernanceError, match="no county of 4401"):
        read_divisions(file)
    with pytest.raises(GovernanceError, match="no code set"):
        read_divisions(tmp_path / "nothing.csv")
