"""An expectation that fails is one open incident until a batch meets it again, and is told of once each time."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.errors import GovernanceError, Refused
from governance.lineage.index import Index
from governance.pipeline.alerts import notice, text_of
from governance.pipeline.incidents import Incident, assign, find, incidents, reached, settle
from tests.pipeline.home import FIRST, Home, empty_home, month, utility_home

pytestmark = pytest.mark.pipeline

BAD = ["1,11010119900307001X,张三甲,-10", "2,110101199003070028,李四乙,-20", "3,110101199003070036,王五丙,30"]
ACCESS = """version: 1
roles: [{id: steward}]
purposes: [{id: p}]
subjects:
  - {name: "user:steward", roles: [steward], department: water}
  - {name: "user:other", roles: [steward], department: power}
  - {name: "user:chen.min", department: water}
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return utility_home(tmp_path / "home")


@pytest.fixture
def stewarded(home: Home) -> Home:
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    return home


def found(home: Home, **which: Any) -> tuple[Incident, ...]:
    with home.opened() as context, context.database.read() as connection:
        return incidents(connection, **which)


def test_it_opens_with_the_first_failure_counts_the_next_and_closes_when_the_rule_is_met(home: Home) -> None:
    home.run(month(1))
    assert found(home, closed=True) == ()
    home.deliver("water.meters", BAD)
    home.run(month(2))
    (one,) = found(home)
    assert (one.subject, one.expectation, one.column, one.severity) == (
        "water.meters", "range:reading", "reading", "quarantine",
    )  # fmt: skip
    assert (one.unexpected, one.failures, one.closed_at) == (2, 1, None)
    home.deliver("water.meters", BAD[:1] + FIRST[1:])
    home.run(month(3))
    (again,) = found(home)
    assert (again.id, again.unexpected, again.failures) == (one.id, 1, 2)
    home.deliver("water.meters", FIRST)
    home.run(month(4))
    assert found(home) == ()
    (ended,) = found(home, closed=True)
    assert (ended.id, ended.failures) == (one.id, 2)
    assert ended.closed_at is not None
    home.deliver("water.meters", BAD)
    home.run(month(5))
    assert [i.id for i in found(home)] != [one.id]
    assert home.entries()["incidents"] == 3


def test_a_validation_is_looked_at_once(home: Home) -> None:
    home.deliver("water.meters", BAD)
    home.run(month(1))
    with home.opened() as context:
        assert settle(context) == 0
    (one,) = found(home)
    assert one.failures == 1


def test_too_large_a_share_is_an_incident_of_its_own(home: Home) -> None:
    home.declare("power.accounts", {"person_no": {"logicalType": "string", "classification": "L4"},
                                    "kwh": {"logicalType": "integer", "classification": "L2", "required": True}},
                 maxQuarantine=0.1)  # fmt: skip
    home.deliver("power.accounts", ["11010119900307001X,", "110101199003070028,200"])
    home.run(month(1), models=False)
    assert {i.expectation for i in found(home, subject="power.accounts")} == {"required:kwh", "max_quarantine"}


def test_it_knows_what_it_reaches_and_can_be_given_to_somebody(stewarded: Home) -> None:
    home = stewarded
    home.run(month(1))
    home.deliver("water.meters", BAD)
    home.run(month(2))
    (one,) = found(home)
    with home.opened() as context:
        with context.database.read() as connection:
            assert reached(connection, Index(), one) == ("curated.supply",)
            with pytest.raises(GovernanceError, match="no incident 999"):
                find(connection, 999)
        given = assign(context, one.id, "user:chen.min", subject="user:steward")
    assert given.owner == "user:chen.min"
    assert found(home, owner="user:chen.min") == (given,)
    assert home.entries()["incident_assigned"] == 1
    with home.opened() as context:
        for subject in ("user:nobody", "user:other", "", "service:manage@water"):
            with pytest.raises(Refused, match="may not assign"):
                assign(context, one.id, "user:steward", subject=subject)
        for owner in ("", " ", "user:nobody"):
            with pytest.raises(Refused, match="nobody is called"):
                assign(context, one.id, owner, subject="user:steward")
        assert assign(context, one.id, "user:steward", subject="user:chen.min").owner == "user:steward"
    assert home.entries()["incident_assigned"] == 2


