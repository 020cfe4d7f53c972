"""Answers about a past instant: each kind of thing is changed, and the past must say what the present said then."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.errors import NotReady
from governance.pipeline.asof import catalogue_of, facts_at, text_of
from tests.pipeline.home import METERS, Home, empty_home, month
from tests.pipeline.traced import publish
from tests.use.conftest import PUBLIC_KEY

TABLE, SOURCE = "curated.supply", "water.meters"
ACCESS = f"""\
roles: [{{id: auditor}}, {{id: clerk}}]
purposes: [{{id: audit}}, {{id: service}}]
subjects:
  - {{name: "user:auditor", roles: [auditor], clearance: L2}}
  - {{name: "user:clerk", roles: [clerk], clearance: L4}}
  - {{name: "user:wang"}}
approvers: [{{subject: "user:wang", public_key: "{PUBLIC_KEY}"}}]
rules:
  - {{id: key, roles: [auditor], purposes: [audit], where: {{tags: [key]}}, action: raw}}
  - {{id: rows, roles: [auditor], purposes: [audit], where: {{levels: [L1, L2, L3], without_tags: [key]}}, action: "mask:replace-with-null"}}
  - {{id: window, roles: [clerk], purposes: [service], where: {{levels: [L1, L2, L3, L4]}}, action: raw}}
