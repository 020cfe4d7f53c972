"""records parsed + lines unparsed = passed + quarantined + rejected + declared duplicates, for every revision, whatever was delivered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.home import METERS, Home, empty_home, month

FIELDS = {**METERS, "meter": {**METERS["meter"], "unique": True}}
NAME = "water.meters"
WORDS = st.sampled_from(["", "1", "7", "-3", "2.5", "word", "９", "居民", " 4 ", "NULL", "1e3", "9" * 30, "a b", "\t"])
LINES = st.one_of(
    st.builds(lambda m, r: f"{m},11010119900307{m:04},h,{r}", st.integers(0, 6), st.integers(-2, 5)),
    st.lists(WORDS, min_size=2, max_size=6).map(",".join).filter(str.strip),
)
QUOTES = st.sampled_from(['3,"open,h,1', '4,"a"b,h,1', '5,"two\nlines",h,1', '6,"x""y",h,1'])


@pytest.fixture(scope="module", params=["full", "append", "snapshot_diff"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = empty_home(tmp_path_factory.mktemp(request.param) / "home")
    home.declare(NAME, FIELDS, mode=request.param, deduplicate="identical", maxQuarantine=1.0)
    return home


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(LINES, min_size=1, max_size=12), odd=st.lists(QUOTES, max_size=1))
def test_every_revision_keeps_the_law_of_conservation(home: Home, lines: list[str], odd: list[str]) -> None:
    home.deliver(NAME, [*lines, *odd], FIELDS)
    result = home.run(month(1), again=True, models=False)
    row = home.batches(NAME)[-1]
    if row.status == "stopped":  # nothing of it would be left in the table whose place it takes
        assert [step.message.partition("; ")[2] for step in result.failed] == ["stop: nothing_passed"]
        assert row.judged is not None
        assert (row.judged.counts.balanced, row.judged.counts.passed) == (True, 0)
        return
    assert [str(step) for step in result.failed] == []
    assert row.status == "judged"
    assert row.judged is not None
    counts = row.judged.counts
    assert counts.balanced
    if not odd:
        assert counts.parsed + counts.unparsed == len(lines)
    visible = home.rows(NAME, ["_batch"])
    held = [(batch,) for (batch,) in visible if batch != row.id]
    assert (len(visible) - len(held), held) == (counts.passed, [])
    aside = home.rows(f"{NAME}__quarantine", ["_batch", "_reasons"]) if home.snapshot(f"{NAME}__quarantine") else []
    assert len(aside) == counts.quarantined
    assert all(batch == row.id and reasons for batch, reasons in aside)
