"""`gov impact`: what depends on a column and whom that concerns, whole, as others may know of it, and of the past."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from governance.cli.main import group
from governance.errors import Refused
from governance.lineage.graph import Node
from governance.lineage.ingest import keep
from governance.lineage.ingest_flows import read
from governance.pipeline.impact import impact
from governance.state import tables
from tests.lineage.openlineage import columns, dataset, field, run_event
from tests.pipeline.home import ACCOUNTS, METERS, SUPPLY_SQL, USE, Home, empty_home, month
from tests.pipeline.test_asof import ACCESS
from tests.pipeline.test_changes import MADE
from tests.pipeline.traced import publish

OFFICES = """\
administrators:
  system: [user:zhang]
  security: [user:qian]
  audit: [user:sun]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Meters and accounts joined into a published table, which a board outside reads."""
    home = empty_home(tmp_path_factory.mktemp("impact") / "home")
    home.declare("water.meters", METERS)
    home.declare("power.accounts", ACCOUNTS)
    home.declare("curated.supply", MADE, sql=SUPPLY_SQL)
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS + OFFICES, encoding="utf-8")
    home.deliver("water.meters", ["1,11010119900307001X,张三甲,10", "2,110101199003070028,李四乙,20"])
    home.deliver("power.accounts", USE)
    assert home.run(month(1)).failed == ()
    made = dataset("board", columnLineage=columns({"n": [field("curated.supply", "kwh", "gov")]}))
    with home.opened() as context:
        publish(context)
        with context.database.unit_of_work() as tx:
            keep(
                tx,
                [read(run_event("bi", [], [made]), namespace="gov")],
                subject="service:bi",
                at=context.database.clock(),
            )
    return home


def asked(home: Home, *arguments: str) -> Any:
    done = CliRunner().invoke(group, ["--home", str(home.folder), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_everything_that_depends_on_a_column_is_told(home: Home) -> None:
    with home.opened() as context:
        found = impact(context, "power.accounts", "kwh")
    assert found.cut == ()
    assert set(found.values) == {Node("curated.supply", "kwh"), Node("db:board", "n")}
    assert found.rows == ()
    assert found.models == ("curated.supply",)
    assert found.outside == ("db:board",)
    assert found.releases
    assert set(found.consumers) == {"user:auditor for audit", "user:clerk for service"}
    assert "window" in found.policies


def test_what_decides_the_rows_concerns_every_column_and_key(home: Home) -> None:
    with home.opened() as context:
        found = impact(context, "water.meters", "person_no")
    assert Node("curated.supply", "*") in found.rows
    assert Node("water.meters", "person_no__token") in found.values
    assert {"water/water.meters/L4/1", "curated/curated.supply/L3/1"} <= set(found.keys)


def test_a_subject_is_told_of_what_they_may_know_and_how_much_is_hidden(home: Home) -> None:
    with home.opened() as context:
        clerk = impact(context, "power.accounts", "kwh", subject="user:clerk")
        assert clerk.values == (Node("curated.supply", "kwh"),)
        assert clerk.consumers == ("user:clerk for service",)
        assert (clerk.keys, clerk.outside) == ((), ())
        assert clerk.cut == ("1 columns are hidden from user:clerk",)
        audit = impact(context, "power.accounts", "kwh", subject="user:sun")
        assert audit.cut == ()
        assert Node("db:board", "n") in audit.values
        for subject in ("user:wang", "user:nobody"):
            with pytest.raises(Refused):
                impact(context, "power.accounts", "kwh", subject=subject)


def test_the_commands_say_it_in_words_and_of_the_past(home: Home) -> None:
    text = asked(home, "impact", "power.accounts.kwh")
    assert "2 hold its values: curated.supply.kwh, db:board.n" in text
    assert text.endswith("complete\n")
    before = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    empty = json.loads(asked(home, "impact", "power.accounts.kwh", "--as-of", before, "--json"))
    assert not any(empty[name] for name in ("values", "rows", "models", "policies", "releases", "consumers", "keys"))
    narrow = asked(home, "lineage", "power.accounts.kwh", "--downstream", "--as", "user:clerk")
    assert "not complete: 1 columns are hidden from user:clerk" in narrow
    assert "db:board" not in narrow


def test_between_run_and_release_nobody_saw_it_published(home: Home) -> None:
    with home.opened() as context, context.database.read() as connection:
        run_at = connection.execute(
            select(func.max(tables.run.c.recorded_at)).where(tables.run.c.stage == "develop")
        ).scalar_one()
    with home.opened() as context:
        now, then = (impact(context, "power.accounts", "kwh", as_of=at) for at in (context.database.clock(), run_at))
        assert now == impact(context, "power.accounts", "kwh")
    assert (then.models, then.keys, then.policies) == (now.models, now.keys, now.policies)
    assert (then.releases, then.consumers, then.outside) == ((), (), ())


def test_a_column_that_is_not_declared_is_a_wrong_name(home: Home, tmp_path: Path) -> None:
    done = CliRunner().invoke(group, ["--home", str(home.folder), "impact", "power.accounts.nothing"])
    assert "no such column" in str(done.exception)
