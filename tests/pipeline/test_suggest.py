"""What the rows propose, and what a steward's yes and no leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.errors import NotReady
from governance.manage.suggest import Proposal
from governance.pipeline.suggest import proposals
from tests.pipeline.home import Home, empty_home, month

pytestmark = pytest.mark.pipeline

NAME = "water.bills"
FIELDS = {
    "bill": {"logicalType": "integer", "classification": "L1"},
    "payer": {"logicalType": "string", "classification": "L4"},
    "company": {"logicalType": "string", "classification": "L3"},
    "tariff": {"logicalType": "string", "classification": "L1"},
    "district": {"logicalType": "string", "classification": "L1"},
    "town": {"logicalType": "string", "classification": "L1"},
    "amount": {"logicalType": "number", "physicalType": "DECIMAL(10,2)", "classification": "L2"},
    "issued": {"logicalType": "date", "classification": "L1"},
    "paid": {"logicalType": "date", "classification": "L1"},
    "note": {"logicalType": "string", "classification": "L2"},
}
CODES = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def credit_code(number: int) -> str:
    """A valid code of GB 32100-2015."""
    body = f"91440100{number:09d}"
    total = sum(CODES.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return body + CODES[(31 - total % 31) % 31]


def line(n: int) -> str:
    town = ("north", "south", "east")[n % 3]
    note = f"note {n}" if n % 4 else ""
    day = f"2026-01-{1 + n % 9:02d}"
    paid = f"2026-02-{1 + n % 7:02d}"
    return f"{1000 + (n * 37) % 400},ID{n:06d},{credit_code(n)},{'AB'[n % 2]},{n % 3},{town},{10 + n % 50}.50,{day},{paid},{note}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = empty_home(tmp_path_factory.mktemp("suggest") / "home")
    made.declare(NAME, FIELDS)
    lines = [line(n) for n in range(400)]
    lines[7] = lines[7].replace(",B,", ",?,")
    made.deliver(NAME, lines, FIELDS)
    made.run(month(1))
    return made


def proposed(home: Home) -> dict[str, Proposal]:
    with home.opened() as context:
        return {proposal.key: proposal for proposal in proposals(context, NAME)}


def test_presence_keys_forms_values_ranges_orders_checks_and_dependencies_are_proposed(home: Home) -> None:
    found = proposed(home)
    assert {"unique:bill", "unique:payer", "present:tariff", "length:payer", "form:payer"} <= found.keys()
    assert found["check:company"].says == "gov.check: credit_code"
    assert found["values:district"].expectation is not None
    assert found["values:district"].expectation["kwargs"]["value_set"] == ["0", "1", "2"]
    assert found["order:paid,issued"].support == 1
    assert "order:issued,paid" not in found
    assert found["decides:district,town"].says == "decides town"
    bounds = found["range:amount"].expectation
    assert bounds is not None
    assert bounds["kwargs"]["min_value"] == 0
    assert not {"present:note", "unique:tariff", "decides:tariff,town", "range:bill"} & found.keys()


def test_no_value_of_an_encrypted_column_is_proposed(home: Home) -> None:
    told = json.dumps([p.expectation for p in proposed(home).values()], ensure_ascii=False)
    assert "ID0" not in told
    assert "914401" not in told


def test_what_few_rows_break_is_proposed_with_its_support_and_their_positions(home: Home) -> None:
    proposal = proposed(home)["form:tariff"]
    assert proposal.support == pytest.approx(399 / 400)
    assert [row for _, row in proposal.examples] == [8]


def test_accepted_ones_are_in_the_suite_and_refused_ones_are_never_proposed_again(tmp_path: Path) -> None:
    home = empty_home(tmp_path / "home")
    home.declare(NAME, FIELDS)
    home.deliver(NAME, [line(n) for n in range(120)], FIELDS)
    with home.opened() as context, pytest.raises(NotReady, match="no batch"):
        proposals(context, NAME)
    home.run(month(1))

    def gov(*words: str) -> Any:
        result = CliRunner().invoke(group, ["--home", str(home.folder), *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    listed = {f"{p['kind']}:{p['column']}": p["number"] for p in json.loads(gov("suggest", NAME, "--json"))}
    yes, no = listed["values:district"], listed["unique:payer"]
    assert "1 accepted, 1 refused" in gov("suggest", NAME, "--accept", str(yes), "--refuse", str(no))
    gov("check")
    suite = json.loads((home.folder / "expectations" / "water" / "bills.json").read_text())
    assert [(e["type"], e["severity"]) for e in suite["expectations"]] == [
        ("expect_column_values_to_be_in_set", "warning")
    ]
    again = {f"{p['kind']}:{p['column']}" for p in json.loads(gov("suggest", NAME, "--json"))}
    assert not {"values:district", "unique:payer"} & again
    home.deliver(NAME, [line(n).replace(",0,north,", ",9,north,") for n in range(120)], FIELDS)
    assert {s.outcome for s in home.run(month(2)).steps if s.stage == "manage"} == {"warned"}
    wrong = CliRunner().invoke(group, ["--home", str(home.folder), "suggest", NAME, "--accept", "999"])
    assert wrong.exit_code == 2
    assert "there is no proposal 999" in wrong.output
    both = CliRunner().invoke(group, ["--home", str(home.folder), "suggest", NAME, "--accept", "1,2", "--refuse", "2"])
    assert both.exit_code == 2
    assert "proposal 2 is in both" in both.output
