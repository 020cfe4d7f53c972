"""The rows of a Python step, from the side that is trusted: declared columns go in, rows come back, and no word of the
step's own comes out.

Its text runs in a locked worker (`workers.step`). Whatever it answers is looked at before it is believed: the class of
what it raised is told when it is one of Python's, Arrow's or DuckDB's, columns by the contract's names alone.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import duckdb
import pyarrow as pa

from governance import workers
from governance.catalog.steps import FUNCTION, modules
from governance.catalog.types import TOKEN_SUFFIX, Model
from governance.develop.inputs import connection, quoted
from governance.develop.output import castable
from governance.develop.request import BuildRequest, Input
from governance.errors import DeclarationError, GovernanceError, WorkerFailed
from governance.lake.lake import BATCH_ROWS, Lake
from governance.lake.specs import curated_spec
from governance.workers.parent import Worker
from governance.workers.step import UNLOCKED, NotRows

STEP_MEMORY_MB = 256
"""What a step's process may use beside `engine.memory_limit_mb`: the interpreter and the libraries that it loads."""

_ENTRY = "governance.workers.step:run"
_MADE_UP = "try the step on made-up rows"
_CLASSES = frozenset(
    name
    for module in (builtins, pa, duckdb)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, BaseException)
)
"""Classes of errors that are told by name: a step may name its own after a value."""


@contextmanager
def step_rows(job: BuildRequest, lake: Lake) -> Iterator[pa.RecordBatchReader]:
    """The rows of a step that runs, to be read once and to the end: a reader that ends is the word that it did not fail.

    Raises GovernanceError with what went wrong in the step, whatever the reader of its rows made of that; WorkerFailed
    when it passed a limit.
    """
    limits = workers.Limits(
        memory_mb=job.settings.memory_limit_mb + STEP_MEMORY_MB,
        seconds=job.settings.step_seconds,
        locked=True,
        muted=True,
    )
    request = {"text": job.model.sql, "file": job.model.file, "modules": list(modules(job.model.sql))}
    failures: list[GovernanceError] = []
    with ExitStack() as stack:
        inputs = {i.table: partial(_input, stack.enter_context(_connected(i, job, lake)), i) for i in job.inputs}
        worker = stack.enter_context(workers.start(_ENTRY, request, limits=limits, inputs=inputs))
        try:
            yield _stream(worker, job.model, failures)
        except (GovernanceError, pa.ArrowException, OSError) as error:
            raise failures[0] if failures else _told(error, job.model) from None


def held_rows(job: BuildRequest, lake: Lake) -> pa.Table:
    """All rows of the step, for what reads them more than once. Raises GovernanceError when they do not fit into
    `engine.memory_limit_mb`."""
    with step_rows(job, lake) as reader:
        batches, held_bytes = [], 0
        for batch in reader:
            held_bytes += batch.nbytes
            if held_bytes > job.settings.memory_limit_mb << 20:
                do = "raise engine.memory_limit_mb, or make fewer columns"
                raise GovernanceError("its rows do not fit into memory", do=do)
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def require_columns(columns: Sequence[tuple[str, str]], model: Model) -> None:
    """Columns with their DuckDB types against the contract's fields and their tokens. Names that the contract does not
    have are counted, not told: they may be made of values."""
    found, faults = dict(columns), []
    wanted = [column.name for column in curated_spec(model).columns]
    kinds = {field.name: field.type for field in model.contract.fields}
    if missing := [name for name in wanted if name not in found]:
        faults.append(f"no column {', '.join(missing)}")
    if extra := len(columns) - len(wanted) + len(missing):
        faults.append(f"{extra} columns that the contract does not have")
    for name in wanted:
        token = name not in kinds or name.endswith(TOKEN_SUFFIX)
        base = found.get(name, "NULL").partition("(")[0]
        if name in found and not (base == "BLOB" if token else castable(base, kinds[name].kind)):
            faults.append(f"{name} of a type that does not become {'a token' if token else kinds[name].duckdb()}")
    if faults:
        allowed = f"exactly {', '.join(wanted)}"
        raise GovernanceError("; ".join(faults), where=model.file, allowed=allowed, do=f"correct what {FUNCTION} gives")


def _connected(source: Input, job: BuildRequest, lake: Lake) -> Any:
    return connection([source], lake=lake, settings=job.settings, grant_id=job.grant_id, sensitive=job.sensitive)


def _input(con: duckdb.DuckDBPyConnection, source: Input) -> pa.RecordBatchReader:
    """The declared columns of one table."""
    schema, _, table = source.table.partition(".")
    names = ", ".join(map(quoted, source.reads))
    statement = f"SELECT {names} FROM {quoted(schema)}.{quoted(table)}"  # noqa: S608 - quoted names
    reader = con.sql(statement).to_arrow_reader(BATCH_ROWS)
    return pa.RecordBatchReader.from_batches(reader.schema, _quiet(reader))


def _quiet(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """An engine's error by its class alone."""
    try:
        yield from reader
    except (duckdb.Error, pa.ArrowException, RuntimeError, OSError) as error:
        raise GovernanceError(f"an input could not be read: {type(error).__name__}") from None


def _stream(worker: Worker, model: Model, failures: list[GovernanceError]) -> pa.RecordBatchReader:
    try:
        stream = worker.stream()
    except WorkerFailed:
        if not _answer(worker, model).get("empty"):
            raise
        columns = curated_spec(model).columns
        return pa.schema(
            [(c.name, pa.binary() if c.type.startswith("fixed") else pa.null()) for c in columns]
        ).empty_table().to_reader()  # fmt: skip

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from stream
            _answer(worker, model)
        except GovernanceError as error:
            failures.append(_told(error, model))
            raise

    return pa.RecordBatchReader.from_batches(stream.schema, batches())


def _answer(worker: Worker, model: Model) -> dict[str, Any]:
    """What the step's process answered; its failure raised."""
    answer = worker.result()
    if "failed" not in answer:
        return answer
    name, line = answer["failed"], answer.get("line")
    place = f"{model.file}:{line}" if type(line) is int and 0 < line <= model.sql.count("\n") + 1 else model.file
    if name == UNLOCKED:
        found, allowed = "a step cannot be locked on this machine", "Linux on x86-64 or arm64, with seccomp"
        raise GovernanceError(found, where=model.file, allowed=allowed, do="build it there")
    if name == NotRows.__name__:
        found, allowed = f"{FUNCTION} gives no rows of Arrow", "a table, a reader of batches, or batches one by one"
        raise GovernanceError(found, where=place, allowed=allowed, do="correct it")
    known = name if isinstance(name, str) and name in _CLASSES else "an error of its own class"
    raise GovernanceError(f"the step raised {known}", where=place, do=_MADE_UP)


def _told(error: Exception, model: Model) -> GovernanceError:
    """An error of ours at the step's file, anything else by its class alone."""
    if not isinstance(error, GovernanceError):
        return GovernanceError(f"its rows could not be read: {type(error).__name__}", where=model.file, do=_MADE_UP)
    if isinstance(error, DeclarationError) or error.where not in ("", _ENTRY):
        return error
    limits = "raise engine.memory_limit_mb or engine.step_seconds" if "limit" in error.found else _MADE_UP
    return type(error)(error.found, where=model.file, allowed=error.allowed, do=error.do or limits)
