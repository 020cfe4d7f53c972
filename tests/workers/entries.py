"""Entries that the tests of workers start in a child."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pyarrow as pa

from governance.errors import Refused


def double(request, inputs, emit):
    table = inputs["numbers"].read_all()
    out = pa.table({"n": pa.array([2 * n for n in table["n"].to_pylist()])})
    emit(out.to_reader())
    return {"rows": out.num_rows, "greeting": request["greeting"]}


def many(request, inputs, emit):
    schema = pa.schema([("n", pa.int64())])
    batches = (pa.record_batch([pa.array(range(10_000))], schema=schema) for _ in range(request["batches"]))

    def stream():
        for at, batch in enumerate(batches):
            if at == request.get("fail_at"):
                raise Refused("broken off", do="ask")
            if at == request.get("abort_at"):
                os.abort()
            yield batch

    emit(pa.RecordBatchReader.from_batches(schema, stream()))
    return {}


def refuse(request, inputs, emit):
    raise Refused("no such table", where="here", allowed="none", do="ask")


def leak(request, inputs, emit):
    print("CANARY", file=sys.stderr)
    raise ValueError("CANARY value")


def abort(request, inputs, emit):
    os.abort()


def sleep(request, inputs, emit):
    subprocess.Popen(["sleep", "60"])
    time.sleep(60)
    return {}


def eat(request, inputs, emit):
    held = []
    while True:
        held.append(bytearray(16 << 20))
        time.sleep(0.005)


def environment(request, inputs, emit):
    return dict(os.environ)


def reach(request, inputs, emit):
    answers = {}
    for name, act in {
        "connect": lambda: socket.create_connection(("127.0.0.1", request["port"]), timeout=2).close(),
        "program": lambda: subprocess.run(["true"], check=True),
    }.items():
        try:
            act()
            answers[name] = "worked"
        except OSError as error:
            answers[name] = type(error).__name__
    return answers
