"""`Worker`: the parent's hold on one child process.

Four kinds of threads, all daemons: one writes each input stream, one reads the result, one watches time and memory.
None of them waits for another, so a child that dies at any point ends them all. An Arrow stream that merely stops
looks complete to a reader: therefore the child is killed *before* a failed input is closed, and `stream()` ends only
after the child said that it finished.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import pyarrow as pa

from governance import errors
from governance.workers import pool
from governance.workers.limits import Limits

_PIPE_BYTES = 1 << 20
_WATCH_SECONDS = 0.05
_SHORT_BYTES, _MESSAGE_BYTES = 4096, 1 << 28

Input: TypeAlias = pa.RecordBatchReader | Callable[[], pa.RecordBatchReader]
"""A stream, or what gives one when the child is ready for it: so that workers that feed one another start side by
side.
"""


class Worker:
    """One child, running from construction on. Use as a context manager; leaving it kills what still runs.

    `stream` and `result` raise the child's own error when its class is ours, else WorkerFailed with a reason and no
    engine text. The kernel ends the child with the *thread* that started it: this one, or the pool's, which lives as long
    as the process.
    """

    def __init__(self, entry: str, request: Mapping[str, Any], limits: Limits, inputs: Mapping[str, Input]) -> None:
        self.entry, self.limits = entry, limits
        self._killed_for: errors.GovernanceError | None = None
        self._input_error: BaseException | None = None
        self._answer = b""
        self._over, self._left = threading.Event(), False
        self._stream: pa.RecordBatchReader | None = None
        asked = {"request": dict(request), "limits": asdict(limits), "inputs": list(inputs)}
        message = json.dumps(asked).encode("utf-8")
        pipes = {name: _pipe() for name in inputs}
        output_read, output_write = _pipe()
        result_read, result_write = _pipe()
        theirs = [*(read for read, _ in pipes.values()), output_write, result_write]
        child = pool.take(entry, limits)
        self._process = child.process
        self._output = io.BufferedReader(io.FileIO(output_read, "rb"), _PIPE_BYTES)
        self._threads = [
            self._thread(self._ask, child, message, theirs),
            self._thread(self._read_answer, result_read),
            *(self._thread(self._feed, inputs[name], write) for name, (_, write) in pipes.items()),
            self._thread(self._watch),
        ]

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        self._over.set()
        if not self._left:
            self._left = True
            if self._answer:  # its memory is given back while nobody waits for it
                self._thread(self._reap)
            else:
                self._reap()
        for thread in self._threads:
            thread.join(timeout=1.0)
        with contextlib.suppress(OSError):
            self._output.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stream(self) -> pa.RecordBatchReader:
        """The stream that the child emits. Its last batch is followed by the child's error, if there is one."""
        if self._stream is None:
            if not self._output.peek(1):
                self._finish()
                raise errors.WorkerFailed("gave no stream", where=self.entry)
            try:
                source = pa.ipc.open_stream(_Bounded(self._output) if self.limits.muted else self._output)
            except (pa.ArrowException, OSError, EOFError):
                self.kill("gave a damaged stream")
                self._finish()
                raise errors.WorkerFailed("gave a damaged stream", where=self.entry) from None
            self._stream = pa.RecordBatchReader.from_batches(source.schema, self._batches(source))
        return self._stream

    def result(self) -> dict[str, Any]:
        """What the entry returned; waits for the child. What is left of the stream is read and dropped."""
        if self._stream is None:
            while self._output.read(_PIPE_BYTES):
                pass
        else:
            for _ in self._stream:
                pass
        return self._finish()

    def kill(self, reason: str = "was cancelled", *, error: errors.GovernanceError | None = None) -> None:
        """End the child and whatever it started, at once. Later calls of `stream` and `result` raise `error`, else
        WorkerFailed with `reason`. A child that has ended is left as it is.
        """
        if self._process.poll() is None:
            self._killed_for = self._killed_for or error or errors.WorkerFailed(reason, where=self.entry)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _batches(self, source: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        while True:
            try:
                batch = source.read_next_batch()
                if self.limits.locked:  # it ran somebody's text: its offsets and lengths are not to be trusted
                    batch.validate(full=True)
            except StopIteration:
                break
            except (pa.ArrowException, OSError, EOFError):
                self._finish()
                raise errors.WorkerFailed("gave a damaged stream", where=self.entry) from None
            if self._killed_for:
                raise self._killed_for
            yield batch
        self._finish()

    def _finish(self) -> dict[str, Any]:
        """The result, or the one error that explains its absence."""
        self._threads[1].join()
        if not self._answer:
            self._process.wait()
        self._over.set()
        if self._input_error is not None:
            raise self._input_error
        if self._answer:
            if self.limits.muted:
                if self._killed_for:
                    raise self._killed_for
                return _plain(self._answer, self.entry)
            answer: dict[str, Any] = json.loads(self._answer)
            if "error" in answer:
                raise raised(answer["error"])
            result: dict[str, Any] = answer["result"]
            return result
        if self._killed_for:
            raise self._killed_for
        code = self._process.returncode
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise errors.WorkerFailed(f"died of {cause}", where=self.entry)

    def _reap(self) -> None:
        self._process.wait()
        pool.used()

    def _thread(self, target: Any, *args: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    def _ask(self, child: pool.Child, message: bytes, descriptors: Sequence[int]) -> None:
        child.ask(message, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _read_answer(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as pipe:
            self._answer = pipe.read(_SHORT_BYTES if self.limits.muted else -1)

    def _feed(self, given: Input, descriptor: int) -> None:
        with contextlib.suppress(OSError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
            writer: Any = None
            while True:
                try:
                    if writer is None:
                        source = given() if callable(given) else given
                        batch, writer = None, pa.ipc.new_stream(pipe, source.schema)
                    else:
                        batch = source.read_next_batch()
                except StopIteration:
                    break
                except BrokenPipeError:
                    return
                except BaseException as error:
                    self._lose_input(error)
                    return
                if batch is not None:
                    writer.write_batch(batch)
            writer.close()

    def _lose_input(self, error: BaseException) -> None:
        """Keep why an input failed, and end the child before its pipe closes: it must not take a part for the whole."""
        if self._process.poll() is None:
            self._input_error = error
            self.kill("lost an input")
            self._process.wait()

    def _watch(self) -> None:
        deadline = time.monotonic() + self.limits.seconds
        while not self._over.wait(_WATCH_SECONDS) and self._process.poll() is None:
            if time.monotonic() > deadline:
                self.kill(f"passed its time limit of {self.limits.seconds:g} s")
            elif _anonymous_mb(self._process.pid) > self.limits.memory_mb:
                self.kill(f"passed its memory limit of {self.limits.memory_mb} MB")


class _Bounded:
    """A stream that gives no more at once than a batch may have: whoever wrote it may claim any length."""

    closed, mode = False, "rb"

    def __init__(self, source: io.BufferedIOBase) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        if size > _MESSAGE_BYTES:
            raise OSError("a message that is too long")
        return self._source.read(size)


def raised(told: Mapping[str, Any]) -> errors.GovernanceError:
    """The error that a child told of, as the same class.

    >>> raised({"class": "Refused", "found": "no", "where": "", "allowed": "", "do": "ask"})
    Refused('no; ask')
    """
    if told["class"] == "DeclarationError":
        return errors.DeclarationError(tuple(errors.Fault(*fault) for fault in told["faults"]))
    kind = getattr(errors, told["class"], None)
    if not (isinstance(kind, type) and issubclass(kind, errors.GovernanceError)):
        kind = errors.WorkerFailed
    return kind(told["found"], where=told["where"], allowed=told["allowed"], do=told["do"])


def _plain(answer: bytes, entry: str) -> dict[str, Any]:
    """The result of a child that may have written whatever it liked."""
    try:
        result = json.loads(answer)["result"]
    except (ValueError, LookupError, TypeError, RecursionError):
        result = None
    if not isinstance(result, dict):
        raise errors.WorkerFailed("gave no answer", where=entry)
    return result


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    with contextlib.suppress(OSError):  # the system's limit on pipe memory is not ours to judge
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return read, write


def _anonymous_mb(pid: int) -> int:
    """Resident anonymous and shared memory of a process; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return sum(int(kb) for kb in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status, re.MULTILINE)) // 1024
