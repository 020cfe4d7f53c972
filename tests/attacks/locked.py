"""The real locked worker, for many statements: a worker that has given up the network forks for each, and the fork is `locked.run`.

So each statement has a process and a database of its own, as in `query`, without the start of an interpreter. The guard is not asked here: a
caller that wants it asks it before.
"""

from __future__ import annotations

import json
import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from governance.errors import GovernanceError
from governance.state.values import Actor
from governance.use import locked
from governance.use.published import Published, read_published
from governance.use.query import record_access
from governance.use.scanner import scan
from governance.use.scans import Scan, scan_request
from governance.workers import Limits, start
from tests.use.conftest import Home

SALT = "00" * 32
LIMITS = Limits(memory_mb=1024, seconds=1800, locked=True)
MEMORY_MB = 256
AT_ONCE = 2
Tables = Mapping[str, tuple[str, Sequence[str]]]
"""`<schema>.<table>` -> (one of the session's tables, its columns)."""
_STATEMENT = pa.schema([("sql", pa.string()), ("tables", pa.string())])
_ANSWER = pa.schema([("answer", pa.string())])


def published(home: Home) -> Published:
    with home.database.read() as connection:
        return read_published(connection, catalogue=home.catalogue, lake=home.lake)


def scanned(home: Home, scans: Sequence[Scan], who: tuple[str, str], release: str) -> dict[str, pa.Table]:
    """table -> what the scanner streams under the grant of these scans, in this process."""
    subject, purpose = who
    actor = Actor(subject, purpose, "attack")
    grant = record_access(scans, "0" * 64, release, actor, Limits(), home.database, home.lake)
    found: dict[str, pa.Table] = {}
    for each in scans:
        tables: list[pa.Table] = []
        request = dict(scan_request(each, grant, purpose, SALT, home.settings, Limits()))
        scan(request, {}, lambda reader, tables=tables: tables.append(reader.read_all()))
        found[each.restrictions.table] = tables[0]
    return found


class Session:
    """A locked worker over named tables. `tables` are known by any names; a statement says which stand for what."""

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self._tables = dict(tables)
        self._worker: Any = None
        self._answers: Any = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._statements.put(None)
            self._worker.__exit__(None, None, None)
            self._worker = None

    def ask(self, sql: str, tables: Tables) -> list[Any]:
        """[schema, rows] or [text of the error]."""
        return self.ask_all([(sql, tables)])[0]

    def ask_all(self, asked: Sequence[tuple[str, Tables]]) -> list[list[Any]]:
        """The same of each, two at a time."""
        if not asked:
            return []
        if self._worker is None:
            self._begin()
        self._statements.put([(sql, json.dumps(tables)) for sql, tables in asked])
        self._answers = self._answers or self._worker.stream()  # there is a stream once something was asked
        return [json.loads(text) for text in self._answers.read_next_batch()["answer"].to_pylist()]

    def _begin(self) -> None:
        self._statements: queue.Queue[list[tuple[str, str]] | None] = queue.Queue()
        inputs = {f"t{at}": table.to_reader() for at, table in enumerate(self._tables.values())}
        inputs["statements"] = pa.RecordBatchReader.from_batches(_STATEMENT, self._batches(self._statements))
        request = {"names": {f"t{at}": name for at, name in enumerate(self._tables)}}
        with _on_the_path():
            self._worker = start("tests.attacks.locked:serve", request, limits=LIMITS, inputs=inputs)

    @staticmethod
    def _batches(statements: queue.Queue[list[tuple[str, str]] | None]) -> Iterator[pa.RecordBatch]:
        while (item := statements.get()) is not None:
            sql, tables = zip(*item, strict=True)
            yield pa.RecordBatch.from_pydict({"sql": sql, "tables": tables}, schema=_STATEMENT)


def serve(
    request: dict[str, Any], inputs: Mapping[str, pa.RecordBatchReader], emit: Callable[[pa.RecordBatchReader], None]
) -> dict[str, Any]:
    """Entry of a session's worker."""
    tables = {name: inputs[at].read_all() for at, name in request["names"].items()}

    def answers() -> Iterator[pa.RecordBatch]:
        for batch in inputs["statements"]:
            asked = list(zip(batch["sql"].to_pylist(), map(json.loads, batch["tables"].to_pylist()), strict=True))
            told: list[str] = []
            for at in range(0, len(asked), AT_ONCE):
                running = [_fork(sql, wanted, tables) for sql, wanted in asked[at : at + AT_ONCE]]
                told += [_told_by(child, read) for child, read in running]
            yield pa.RecordBatch.from_pydict({"answer": told}, schema=_ANSWER)

    emit(pa.RecordBatchReader.from_batches(_ANSWER, answers()))
    return {}


def _fork(sql: str, wanted: Tables, tables: Mapping[str, pa.Table]) -> tuple[int, int]:
    """A process that answers one statement, and where it writes the answer as JSON."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(json.dumps(_answer(sql, wanted, tables)).encode())
        finally:
            os._exit(0)
    os.close(write)
    return child, read


def _told_by(child: int, read: int) -> str:
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return answer or json.dumps([f"died of {os.waitstatus_to_exitcode(status)}"])


def _answer(sql: str, wanted: Tables, tables: Mapping[str, pa.Table]) -> list[Any]:
    names = {f"input_{at}": table for at, table in enumerate(wanted)}
    streams = {name: tables[wanted[table][0]].select(wanted[table][1]).to_reader() for name, table in names.items()}
    shown: list[Any] = []

    def keep(reader: pa.RecordBatchReader) -> None:
        shown.append(str(reader.schema))
        shown.append([list(map(told, row.values())) for row in reader.read_all().to_pylist()])

    one = {"sql": sql, "tables": names, "threads": 1, "memory_mb": MEMORY_MB, "max_rows": None}
    try:
        locked.run(one, streams, keep)
    except GovernanceError as error:
        return [str(error)]
    return shown


def told(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, str)) else repr(value)


@contextmanager
def _on_the_path() -> Iterator[None]:
    """A child finds this module: workers import from the installed package alone."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
