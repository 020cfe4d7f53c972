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
from governance.errors import GovernanceError
from governance.lineage.index import Index
from governance.pipeline.incidents import Incident, assign, find, incidents, reached, settle
from governance.state.values import Actor
from tests.pipeline.home import FIRST, Home, month, utility_home

pytestmark = pytest.mark.pipeline

BAD = ["1,11010119900307001X,张三甲,-10", "2,110101199003070028,李四乙,-20", "3,110101199003070036,王五丙,30"]
STEWARD = Actor("user:steward", "incident.assign", "r")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return utility_home(tmp_path / "home")


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


def test_it_knows_what_it_reaches_and_can_be_given_to_somebody(home: Home) -> None:
    home.run(month(1))
    home.deliver("water.meters", BAD)
    home.run(month(2))
    (one,) = found(home)
    with home.opened() as context:
        with context.database.read() as connection:
            assert reached(connection, Index(), one) == ("curated.supply",)
            with pytest.raises(GovernanceError, match="no incident 999"):
                find(connection, 999)
        given = assign(context.database, one.id, "user:chen.min", actor=STEWARD)
    assert given.owner == "user:chen.min"
    assert found(home, owner="user:chen.min") == (given,)
    assert home.entries()["incident_assigned"] == 1


def test_the_command_lists_shows_and_assigns(home: Home) -> None:
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
    assert json.loads(gov("assign", number, "--to", "user:a", "--as", "user:b", "--json"))["owner"] == "user:a"
    assert "user:a" in gov("show", number)


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
