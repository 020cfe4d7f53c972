"""Which code made a table: a run of other code is told by its own text, and an instant before has the code of then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

import governance
from governance.lineage.record import record_run
from governance.pipeline.asof import facts_at, text_of
from governance.program import program, sources
from governance.state.database import Database
from governance.state.values import Actor

TABLE = "curated.person"
THEN, NOW = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC)
RUN = """
import sys
from governance.state.database import Database
from tests.pipeline.test_asof_program import THEN, recorded
database = Database(sys.argv[1])
database.create()
with database.unit_of_work() as tx:
    recorded(tx, THEN)
"""


def recorded(tx: Connection, at: datetime) -> dict[str, str]:
    """A run that made the table."""
    return record_run(
        tx,
        actor=Actor("service:build@curated", "pipeline.develop", "0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10"),
        stage="develop",
        batch=None,
        output=TABLE,
        output_snapshot=1,
        outcome="go",
        counts={"rows": 1},
        versions={"model": "abc"},
        inputs={},
        edges=None,
        at=at,
        namespace="gov",
    )


def test_a_run_of_other_code_is_told_by_its_own_text_and_the_past_has_the_code_of_then(tmp_path: Path) -> None:
    former = tmp_path / "code" / "governance"
    shutil.copytree(Path(governance.__file__).parent, former, ignore=shutil.ignore_patterns("__pycache__"))
    with (former / "errors.py").open("a", encoding="utf-8") as file:
        file.write("# as it was then\n")
    url = f"sqlite:///{tmp_path / 'state.sqlite'}"
    path = os.pathsep.join([str(former.parent), str(Path(__file__).parents[2])])
    subprocess.run(
        [sys.executable, "-c", RUN, url], env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, check=True, timeout=60
    )
    database = Database(url)
    with database.unit_of_work() as tx:
        told = recorded(tx, NOW)
    assert told == {"model": "abc", "program": program().sha256}
    with database.read() as connection:
        found = [
            next(fact for fact in facts_at(connection, TABLE, at) if fact.what == "run's program") for at in (THEN, NOW)
        ]
        texts = [json.loads(text_of(connection, fact.text)) for fact in found]
    database.close()
    assert [text["sources"] for text in texts] == [sources(former), sources(Path(governance.__file__).parent)]
    assert found[0].value != found[1].value == told["program"]
    assert texts[0]["packages"] == texts[1]["packages"]
