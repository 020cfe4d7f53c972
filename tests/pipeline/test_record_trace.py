"""Record traces through a whole home: from a published row to records of landed files, under the asker's policy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from governance.errors import Refused
from governance.pipeline.record_trace import record_trace
from governance.pipeline.trace_answer import RecordTrace
from governance.state import tables
from governance.use import lookup_budget
from governance.use.query import query
from tests.pipeline.home import Home
from tests.pipeline.traced import LI, METER_LINES, WANG, ZHANG, traced_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return traced_home(tmp_path_factory.mktemp("traced") / "home")


@pytest.fixture(scope="module")
def tokens(home: Home) -> dict[int, str]:
    """What the auditor has of persons, by their meters: found by their place among the meters, which the test knows."""
    with home.opened() as context:
        asked = {"settings": context.settings, "catalogue": context.catalogue, "database": context.database}
        asked |= {"lake": context.lake, "keystore": context.keystore, "subject": "user:auditor", "purpose": "audit"}
        with query("SELECT person_no FROM curated.use", **asked) as answer:
            shown = answer.table().column("person_no").to_pylist()
        found = record_trace(context, "curated.use", [[one] for one in shown], subject="user:auditor", purpose="audit")
    return {row.row or 0: shown[row.key - 1] for row in found.rows if row.table == "water.meters"}


@pytest.fixture
def token(tokens: dict[int, str]) -> str:
    """Of the person of the first meter."""
    return tokens[1]


def traced(home: Home, table: str, *keys: str, who: str = "user:clerk", why: str = "service", **options) -> RecordTrace:
    with home.opened() as context:
        return record_trace(context, table, [[key] for key in keys], subject=who, purpose=why, **options)


def records(found: RecordTrace, *, values: bool | None = None) -> list[tuple[int, str, int | None]]:
    """(target, file, record), of those from which values came or that only decided, if asked."""
    rows = [row for row in found.rows if values is None or row.value is values]
    return sorted((row.target, row.position.file if row.position else row.table, row.row) for row in rows)


def test_a_row_is_traced_to_the_records_of_its_files(home: Home, token: str) -> None:
    found = traced(home, "curated.use", ZHANG)
    assert found.exact
    assert found.targets == 1
    assert records(found) == [(1, "water.meters.csv", 1), (1, "water.meters.csv", 3)]
    assert all(ZHANG in METER_LINES[row.row - 1] for row in found.rows if row.row)
    assert found.hidden == 1  # kwh is not open to the clerk, and nothing else is made from the accounts
    auditor = traced(home, "curated.use", token, who="user:auditor", why="audit")
    assert auditor.complete
    assert auditor.exact
    assert records(auditor) == sorted([(1, "water.meters.csv", 1), (1, "water.meters.csv", 3), *ACCOUNTS])


ACCOUNTS = [(1, "power.a.csv; power.b.csv", 1), (1, "power.a.csv; power.b.csv", 3)]


def test_lines_are_told_of_landed_files(home: Home, tokens: dict[int, str]) -> None:
    """The second meter is a record of two lines, a blank one comes before the fourth; of the accounts one is no record."""
    found = traced(home, "curated.use", tokens[1], tokens[4], who="user:auditor", why="audit", lines=True)
    told = {(row.position.file, row.position.record, row.position.line) for row in found.rows if row.position}
    meters, accounts = "water.meters.csv", ["power.a.csv", "power.b.csv"]
    assert told == {(meters, 1, 2), (meters, 3, 5), (meters, 4, 7), (accounts[0], 1, 2), (accounts[1], 2, 3)}


def test_one_column_is_traced_to_what_its_value_came_from(home: Home, token: str) -> None:
    found = traced(home, "curated.use", token, who="user:auditor", why="audit", column="kwh")
    assert records(found, values=True) == ACCOUNTS
    assert records(found, values=False) == [(1, "water.meters.csv", 1), (1, "water.meters.csv", 3)]


def test_a_count_is_traced_to_what_it_counts(home: Home) -> None:
    found = traced(home, "curated.use", ZHANG, column="meters")
    assert records(found, values=True) == [(1, "water.meters.csv", 1), (1, "water.meters.csv", 3)]
    assert not records(found, values=False)


def test_a_table_made_from_a_curated_table_is_traced_through_it(home: Home) -> None:
    found = traced(home, "curated.band", "north", who="user:auditor", why="audit", by=["district"])
    assert {row.through for row in found.rows} == {("curated.use",)}
    meters = [r for r in records(found) if r[1] == "water.meters.csv"]
    assert meters == [(1, "water.meters.csv", n) for n in (1, 3, 4)]


def test_rows_behind_a_row_filter_are_not_traced(home: Home) -> None:
    assert traced(home, "curated.use", LI).targets == 0
    assert traced(home, "curated.use", LI).rows == ()
    assert traced(home, "curated.use", "110101199003079999").targets == 0


def test_several_keys_are_told_apart(home: Home) -> None:
    found = traced(home, "curated.use", WANG, ZHANG)
    assert {(row.key, row.row) for row in found.rows} == {(1, 4), (2, 1), (2, 3)}


@pytest.mark.parametrize(
    "options",
    [
        {"who": "user:counter"},
        {"who": "user:nobody"},
        {"why": "audit"},
        {"column": "kwh"},
        {"column": "nothing"},
        {"by": ["kwh"]},
        {"who": "user:auditor", "why": "audit", "by": ["holder"]},
    ],
    ids=["no-identifier", "unknown", "other-purpose", "closed-column", "no-column", "closed-key", "masked-key"],
)
def test_what_is_not_open_is_refused_and_in_the_ledger(home: Home, options) -> None:
    before = home.entries().get("access_refused", 0)
    with pytest.raises(Refused):
        traced(home, "curated.use", ZHANG, **options)
    assert home.entries()["access_refused"] == before + 1


def test_identifiers_are_taken_off_the_budget_of_lookups(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    traced(home, "curated.use", ZHANG)
    monkeypatch.setattr(lookup_budget, "KEYS_PER_HOUR", 1)
    with pytest.raises(Refused, match="budget"):
        traced(home, "curated.use", LI)


def test_the_ledger_has_every_trace_and_no_key(home: Home) -> None:
    before = home.entries().get("traced", 0)
    found = traced(home, "curated.use", ZHANG)
    assert home.entries()["traced"] == before + 1
    with home.opened() as context, context.database.read() as connection:
        bodies = b"\n".join(connection.execute(select(tables.ledger_entry.c.body)).scalars())
        revoked = select(tables.grant.c.revoked_at).where(tables.grant.c.id == found.grant)
        assert connection.execute(revoked).scalar_one() is not None
    assert not any(canary.encode() in bodies for canary in (ZHANG, LI, "张三甲"))


def test_the_command_reads_keys_from_a_file(home: Home, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from governance.cli.main import group

    keys = tmp_path / "keys"
    keys.write_text(f"{ZHANG}\n", encoding="utf-8")
    arguments = ["--home", str(home.folder), "trace", "curated.use", "--as", "user:clerk", "--purpose", "service"]
    done = CliRunner().invoke(group, [*arguments, "--key-file", str(keys), "--json"], catch_exceptions=False)
    told = json.loads(done.output)
    assert told["exact"]
    assert not told["complete"]
    assert [row["position"]["record"] for row in told["rows"]] == [1, 3]
    text = CliRunner().invoke(group, [*arguments, "--key", "-"], input=ZHANG, catch_exceptions=False).output
    assert "water.meters.csv" in text
    assert not {canary for canary in (ZHANG, "张三甲") if canary in text}
