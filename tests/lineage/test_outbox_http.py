"""Events to an endpoint: at least once, in order; a dead, slow or refusing one stops nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from governance.config import load_settings
from governance.errors import NotReady
from governance.lineage.outbox_http import again, send, send_for, standing, start_sending
from governance.state.database import Database
from governance.state.tables import outbox
from governance.state.tables_lineage import outbox_refused

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now


class Receiver:
    """An endpoint that answers as `status` says of an event's number."""

    def __init__(self, status: Callable[[int], int] = lambda n: 201, seconds: float = 0) -> None:
        self.got: list[int] = []
        self.tokens: set[str | None] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                number = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["n"]
                receiver.tokens.add(self.headers["Authorization"])
                time.sleep(seconds)
                answer = status(number)
                if answer < 300:
                    receiver.got.append(number)
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/v1/lineage"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Receiver:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'var' / 'state.sqlite'}", clock=Clock())
    database.create()
    yield database
    database.close()


def put(database: Database, *numbers: int) -> None:
    with database.unit_of_work() as tx:
        tx.execute(insert(outbox), [{"event": json.dumps({"n": n}), "recorded_at": AT} for n in numbers])


def told(database: Database, url: str):
    with database.read() as connection:
        return standing(connection, url)


def test_events_arrive_in_order_with_the_token(database: Database) -> None:
    put(database, *range(60))
    with Receiver() as receiver:
        assert send(database, receiver.url, token="t0k").sent == 60
        assert send(database, receiver.url).sent == 0
    assert receiver.got == list(range(60))
    assert receiver.tokens == {"Bearer t0k"}
    assert told(database, receiver.url).waiting == 0


def test_what_is_refused_for_good_is_kept_and_told_and_the_rest_goes_on(database: Database) -> None:
    put(database, 1, 2, 3)
    with Receiver(lambda n: 422 if n == 2 else 200) as receiver:
        assert (send(database, receiver.url).sent, receiver.got) == (2, [1, 3])
    assert told(database, receiver.url).refused == {422: 1}
    with database.unit_of_work() as tx:
        assert again(tx) == 1
    with Receiver() as receiver:
        assert send(database, receiver.url).sent == 1
    assert receiver.got == [2]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_endpoint_that_takes_nothing_loses_nothing_and_is_tried_later_and_later(
    database: Database, status: int
) -> None:
    put(database, 1, 2)
    with Receiver(lambda n: status) as receiver:
        for failures, wait in ((1, 2), (2, 4), (3, 8)):
            assert send(database, receiver.url).error == f"status {status}"
            now = told(database, receiver.url)
            assert (now.failures, now.next_at) == (failures, AT + timedelta(seconds=wait))
    assert now.waiting == 2
    assert not now.refused


def test_an_event_at_which_the_endpoint_always_fails_does_not_block_the_rest(database: Database) -> None:
    put(database, 1, 2, 3)
    with Receiver(lambda n: 500 if n == 1 else 200) as receiver:
        for _ in range(6):
            send(database, receiver.url)
    assert receiver.got == [2, 3]
    assert told(database, receiver.url).refused == {500: 1}


def test_a_receiver_that_fails_at_all_is_not_taken_for_one_that_refuses_an_event(database: Database) -> None:
    put(database, 1, 2, 3)
    with Receiver(lambda n: 500) as receiver:
        for _ in range(8):
            send(database, receiver.url)
    now = told(database, receiver.url)
    assert (now.waiting, now.refused, now.failures) == (3, {}, 8)


def home_of(database: Database, folder: Path, url: str):
    (folder / "gov.toml").write_text(f'[openlineage]\nurl = "{url}"\n', encoding="utf-8")
    return load_settings(folder)


def test_a_dead_endpoint_costs_the_pipeline_one_try_and_then_nothing_until_it_is_due(
    database: Database, tmp_path: Path
) -> None:
    settings = home_of(database, tmp_path, "http://127.0.0.1:9/api/v1/lineage")
    put(database, 1)
    assert send_for(settings, database).error.startswith("no answer")
    assert start_sending(settings, database) is None, "it is not due"
    database.clock.now += timedelta(seconds=3)
    process = start_sending(settings, database)
    assert process is not None
    os.waitpid(process, 0)


def test_a_slow_endpoint_is_waited_for_by_nobody(database: Database, tmp_path: Path) -> None:
    put(database, 1)
    with Receiver(seconds=1.0) as receiver:
        settings = home_of(database, tmp_path, receiver.url)
        started = time.monotonic()
        process = start_sending(settings, database)
        assert time.monotonic() - started < 0.5
        assert process is not None
        os.waitpid(process, 0)
    assert receiver.got == [1]
    assert told(database, receiver.url).waiting == 0


def test_without_an_endpoint_or_events_nothing_is_started(database: Database, tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("", encoding="utf-8")
    put(database, 1)
    assert start_sending(load_settings(tmp_path), database) is None
    with pytest.raises(NotReady, match="no endpoint"):
        send_for(load_settings(tmp_path), database)


CRASHING = """
import sys
from governance.lineage.outbox_http import send
from governance.state.database import Database
send(Database(sys.argv[1]), sys.argv[2])
"""


def test_a_kill_between_the_answer_and_its_mark_sends_again(database: Database) -> None:
    put(database, 1, 2)
    with Receiver() as receiver:
        command = [sys.executable, "-c", CRASHING, database.url, receiver.url]
        killed = subprocess.run(command, env={**os.environ, "GOV_CRASH_AT": "lineage.after_post"}, check=False)
        assert killed.returncode < 0
        assert send(database, receiver.url).sent == 2
    assert receiver.got == [1, 2, 1, 2]
    with database.read() as connection:
        assert connection.execute(select(outbox_refused)).first() is None
