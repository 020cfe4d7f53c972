"""Two months of the demo city in a home to which a dataset and a curated table were added as files, published and asked."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from governance.config import load_settings
from governance.demo.city import generate
from governance.demo.steward import SUBJECT, sign
from governance.pipeline.check import check
from governance.pipeline.events import mirror_lineage
from governance.pipeline.publish import propose_release, publish_release
from governance.pipeline.report import write_report
from governance.pipeline.run import RunResult, new_run
from tests.demo.delivered import delivered
from tests.pipeline.canaries import Canaries, canaries, clear_columns, places
from tests.pipeline.dying import die
from tests.pipeline.home import ROOT, Home, month
from tests.use.asking import ask

pytestmark = pytest.mark.pipeline
PEOPLE = 500

CARDS = {
    "card": {"logicalType": "integer", "classification": "L1", "primaryKey": True, "required": True},
    "resident_no": {
        "logicalType": "string",
        "classification": "L4",
        "required": True,
        "customProperties": [{"property": "gov.domain", "value": "person"}],
    },
    "zone": {"logicalType": "string", "classification": "L1", "required": True},
    "trips": {"logicalType": "integer", "classification": "L1"},
}
CARDS_SUITE = {
    "name": "transport.cards",
    "expectations": [
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "zone", "value_set": ["A", "B"]},
            "severity": "critical",
        },
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "trips", "max_value": 300},
            "severity": "warning",
        },
    ],
    "meta": {"great_expectations_version": "1.24.1"},
}
RIDERS = {
    "division_code": {"logicalType": "string", "classification": "L2"},
    "zone": {"logicalType": "string", "classification": "L1"},
    "trips": {"logicalType": "integer", "classification": "L1"},
}
RIDERS_SQL = """\
SELECT r.division_code, c.zone, CAST(SUM(c.trips) AS BIGINT) AS trips
FROM transport.cards AS c JOIN public_security.residents AS r ON r.resident_no__token = c.resident_no__token
GROUP BY r.division_code, c.zone
"""


@dataclass(frozen=True)
class City:
    """The finished home, what its runs said, and the values that must be nowhere in the clear."""

    home: Home
    results: tuple[RunResult, ...]
    canaries: Canaries
    riders: int


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    folder = tmp_path_factory.mktemp("city")
    home = Home(folder / "home")
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, home.folder / name)
    shutil.copy(ROOT / "gov.toml", home.folder)
    riders = _add_files(home, folder)
    results, seen = [], []
    for number in (1, 2):
        generate(home.folder / "sources", seed=7, people=PEOPLE, month=f"2026-0{number}")
        shutil.copytree(home.folder / "sources", folder / f"delivered-{number}")
        seen.append(folder / f"delivered-{number}")
        results.append(home.run(month(number)))
    _publish(home)
    with home.opened() as context:
        write_report(context)
    return City(home, tuple(results), canaries(seen), riders)


def _add_files(home: Home, folder: Path) -> int:
    """What an engineer and a steward add: contract, suite and CSV of a dataset, SQL and contract of a curated table. Riders of the cards."""
    home.declare("transport.cards", CARDS)
    home.declare("curated.rider", RIDERS, sql=RIDERS_SQL)
    suite = home.folder / "expectations" / "transport" / "cards.json"
    suite.parent.mkdir()
    suite.write_text(json.dumps(CARDS_SUITE), encoding="utf-8")
    generate(folder / "peek", seed=7, people=PEOPLE, month="2026-01")
    people = delivered(folder / "peek")["public_security.residents"]["resident_no"].to_pylist()[:50]
    cards = [f"{n},{person},{'AB'[n % 2]},{n}" for n, person in enumerate(people, 1) if person]
    home.deliver("transport.cards", [*cards, f"99,{people[0]},C,1"], CARDS)
    return len(cards)


def _publish(home: Home) -> str:
    with home.opened() as context:
        run = new_run()
        release = propose_release(context, run)
        return publish_release(context, release, SUBJECT, sign(release), run)


def test_a_dataset_and_a_curated_table_added_as_files_alone_are_published_and_answered(city: City) -> None:
    assert [str(step) for result in city.results for step in result.failed] == []
    assert "curated.rider" in check(load_settings(city.home.folder)).order
    (row,) = [b for b in city.home.batches("transport.cards") if b.status == "judged"]
    assert row.judged is not None
    assert (row.judged.counts.passed, row.judged.counts.quarantined) == (city.riders, 1)
    with city.home.opened() as context:
        answer = ask(context, "SELECT zone, sum(trips) AS trips FROM curated.rider GROUP BY zone ORDER BY zone")
    assert answer["zone"].to_pylist() == ["A", "B"]
    assert sum(answer["trips"].to_pylist()) > 0


def test_no_sensitive_value_of_a_finished_home_is_on_disk_in_the_clear(city: City) -> None:
    folder = city.home.folder
    assert len(city.canaries.values) > 2 * PEOPLE
    apart = [folder / "sources", folder / "answers", folder / "var" / "keys"]
    assert places(city.canaries, folder, without=apart) == {}


def test_the_search_finds_values_wherever_they_could_be(city: City, tmp_path: Path) -> None:
    """The search is worth something: it finds the values in the sources, in packed bytes and in a plain Parquet file."""
    assert len(places(city.canaries, city.home.folder / "sources")) >= 5
    value = next(v for v in city.canaries.values if v.isdigit()).decode()
    target = (tmp_path / "plain.parquet").as_posix()
    duckdb.sql(f"COPY (SELECT '{value}' AS v) TO '{target}' (COMPRESSION zstd)")
    assert places(city.canaries, tmp_path) != {}


def test_clear_columns_of_the_lake_are_read_without_a_key(city: City) -> None:
    """So the search above did look into them."""
    files = list((city.home.folder / "var" / "lake").rglob("*.parquet"))
    assert files
    assert all(list(clear_columns(file)) for file in files)


def test_every_run_is_told_once_as_an_openlineage_event(city: City) -> None:
    lines = city.home.events()
    assert set(Counter(lines).values()) == {1}
    assert len(lines) == sum(city.home.runs().values())
    assert {json.loads(line)["eventType"] for line in lines} == {"COMPLETE"}
    with city.home.opened() as context:
        assert mirror_lineage(context) == 0


def test_running_both_months_again_changes_no_table(city: City) -> None:
    before = city.home.hashes()
    for number in (1, 2):
        assert city.home.run(month(number)).failed == ()
    assert city.home.hashes() == before


def test_a_run_killed_in_the_middle_leaves_nothing_sensitive_anywhere(city: City) -> None:
    folder = city.home.folder
    apart = [folder / "sources", folder / "answers", folder / "var" / "keys"]
    for number, point in enumerate(("store.before_commit", "develop.after_run"), 3):
        generate(folder / "sources", seed=7, people=PEOPLE, month=f"2026-0{number}")
        assert die(city.home, month(number), f"killed-{number}", point, 0) == -9
        looked_for = canaries([folder / "sources"])
        assert places(looked_for, folder / "var", without=apart) == {}
