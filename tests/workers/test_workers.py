"""A worker: answers, errors by class, limits, isolation, and no deadlock when it dies."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest

from governance.errors import Refused, WorkerFailed
from governance.workers import Limits, pool, start


@pytest.fixture(autouse=True)
def _entries_on_the_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def _numbers(rows=5, batches=1):
    schema = pa.schema([("n", pa.int64())])
    return pa.RecordBatchReader.from_batches(
        schema, (pa.record_batch([pa.array(range(rows))], schema=schema) for _ in range(batches))
    )


def _group_ended(group):
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_worker_takes_a_stream_and_gives_a_stream_and_a_result():
    with start("entries:double", {"greeting": "你好"}, inputs={"numbers": _numbers()}) as worker:
        assert worker.stream().read_all()["n"].to_pylist() == [0, 2, 4, 6, 8]
        assert worker.result() == {"rows": 5, "greeting": "你好"}


def test_the_result_drops_a_stream_that_nobody_reads():
    with start("entries:many", {"batches": 100}) as worker:
        assert worker.result() == {}


def test_an_error_of_ours_keeps_its_class_and_attributes():
    with start("entries:refuse", {}) as worker, pytest.raises(Refused) as caught:
        worker.stream()
    assert (caught.value.where, caught.value.do) == ("here", "ask")


def test_an_error_in_the_middle_of_the_stream_reaches_its_reader():
    with start("entries:many", {"batches": 50, "fail_at": 20}) as worker, pytest.raises(Refused, match="broken off"):
        worker.stream().read_all()


def test_a_death_in_the_middle_of_the_stream_is_never_a_short_answer():
    with start("entries:many", {"batches": 50, "abort_at": 20}) as worker, pytest.raises(WorkerFailed, match="SIGABRT"):
        worker.stream().read_all()


def test_an_abort_is_an_error_and_not_a_crash():
    with start("entries:abort", {}) as worker, pytest.raises(WorkerFailed, match="died of SIGABRT"):
        worker.result()


def test_a_foreign_error_tells_its_class_and_place_and_nothing_else(capfd):
    with start("entries:leak", {}) as worker, pytest.raises(WorkerFailed) as caught:
        worker.result()
    assert "ValueError" in str(caught.value)
    assert "CANARY" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_child_that_dies_while_it_is_fed_blocks_nobody():
    began = time.monotonic()
    with start("entries:abort", {}, inputs={"numbers": _numbers(100_000, 200)}) as worker, pytest.raises(WorkerFailed):
        worker.stream()
    assert time.monotonic() - began < 20


def test_a_failed_input_is_raised_and_never_taken_for_its_end():
    def broken():
        yield pa.record_batch([pa.array([1])], names=["n"])
        raise Refused("revoked")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), broken())
    with (
        start("entries:double", {"greeting": ""}, inputs={"numbers": reader}) as worker,
        pytest.raises(Refused, match="revoked"),
    ):
        worker.result()


def test_the_time_limit_ends_the_whole_process_group():
    with start("entries:sleep", {}, limits=Limits(seconds=1)) as worker:
        with pytest.raises(WorkerFailed, match="time limit"):
            worker.result()
        assert _group_ended(worker.pid)


def test_the_memory_limit_ends_the_worker():
    worker = start("entries:eat", {}, limits=Limits(memory_mb=200, seconds=60))
    with worker, pytest.raises(WorkerFailed, match="memory limit of 200 MB"):
        worker.result()


def test_the_environment_holds_no_secret(monkeypatch):
    monkeypatch.setenv("GOV_SECRET", "CANARY")
    with start("entries:environment", {}) as worker:
        assert "GOV_SECRET" not in worker.result()


def test_a_locked_worker_reaches_neither_network_nor_programs():
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = {"port": server.getsockname()[1]}
        with start("entries:reach", request, limits=Limits(locked=True)) as worker:
            assert "worked" not in worker.result().values()
        with start("entries:reach", request, limits=Limits(network=True)) as worker:
            assert worker.result() == {"connect": "worked", "program": "worked"}


@pytest.fixture
def waiting():
    limits = Limits(locked=True)
    pool.keep("entries:reach", limits, 2)
    _until(lambda: pool.ready("entries:reach", limits) == 2)
    yield limits
    pool.close()


def _until(holds):
    for _ in range(1500):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("not within 30 seconds")


def test_what_waits_answers_one_request_and_another_takes_its_place(waiting):
    with start("entries:reach", {"port": 1}, limits=waiting) as worker:
        assert "worked" not in worker.result().values()
        first = worker.pid
    _until(lambda: pool.ready("entries:reach", waiting) == 2)
    with start("entries:reach", {"port": 1}, limits=waiting) as worker:
        assert worker.pid != first
        assert "worked" not in worker.result().values()
    assert _group_ended(first)


def test_workers_that_stay_keep_nobody_from_being_prepared(waiting):
    with ExitStack() as stack:
        staying = [stack.enter_context(start("entries:sleep", {}, limits=Limits())) for _ in range(os.cpu_count() + 1)]
        with start("entries:reach", {"port": 1}, limits=waiting) as worker:
            assert "worked" not in worker.result().values()
        _until(lambda: pool.ready("entries:reach", waiting) == 2)
        for worker in staying:
            worker.kill()


def test_a_waiting_process_that_died_is_not_given_away(waiting):
    [kind] = pool._POOL._waiting
    for child in pool._POOL._waiting[kind]:
        os.kill(child.process.pid, 9)
        child.process.wait()
    with start("entries:reach", {"port": 1}, limits=waiting) as worker:
        assert "worked" not in worker.result().values()


def test_what_waits_is_of_one_kind_alone_and_ends_with_the_pool(waiting):
    [kind] = pool._POOL._waiting
    pids = [child.process.pid for child in pool._POOL._waiting[kind]]
    with start("entries:double", {"greeting": ""}, inputs={"numbers": _numbers()}) as worker:
        assert worker.pid not in pids
        worker.stream().read_all()
    pool.close()
    assert all(_group_ended(pid) for pid in pids)
    assert pool.ready("entries:reach", waiting) == 0
