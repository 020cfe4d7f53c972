"""What cannot be used fails with one clear message; the neighbours go on, nothing is half let in, and after the repair a run completes."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import random
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from governance.cli.main import group, main
from governance.config import load_settings
from governance.errors import GovernanceError
from governance.pipeline.context import open_context
from governance.pipeline.run import RunResult, run_all
from tests.pipeline.home import FIRST, METERS, USE, Home, month, outcomes, utility_home

NEXT = ["1,11010119900307001X,张三甲,11", "2,110101199003070028,李四乙,22"]
WHOLE = "\n".join([",".join(METERS), *NEXT, ""]).encode("utf-8")
SOURCE = "water.meters.csv"


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Path]:
    """A home with the first month let in and the second delivered, and its copy."""
    home = utility_home(tmp_path_factory.mktemp("bad") / "home")
    assert home.run(month(1)).failed == ()
    home.deliver("water.meters", NEXT)
    home.deliver("power.accounts", [*USE, "110101199003070036,300"])
    return home, home.keep()


@pytest.fixture
def home(january: tuple[Home, Path]) -> Home:
    home, kept = january
    home.restore(kept)
    return home


def _missing(path: Path) -> None:
    path.unlink()


def _unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    path.write_bytes(gzip.compress(WHOLE)[:-9])


def _other_encoding(path: Path) -> None:
    path.write_bytes(WHOLE.decode("utf-8").encode("gb18030"))


def _without_a_column(path: Path) -> None:
    path.write_bytes(b"meter,holder,reading\n1,x,2\n")


def _no_csv(path: Path) -> None:
    path.write_bytes(b"\x00\x01\x02PK" * 100)


BROKEN = (
    (_missing, "collect", "No such file"),
    (_unreadable, "collect", "cannot be read: Too many levels of symbolic links"),
    (_empty, "collect", "it is empty"),
    (_truncated, "collect", "the gzip is truncated"),
    (_without_a_column, "store", "person_no"),
    (_no_csv, "store", ""),
)


@pytest.mark.parametrize(("spoil", "stage", "said"), BROKEN, ids=[b[0].__name__.strip("_") for b in BROKEN])
def test_a_source_that_cannot_be_used_fails_alone_and_completes_after_the_repair(
    home: Home, spoil: Callable[[Path], None], stage: str, said: str
) -> None:
    before = home.hashes()
    spoil(home.folder / "sources" / SOURCE)
    result = home.run(month(2))
    _assert_failed_alone(home, result, stage, said, before)
    (home.folder / "sources" / SOURCE).unlink(missing_ok=True)
    home.deliver("water.meters", WHOLE)
    assert home.run(month(2)).failed == ()
    assert home.rows("curated.supply", ["meter", "reading", "kwh"]) == [(1, 11, 100), (2, 22, 200)]


def test_a_later_delivery_takes_the_place_of_one_that_failed(home: Home) -> None:
    home.deliver("water.meters", WHOLE)
    _without_a_column(home.folder / "sources" / SOURCE)
    assert {s.subject for s in home.run(month(2)).failed} >= {"water.meters"}
    home.deliver("water.meters", WHOLE)
    assert home.run(month(3)).failed == ()
    assert [b.status for b in home.batches("water.meters")][-2:] == ["replaced", "judged"]
    assert home.rows("curated.supply", ["meter", "reading", "kwh"]) == [(1, 11, 100), (2, 22, 200)]


def test_lines_in_another_encoding_are_put_aside_and_stop_the_batch(home: Home) -> None:
    before = home.hashes()
    _other_encoding(home.folder / "sources" / SOURCE)
    result = home.run(month(2))
    assert [(s.stage, s.subject, s.outcome) for s in result.failed] == [("manage", "water.meters", "stopped")]
    assert "2 quarantined" in result.failed[0].message
    assert home.hashes()["water.meters"] == before["water.meters"]
    home.deliver("water.meters", WHOLE)
    assert home.run(month(2)).failed == ()


def test_an_unknown_encoding_is_a_fault_of_the_contract(home: Home) -> None:
    home.declare("water.meters", METERS, server={"encoding": "klingon"})
    checked = CliRunner().invoke(group, ["--home", str(home.folder), "check"])
    assert checked.exit_code == 1
    assert "catalog/water/meters.odcs.yaml:" in checked.output
    assert "klingon" in checked.output


def test_an_encoding_that_is_not_the_files_completes_once_the_contract_says_the_right_one(home: Home) -> None:
    before = home.hashes()
    home.declare("water.meters", METERS, server={"encoding": "utf-16"})
    _assert_failed_alone(home, home.run(month(2)), "store", "utf-16", before)
    home.declare("water.meters", METERS)
    assert home.run(month(2)).failed == ()
    assert home.rows("water.meters", ["meter", "holder"]) == [(1, "张三甲"), (2, "李四乙")]


@pytest.mark.parametrize(
    "text", ['{"name": "m"', '{"name": "m", "expectations": [{"type": "expect_magic", "kwargs": {}}]}']
)
def test_an_invalid_suite_is_told_by_check_with_its_place_and_lets_nothing_in(home: Home, text: str) -> None:
    before = home.hashes()
    suite = home.folder / "expectations" / "water" / "meters.json"
    suite.parent.mkdir()
    suite.write_text(text, encoding="utf-8")
    checked = CliRunner().invoke(group, ["--home", str(home.folder), "check"])
    assert checked.exit_code == 1
    assert "expectations/water/meters.json:1" in checked.output
    ran = CliRunner().invoke(group, ["--home", str(home.folder), "run", "--from", "2026-02-01", "--to", "2026-03-01"])
    assert ran.exit_code == 1
    assert "meters" in ran.output
    assert re.search(r"manage +power\.accounts: done", ran.output)  # its neighbour goes on
    assert not re.search(r"manage +water\.meters", ran.output)
    suite.unlink()
    assert {t: h for t, h in home.hashes().items() if t.startswith("water")} == {
        t: h for t, h in before.items() if t.startswith("water")
    }
    assert home.run(month(2)).failed == ()


@pytest.mark.parametrize("text", ["kind: [", "meter,person_no\n"])
def test_a_broken_contract_leaves_out_its_own_table_and_its_neighbours_go_on(home: Home, text: str) -> None:
    contract = home.folder / "catalog" / "water" / "meters.odcs.yaml"
    kept = contract.read_text(encoding="utf-8")
    contract.write_text(text, encoding="utf-8")
    ran = CliRunner().invoke(group, ["--home", str(home.folder), "run", "--from", "2026-02-01", "--to", "2026-03-01"])
    assert ran.exit_code == 1
    assert re.search(r"catalog/water/meters\.odcs\.yaml:\d", ran.output)
    assert re.search(r"manage +power\.accounts: done", ran.output)
    assert "curated.supply" not in ran.output  # it reads what is left out
    contract.write_text(kept, encoding="utf-8")
    assert home.run(month(2)).failed == ()


def test_nothing_usable_never_takes_the_place_of_a_whole_table(home: Home) -> None:
    home.declare("water.meters", METERS, maxQuarantine=1)
    before = home.hashes()
    home.deliver("water.meters", ["x,,,", "y,,,"])
    result = home.run(month(2))
    assert [(s.outcome, s.message) for s in result.steps if (s.stage, s.subject) == ("manage", "water.meters")] == [
        ("stopped", "2 quarantined; stop: nothing_passed")
    ]
    assert home.hashes()["water.meters"] == before["water.meters"]


def test_a_delivery_of_titles_alone_is_let_in_with_a_warning(home: Home) -> None:
    home.deliver("water.meters", [])
    result = home.run(month(2))
    assert [(s.outcome, s.message) for s in result.steps if (s.stage, s.subject) == ("manage", "water.meters")] == [
        ("warned", "go_with_warnings: no_record")
    ]


def test_a_copied_home_says_so_and_touches_nothing_of_the_other(home: Home, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(home.folder, copy)
    before = sorted(home.folder.rglob("*"))
    ran = CliRunner().invoke(group, ["--home", str(copy), "run", "--from", "2026-02-01", "--to", "2026-03-01"])
    assert isinstance(ran.exception, GovernanceError)
    assert "this home was copied or moved" in str(ran.exception)
    assert sorted(home.folder.rglob("*")) == before


@pytest.mark.parametrize("limit_bytes", [700_000, 1_000_000])
def test_a_full_disk_fails_what_is_written_and_the_next_run_completes(home: Home, limit_bytes: int) -> None:
    """The smaller limit is met by landing, the larger by the table's files."""
    before = home.hashes()
    rows = random.Random(8)
    people = [f"{n},{rows.randrange(10**18):018},{rows.randbytes(6).hex()},{n}" for n in range(40_000)]
    data = gzip.compress("\n".join([",".join(METERS), *people, ""]).encode())
    assert 700_000 < len(data) < 950_000
    (home.folder / "sources" / SOURCE).write_bytes(data)
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=_run_on_a_full_disk, args=(home.folder, limit_bytes))
    child.start()
    child.join()
    steps = json.loads((home.folder / "steps.json").read_text(encoding="utf-8"))
    assert [(o, retry) for _, subject, o, _, retry in steps if subject == "water.meters" and o != "done"] == [
        ("failed", True)
    ]
    (message,) = [text for _, subject, o, text, _ in steps if o == "failed"]
    assert "written" in message or "write" in message
    assert "\n" not in message
    assert {s for s in home.hashes() if s.startswith("water")} == {s for s in before if s.startswith("water")}
    assert home.hashes()["water.meters"] == before["water.meters"]
    assert len(home.rows("power.accounts", ["kwh"])) == 3
    assert not [p for p in (home.folder / "var" / "scratch").rglob("*") if p.is_file()]
    assert home.run(month(2)).failed == ()
    assert len(home.rows("water.meters", ["meter"])) == 40_000


