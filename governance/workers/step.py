"""Runs the text of a Python step (`def rows(inputs)`) over streams of rows, in a locked worker that holds nothing else.

What it may import is loaded first. Then, before a line of the text runs, the process has an empty environment, no
network, no file, no other program and no way to reach another process. Whatever the text raises stays here: class and
line leave, and whoever started the worker believes neither without looking.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

import pyarrow as pa

from governance.workers import isolation

BATCH_ROWS = 65_536
"""Rows that leave at once, however many are given at once."""
_LATER: Mapping[str, tuple[str, ...]] = {
    "": ("encodings.gb18030", "encodings.gbk", "encodings.big5", "_strptime"),
    "pyarrow": ("pyarrow.compute", "pyarrow.acero", "pyarrow.dataset"),
}
"""What a module imports when it is used; of none: Python itself."""
UNLOCKED = "Unlocked"
"""The kernel does not let this process give up files and processes."""


def run(
    request: Mapping[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: `text`, the `file`'s name and the `modules` that it imports. Result: `failed` (class, line) when the text
    raised, or UNLOCKED when it was not run; `empty` when it gave no batch, and so no stream."""
    _load(request["modules"])
    code = compile(request["text"], request["file"], "exec", dont_inherit=True)
    os.environ.clear()
    if not (isolation.forbid_files() and isolation.forbid_others()):
        return {"failed": UNLOCKED}
    sys.modules["step"] = module = ModuleType("step")
    try:
        exec(code, module.__dict__)
        reader = _reader(module.rows(dict(inputs)))
        if reader is None:
            return {"empty": True}
        emit(reader)
    except BaseException as error:
        return {"failed": type(error).__name__, "line": _line(error, request["file"])}
    return {}


class NotRows(TypeError):
    """`rows` gave something else."""


def _load(modules: Iterable[str]) -> None:
    """Import what the text imports, and whatever that loads on first use: afterwards no file can be opened."""
    time.localtime()
    pa.table({"a": [1]}).to_reader().read_all()
    named = ("", *modules)
    for name in (*modules, *(late for module in named for late in _LATER.get(module, ()))):
        with suppress(ImportError):  # the text's own import statement will say so
            importlib.import_module(name)
    if "pyarrow.compute" in sys.modules:
        with suppress(pa.ArrowException):  # where there are no time zones, the text does without them too
            sys.modules["pyarrow.compute"].strftime(pa.array([0], pa.timestamp("s")))
    if "duckdb" in sys.modules:
        import duckdb

        from governance.workers.warm import warm

        with duckdb.connect() as con:
            warm(con)


def _reader(given: object) -> pa.RecordBatchReader | None:
    """What `rows` gave as one stream; None of no batch at all."""
    if isinstance(given, pa.RecordBatchReader):
        return pa.RecordBatchReader.from_batches(given.schema, _batches(given))
    if isinstance(given, pa.Table):
        return given.to_reader(max_chunksize=BATCH_ROWS)
    if isinstance(given, pa.RecordBatch):
        given = [given]
    if not isinstance(given, Iterable):
        raise NotRows
    batches = _batches(given)
    first = next(batches, None)
    if first is None:
        return None
    return pa.RecordBatchReader.from_batches(first.schema, _after(first, batches))


def _batches(given: Iterable[object]) -> Iterator[pa.RecordBatch]:
    for part in given:
        if isinstance(part, pa.Table):
            yield from part.to_batches(max_chunksize=BATCH_ROWS)
        elif isinstance(part, pa.RecordBatch):
            for start in range(0, max(part.num_rows, 1), BATCH_ROWS):
                yield part.slice(start, BATCH_ROWS)
        else:
            raise NotRows


def _after(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _line(error: BaseException, file: str) -> int:
    """The innermost line of the text at which it happened; 0 when it happened in none."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
