"""Positions of rows whose values a steward gave: they say so."""

from __future__ import annotations

from pathlib import Path

from governance.pipeline.landed_files import positions
from governance.pipeline.quarantine import Selection, correct, release
from governance.state.values import Actor
from tests.pipeline.repairing import NAME, batch, make

MEI = {"subject": "user:mei", "because": "checked with the clinic"}


def test_a_corrected_row_is_told_as_that_and_no_other(tmp_path: Path) -> None:
    home = make(tmp_path)
    patch = tmp_path / "patch.csv"
    text = f"_batch,_row,amount,born\n{batch(1)},2,5.50,\n{batch(1)},4,7,28/02/1993\n"
    patch.write_text(text, encoding="utf-8")
    places = {(batch(1), row) for row in (1, 2, 3, 4)}
    actor = Actor("user:auditor", "audit", "r")
    assert not any(p.corrected for p in positions(home, places, actor, lines=False).values())
    done = correct(home, NAME, patch, **MEI)
    release(home, NAME, Selection(rows=((batch(1), 3),)), **MEI)
    told = {row: p.corrected for (_, row), p in positions(home, places, actor, lines=False).items()}
    assert (told[1], told[3]) == (None, None)
    assert told[2] == told[4]
    assert told[2] is not None
    assert (told[2].subject, told[2].run) == ("user:mei", done.run)