def test_gov_run_tells_failures_by_its_exit_code_also_as_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    _missing(home.folder / "sources" / SOURCE)
    words = ["--home", str(home.folder), "run", "--from", "2026-02-01", "--to", "2026-03-01"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code == 1
    answer = json.loads(capsys.readouterr().out)
    failed = [step for step in answer["steps"] if step["outcome"] == "failed"]
    assert [(step["stage"], step["subject"], step["retry"]) for step in failed] == [("collect", "water.meters", True)]
    home.deliver("water.meters", NEXT)
    main(words)
    assert "manage   water.meters: done 2 rows" in capsys.readouterr().out
    with pytest.raises(SystemExit) as misused:
        main([*words, "--dataset", "water.none"])
    assert misused.value.code == 2


def test_a_stop_keeps_the_last_table_and_fails_the_run(home: Home) -> None:
    before = home.hashes()
    home.declare("water.meters", METERS, maxQuarantine=0.1)
    home.deliver("water.meters", ["1,11010119900307001X,张三甲,-1", NEXT[1]])
    result = home.run(month(2))
    assert [(s.stage, s.subject, s.outcome) for s in result.failed] == [("manage", "water.meters", "stopped")]
    assert home.hashes()["water.meters"] == before["water.meters"]
    assert home.leases() == []
    home.deliver("water.meters", NEXT)
    assert home.run(month(2)).failed == ()
    assert [row.status for row in home.batches("water.meters")] == ["replaced", "stopped", "judged"]


def test_a_reference_waits_for_its_target_and_the_next_run_takes_it_further(tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    reading = {
        "reading_no": {"logicalType": "integer", "classification": "L1", "required": True},
        "meter": {
            "logicalType": "integer",
            "classification": "L1",
            "relationships": [{"type": "foreignKey", "to": "water.meters.meter"}],
        },
    }
    home.declare("water.readings", reading)
    home.deliver("water.readings", ["1,1", "2,9"], reading)
    (home.folder / "sources" / SOURCE).unlink()
    result = home.run(month(1))
    assert outcomes(result)["store", "water.readings"] == "waiting"
    assert {(s.subject, s.outcome) for s in result.failed} == {
        ("water.meters", "failed"),
        ("water.readings", "waiting"),
        ("curated.supply", "waiting"),
    }
    home.deliver("water.meters", FIRST)
    result = home.run(month(1))
    assert result.failed == ()
    assert home.rows("water.readings", ["reading_no"]) == [(1,)]
    assert home.rows("water.readings__quarantine", ["reading_no", "_reasons"]) == [(2, ["reference:meter"])]


def _assert_failed_alone(home: Home, result: RunResult, stage: str, said: str, before: dict[str, str]) -> None:
    (failed,) = result.failed
    assert (failed.stage, failed.subject, failed.outcome) == (stage, "water.meters", "failed")
    assert said in failed.message
    assert "\n" not in failed.message
    assert "张三" not in failed.message
    assert outcomes(result)["manage", "power.accounts"] == "done"
    assert outcomes(result)["develop", "curated.supply"] == "done"
    after = home.hashes()
    assert after["water.meters"] == before["water.meters"]
    assert after["power.accounts"] != before["power.accounts"]
    assert home.leases() == []


def _run_on_a_full_disk(folder: Path, limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    result = run_all(open_context(load_settings(folder)), month(2))
    told = [(s.stage, s.subject, s.outcome, s.message, s.retry) for s in result.steps]
    (folder / "steps.json").write_text(json.dumps(told), encoding="utf-8")
