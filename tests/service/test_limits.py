"""What one caller can cost: seats, time, memory; and what ends an answer under way."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from governance.client import ServiceError, connect
from governance.state import texts
from tests.service.conftest import COUNT, SERVICE_ACCESS, SLOW, bearer, serving, token

LONG = "SELECT a.range AS n, 'some text that makes a row longer' AS t FROM range(6000000) a"


_OTHERS = set()


@pytest.fixture(autouse=True)
def _not_of_this_test():
    """What tests of other modules have left running in this process (a session of lookups, say) is not counted."""
    _OTHERS.clear()
    _OTHERS.update(_running())


def workers():
    """How many worker processes run that this process started during the test."""
    return len(_running() - _OTHERS)


def _running():
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:  # a thread that ended meanwhile
            continue
        for child in children:
            try:
                if b"governance.workers.child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(child)
            except OSError:
                continue
    return found


def soon(condition, seconds=8.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def body(sql=COUNT):
    return {"sql": sql, "purpose": "statistics"}


@contextmanager
def _asking(served, sql=SLOW):
    """A client that has asked and waits; it goes away at the end."""
    asked = http.client.HTTPConnection(served.url.removeprefix("http://"))
    asked.request("POST", "/v1/query", json.dumps(body(sql)), {**bearer(token()), "Content-Type": "application/json"})
    soon(lambda: workers() > 0, seconds=30)
    try:
        yield
    finally:
        asked.close()


def test_who_comes_when_all_seats_are_taken_is_told_so_and_a_client_that_leaves_frees_its_seat(own_home):
    with serving(own_home, concurrent=1) as served:
        with _asking(served):
            refused = served.ask(COUNT)
            assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "busy", "1")
        soon(lambda: workers() == 0, seconds=5)
        soon(lambda: served.ask(COUNT).status_code == 200)


def test_one_caller_never_takes_all_seats(own_home):
    with serving(own_home, concurrent=2) as served:
        with _asking(served):
            assert served.ask(COUNT).status_code == 429
            assert served.ask(COUNT, "benefits", "zhao").json()["rows"] == [[2]]
        soon(lambda: served.ask(COUNT).status_code == 200)


def test_a_question_ends_at_its_time_limit(own_home):
    with serving(own_home, seconds=2) as served:
        answer = served.ask(SLOW)
        assert (answer.status_code, answer.json()["code"]) == (504, "time")
        soon(lambda: workers() == 0)


def test_a_reader_that_stands_still_holds_its_seat_no_longer_than_the_time_limit(own_home):
    with serving(own_home, concurrent=1, seconds=5) as served, connect(served.url, token=token()) as own:
        answer = own.query("SELECT range FROM range(30000000)", purpose="statistics")
        next(answer.batches())
        soon(lambda: served.ask("SELECT 1").status_code != 429, seconds=25)
        with pytest.raises(ServiceError):
            answer.arrow()
        soon(lambda: workers() == 0)


def _narrow(home):
    """Another process brings rules in that open less."""
    narrow = SERVICE_ACCESS.replace("action: raw}", "action: none}", 1)
    declared = {("access", "access"): (hashlib.sha256(narrow.encode()).hexdigest(), narrow)}
    with home.database.unit_of_work() as tx:
        texts.record(tx, declared, at=home.database.clock())


def _slowly(parts):
    return [time.sleep(0.02) for _ in parts]


def test_a_narrower_rule_cuts_an_answer_under_way_with_its_code(own_home):
    with serving(own_home) as served, connect(served.url, token=token()) as own:
        batches = own.query(LONG + ", curated.person", purpose="statistics").batches()
        next(batches)
        _narrow(own_home)
        with pytest.raises(ServiceError) as caught:
            _slowly(batches)
        assert caught.value.code == "changed"
        assert served.ask("SELECT district FROM curated.person").json()["code"] == "names_or_types"


def test_a_stream_that_was_cut_is_no_whole_response_for_any_reader(own_home):
    with serving(own_home) as served:
        login = {**bearer(token()), "Accept": "application/vnd.apache.arrow.stream"}
        question = body(LONG + ", curated.person")
        with served.client.stream("POST", "/v1/query", json=question, headers=login) as answer:
            assert answer.status_code == 200
            parts = answer.iter_raw()
            next(parts)
            _narrow(own_home)
            with pytest.raises(httpx.HTTPError):
                _slowly(parts)


def test_a_long_answer_passes_in_bounded_memory(served):
    with connect(served.url, token=token()) as own:
        own.query(COUNT, purpose="statistics").arrow()
        before, rows, size = _resident_mb(), 0, 0
        most = before
        for batch in own.query(LONG, purpose="statistics").batches():
            rows, size = rows + batch.num_rows, size + batch.nbytes
            most = max(most, _resident_mb())
        assert rows == 6_000_000
        assert size > 250 << 20
        assert most - before < 120


def _resident_mb():
    return int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) // 1024


def test_the_ledger_has_the_access_before_the_first_byte_leaves(own_home):
    with serving(own_home) as served:
        login = bearer(token())
        with served.client.stream("POST", "/v1/query", json=body(), headers=login) as answer:
            file = own_home.settings.database_url.removeprefix("sqlite:///")
            kept = sqlite3.connect(file)
            entries = kept.execute("SELECT count(*) FROM ledger_entry WHERE kind = 'access'").fetchone()
            kept.close()
            assert entries == (1,)
            answer.read()