"""
FIELDS: dict[str, dict[str, Any]] = {
    "meter": {**METERS["meter"], "tags": ["key"]},
    "holder": dict(METERS["holder"]),
    "reading": dict(METERS["reading"]),
}
SQL = "SELECT meter, holder, reading FROM water.meters\n"
ASKED: dict[str, list[str]] = {
    "who": ["who-sees", f"{TABLE}.holder", "--all", "--json"],
    "explain": ["explain", TABLE, "--as", "user:clerk", "--purpose", "service", "--json"],
    "lineage": ["lineage", f"{TABLE}.reading", "--json"],
}


@dataclass(frozen=True)
class Told:
    """What the present said at an instant."""

    at: datetime
    answers: dict[str, Any]
    facts: dict[str, str]
    source: dict[str, str]


def ask(home: Home, *arguments: str) -> Any:
    done = CliRunner().invoke(group, ["--home", str(home.folder), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def told(home: Home) -> Told:
    """Everything asked about the present, and the instant."""
    answers = {name: ask(home, *arguments) for name, arguments in ASKED.items()}
    at = datetime.now(UTC)
    return Told(at, answers, facts(home, at), facts(home, at, SOURCE))


def facts(home: Home, at: datetime, table: str = TABLE) -> dict[str, str]:
    with home.opened() as context, context.database.read() as connection:
        return {fact.what: fact.value for fact in facts_at(connection, table, at)}


def again(home: Home) -> None:
    assert home.run(month(1), again=True).failed == ()
    with home.opened() as context:
        publish(context)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, list[Told]]:
    """Three states: as it began; another contract, model, data and release; other rules of access alone."""
    home = empty_home(tmp_path_factory.mktemp("asof") / "home")
    access = home.folder / "catalog" / "access.yaml"
    access.write_text(ACCESS, encoding="utf-8")
    home.declare(SOURCE, {**METERS, "meter": FIELDS["meter"]})
    home.declare(TABLE, FIELDS, sql=SQL)
    home.deliver(SOURCE, ["1,11010119900307001X,张三甲,10", "2,110101199003070028,李四乙,20"])
    again(home)
    states = [told(home)]
    home.declare(
        TABLE,
        {**FIELDS, "reading": {**FIELDS["reading"], "classification": "L3"}},
        sql=SQL.replace("reading FROM", "reading + meter AS reading FROM"),
    )
    stricter = {**FIELDS["reading"], "logicalTypeOptions": {"minimum": 1}}
    home.declare(SOURCE, {**METERS, "meter": FIELDS["meter"], "reading": stricter})
    home.deliver(
        SOURCE,
        ["1,11010119900307001X,张三甲,11", "2,110101199003070028,李四乙,20", "3,110101199003070036,王五丙,-1"],
    )
    again(home)
    states.append(told(home))
    access.write_text(ACCESS.replace("clearance: L4", "clearance: L1"), encoding="utf-8")
    states.append(told(home))
    return home, states


def test_the_states_differ_in_what_was_changed(history: tuple[Home, list[Told]]) -> None:
    _, (first, second, third) = history
    changed = {what for what in first.facts if first.facts[what] != second.facts.get(what)}
    assert changed >= {
        "contract",
        "model",
        "snapshot",
        "run",
        "release",
        "published snapshot",
        "built from water.meters",
    }
    assert changed >= {"run's model", "run's contract", "lineage", "release's policy set"}
    changed = {what for what in first.source if first.source[what] != second.source.get(what)}
    assert changed >= {"contract", "rules", "verdict", "snapshot", "run's rules"}
    assert first.answers["lineage"] != second.answers["lineage"]
    assert second.answers["who"] != third.answers["who"]
    assert second.facts["access rules"] != third.facts["access rules"]


@pytest.mark.parametrize("name", ASKED)
def test_the_past_says_what_the_present_said_then(history: tuple[Home, list[Told]], name: str) -> None:
    home, states = history
    for state in states:
        assert ask(home, *ASKED[name], "--as-of", state.at.isoformat()) == state.answers[name]


def test_what_was_in_force_is_told_for_each_instant(history: tuple[Home, list[Told]]) -> None:
    home, states = history
    for state in states:
        assert facts(home, state.at) == state.facts
        assert facts(home, state.at, SOURCE) == state.source
    asked = ask(home, "as-of", TABLE, states[0].at.isoformat(), "--json")
    assert {fact["what"]: fact["value"] for fact in asked["in_force"]} == states[0].facts


def test_every_text_can_be_read_and_a_catalogue_made_of_them(history: tuple[Home, list[Told]]) -> None:
    home, states = history
    with home.opened() as context, context.database.read() as connection:
        found = facts_at(connection, TABLE, states[0].at)
        texts = {fact.what: text_of(connection, fact.text) for fact in found if fact.text}
    assert texts["model"] == SQL
    assert '"classification": "L2"' in texts["contract"]
    assert texts["access rules"] == ACCESS
    with home.opened() as context:
        then = catalogue_of(context, states[0].at)
        assert then.models[TABLE].sql == SQL
        assert context.catalogue.models[TABLE].sql != SQL


def test_the_batches_of_a_time_are_told_as_they_were_known(history: tuple[Home, list[Told]]) -> None:
    home, states = history
    inside = month(1).start
    for number, state in enumerate(states[:2], 1):
        with home.opened() as context, context.database.read() as connection:
            found = facts_at(connection, SOURCE, state.at, valid_at=inside)
        assert len([fact for fact in found if fact.what == "batch"]) == number


def test_tables_are_queried_and_traced_as_they_were_published(history: tuple[Home, list[Told]], tmp_path: Path) -> None:
    home, states = history
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    who = ["--as", "user:auditor", "--purpose", "audit"]
    query = ["query", *who, f"SELECT count(*) AS n FROM {TABLE}", "--json"]  # noqa: S608
    then = ask(home, *query, "--as-of", states[0].at.isoformat())
    assert then["release"] == states[0].facts["release"] != states[2].facts["release"]
    keys = tmp_path / "keys"
    keys.write_text("1\n", encoding="utf-8")
    trace = ["trace", TABLE, *who, "--by", "meter", "--key-file", str(keys), "--json"]
    batches = [ask(home, *trace, "--as-of", state.at.isoformat())["rows"][0]["batch"] for state in states[:2]]
    assert batches[0] != batches[1]


def test_before_anything_was_known_nothing_is_told(history: tuple[Home, list[Told]]) -> None:
    home, _ = history
    refuse: Callable[[], Any] = lambda: facts(home, datetime(2020, 1, 1, tzinfo=UTC))  # noqa: E731
    with pytest.raises(NotReady):
        refuse()