def test_one_that_could_not_be_judged_is_told_apart_from_one_that_failed(tmp_path: Path) -> None:
    home = empty_home(tmp_path / "home")
    wide = {"logicalType": "number", "physicalType": "DECIMAL(38,0)", "classification": "L2"}
    home.declare("water.meters", {"a": wide, "b": wide})
    overflows = {"type": "expect_multicolumn_sum_to_equal", "kwargs": {"column_list": ["a", "b"], "sum_total": 3}}
    fails = {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 4}, "severity": "warning"}
    suite = {"name": "water.meters", "expectations": [overflows, fails]}
    (home.folder / "expectations" / "water").mkdir(parents=True, exist_ok=True)
    (home.folder / "expectations" / "water" / "meters.json").write_text(json.dumps(suite), encoding="utf-8")
    home.deliver("water.meters", [f"{'9' * 38},{'9' * 38}"], {"a": 1, "b": 1})
    home.run(month(1), models=False)
    by_rule = {one.expectation.split(":")[1]: one for one in found(home)}
    errored, failed = by_rule["expect_multicolumn_sum_to_equal"], by_rule["expect_table_row_count_to_equal"]
    assert (errored.errored, errored.unexpected, failed.errored, failed.unexpected) == (True, None, False, None)
    told = text_of([notice(errored, "opened", ()), notice(failed, "opened", ())]).splitlines()
    assert "could not be judged" in told[0]
    assert "no count" in told[1]
    listed = CliRunner().invoke(group, ["--home", str(home.folder), "incident", "list"], catch_exceptions=False).output
    assert (listed.count("could not be judged"), listed.count("no count")) == (1, 1)


def test_the_command_lists_shows_and_assigns(stewarded: Home) -> None:
    home = stewarded
    home.deliver("water.meters", BAD)
    home.run(month(1))

    def gov(*words: str) -> str:
        result = CliRunner().invoke(group, ["--home", str(home.folder), "incident", *words], catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    (listed,) = json.loads(gov("list", "--json"))
    number = str(listed["id"])
    assert "water.meters range:reading (quarantine): 2 rows, failed 1 time" in gov("list")
    assert json.loads(gov("show", number, "--json"))["downstream"] == ["curated.supply"]
    given = gov("assign", number, "--to", "user:chen.min", "--as", "user:steward", "--json")
    assert json.loads(given)["owner"] == "user:chen.min"
    assert "user:chen.min" in gov("show", number)


def test_each_incident_is_told_of_once_when_it_opens_and_once_when_it_closes(home: Home) -> None:
    with webhook() as (url, posted), mailbox() as (smtp, mails):
        alerts = f'\n[alerts]\nwebhook = "{url}"\nsmtp = "{smtp}"\nsender = "gov@example"\nto = "a@example"\n'
        with (home.folder / "gov.toml").open("a") as settings:
            settings.write(alerts)
        home.deliver("water.meters", BAD)
        home.run(month(1))
        home.run(month(2))
        home.deliver("water.meters", FIRST)
        home.run(month(3))
    told = [notice for document in posted for notice in document["incidents"]]
    assert [(n["change"], n["expectation"], n["unexpected"]) for n in told] == [
        ("opened", "range:reading", 2),
        ("closed", "range:reading", 2),
    ]
    assert told[0]["downstream"] == ["curated.supply"]
    assert len(mails) == 2
    assert "opened: water.meters range:reading (quarantine), 2 rows; reaches curated.supply" in mails[0]
    everything = json.dumps(posted, ensure_ascii=False) + "".join(mails)
    assert not any(value in everything for value in ("张三甲", "11010119900307001X", "-10"))


def test_what_nobody_takes_waits_and_fails_no_stage(home: Home) -> None:
    with (home.folder / "gov.toml").open("a") as settings:
        settings.write('\n[alerts]\nwebhook = "http://127.0.0.1:9/nobody"\n')
    home.deliver("water.meters", BAD)
    assert home.run(month(1)).failed == ()
    with webhook() as (url, posted):
        text = (home.folder / "gov.toml").read_text().replace("http://127.0.0.1:9/nobody", url)
        (home.folder / "gov.toml").write_text(text)
        home.run(month(2))
    assert [n["change"] for document in posted for n in document["incidents"]] == ["opened"]


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    posted: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _served(HTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/hook", posted


@contextmanager
def mailbox() -> Iterator[tuple[str, list[str]]]:
    """A mail server that keeps what it is given (RFC 5321, as far as one client needs it)."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                match line[:4].upper():
                    case b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        mail = b""
                        while (part := self.rfile.readline()) != b".\r\n":
                            mail += part
                        mails.append(message_from_bytes(mail, policy=policy.default).get_content())
                        self.wfile.write(b"250 kept\r\n")
                    case b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    case _:
                        self.wfile.write(b"250 well\r\n")

    with _served(socketserver.TCPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"127.0.0.1:{port}", mails


@contextmanager
def _served(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
