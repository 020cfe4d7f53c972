"""The other side of a worker: `python -P -m governance.workers.child ENTRY`, started by `pool.py` and by nobody else.

Standard input is a socket to the parent. By the first message it isolates itself, while it has one thread, and, when it
is to wait in a pool, imports its entry; with the second come the request and the pipes of its streams. It calls the
entry, and answers on the result pipe. What it raises is told by class and attributes when the class is ours, else by
class and place alone: an engine's text may hold values.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance import errors
from governance.process import few_arenas, leave
from governance.workers import isolation

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_PIPES = 250


def main(entry: str) -> None:
    """Run the worker to its end. Exit code 0 whenever an answer was written."""
    with socket.socket(fileno=os.dup(0)) as control:
        begun = _message(control)
        isolation.settle(begun["parent"])
        few_arenas()
        failed = _isolated(entry, begun)
        if begun["ready"]:
            with suppress(OSError):  # it may have been asked, and its parent's end be closed
                control.sendall(b"\1")
        _, descriptors, _, _ = socket.recv_fds(control, 1, _MOST_PIPES)
        if not descriptors:
            leave(0)  # nobody needs it any more
        message = _message(control)
    os.close(0)
    *inputs, output, result = descriptors
    answer = failed or _answer(entry, message, dict(zip(message["inputs"], inputs, strict=True)), output)
    with os.fdopen(result, "wb") as pipe:
        pipe.write(json.dumps(answer).encode("utf-8"))
    leave(0)


def told(error: BaseException) -> dict[str, Any]:
    """An error as JSON: everything of ours, class and place of anything else.

    >>> told(errors.Refused("no", do="ask"))["do"]
    'ask'
    >>> told(ValueError("secret"))["found"]
    'ValueError'
    """
    if isinstance(error, errors.DeclarationError):
        return {"class": "DeclarationError", "faults": [_fault(fault) for fault in error.faults]}
    if isinstance(error, errors.GovernanceError):
        parts = {name: getattr(error, name, "") for name in ("where", "found", "allowed", "do")}
        return {"class": type(error).__name__, **parts}
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    ours = [f for f in frames if "governance" in Path(f.filename).parts]
    if ours:
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return {"class": "WorkerFailed", "found": type(error).__name__, "where": place, "allowed": "", "do": ""}


def _isolated(entry: str, begun: Mapping[str, Any]) -> dict[str, Any]:
    """Give up what the parent said; an answer that says why not, or none. What waits also prepares its entry."""
    try:
        apart = begun["network"] or isolation.leave_network()
        if begun["locked"] and not isolation.forbid_reach() and not apart:
            return {"error": told(errors.WorkerFailed("a locked worker could not give up the network", do="see docs"))}
        if begun["ready"]:
            getattr(importlib.import_module(entry.partition(":")[0]), "prepare", int)()
    except BaseException as error:
        return {"error": told(error)}
    return {}


def _answer(entry: str, message: Mapping[str, Any], inputs: Mapping[str, int], output: int) -> dict[str, Any]:
    try:
        isolation.limit_data(message["limits"]["memory_mb"])
        module, _, name = entry.partition(":")
        function = getattr(importlib.import_module(module), name)
        result = function(message["request"], _inputs(inputs), _emitter(output))
    except BaseException as error:
        return {"error": told(error)}
    return {"result": result}


def _message(control: socket.socket) -> dict[str, Any]:
    """The next length-prefixed JSON message; the process ends when the parent has gone."""
    return json.loads(_bytes(control, int.from_bytes(_bytes(control, 8), "big")))  # type: ignore[no-any-return]


def _bytes(control: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = control.recv(size - len(found))
        if not part:
            leave(0)
        found += part
    return bytes(found)


def _inputs(descriptors: Mapping[str, int]) -> dict[str, pa.RecordBatchReader]:
    if not descriptors:
        return {}
    import pyarrow as pa

    return {name: pa.ipc.open_stream(os.fdopen(fd, "rb", buffering=1 << 20)) for name, fd in descriptors.items()}


def _emitter(descriptor: int) -> Callable[[pa.RecordBatchReader], None]:
    emitted = False

    def emit(reader: pa.RecordBatchReader) -> None:
        """Write the worker's one stream."""
        nonlocal emitted
        if emitted:
            raise errors.WorkerFailed("a worker emits one stream")
        emitted = True
        import pyarrow as pa

        with os.fdopen(descriptor, "wb", buffering=0) as sink, pa.ipc.new_stream(sink, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)

    return emit


def _fault(fault: errors.Fault) -> list[Any]:
    return [fault.file, fault.line, fault.path, fault.found, fault.allowed, fault.do]


if __name__ == "__main__":
    main(sys.argv[1])
