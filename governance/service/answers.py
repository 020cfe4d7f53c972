"""What leaves for a question: one JSON document, or an Arrow stream in pieces.

JSON is whole in memory, so it is bounded and an error has its own status. An Arrow stream of any length passes in
pieces of about a megabyte; if it fails on its way, its last batch is empty and carries the code, and the connection
is cut, so that no reader can take the part for the whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pyarrow as pa

from governance.client import ARROW, ERROR_METADATA
from governance.errors import Refused
from governance.service.jobs import Gone, Head, Job
from governance.service.problems import Problem, Stopped, problem
from governance.use.json_values import json_values
from governance.use.query import Answer

JSON = "application/json"
JSON_ROWS = 10_000
JSON_BYTES = 32 << 20
PIECE_BYTES = 1 << 20


def send_json(answer: Answer, job: Job) -> None:
    """The whole answer as one document. Raises Stopped when it has more than `JSON_ROWS` rows or `JSON_BYTES`."""
    batches = []
    rows = size = 0
    for batch in answer.stream():
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > JSON_ROWS or size > JSON_BYTES:
            do = "aggregate or narrow it" if answer.no_export else f"ask for {ARROW}, aggregate or narrow it"
            raise Stopped(Problem("too_many_rows", f"as JSON an answer has at most {JSON_ROWS} rows", do))
        batches.append(batch)
    table = pa.Table.from_batches(batches, schema=answer.schema)
    told = {
        "columns": [{"name": field.name, "type": str(field.type)} for field in table.schema],
        "rows": [list(row) for row in zip(*map(plain, table.columns), strict=True)],
        "release": answer.release,
        "decision_hash": answer.decision_hash,
        "fields": answer.fields,
        "no_export": answer.no_export,
    }
    body = json.dumps(told, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    if len(body) > JSON_BYTES:
        raise Stopped(Problem("too_many_rows", "the answer is too long for JSON", "aggregate or narrow it"))
    job.put(Head(JSON, {}))
    job.put(body)


def send_arrow(answer: Answer, job: Job) -> None:
    """The answer as an Arrow IPC stream."""
    sink = io.BytesIO()
    writer = pa.ipc.new_stream(sink, answer.schema)
    stream = iter(answer.stream())
    first = [
        batch for batch in (next(stream, None),) if batch is not None
    ]  # most errors come here, and still have a status
    job.put(Head(ARROW, {"X-Gov-Release": answer.release, "X-Gov-Decision": answer.decision_hash}))
    try:
        job.put(_taken(sink))
        for batch in chain(first, stream):
            for piece in pieces(batch):
                writer.write_batch(piece)
                job.put(_taken(sink))
    except Gone:
        raise
    except Exception as error:
        nothing = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in answer.schema], schema=answer.schema)
        writer.write_batch(nothing, custom_metadata={ERROR_METADATA: problem(error).code.encode("ascii")})
        job.put(_taken(sink))
        raise
    writer.close()
    job.put(_taken(sink))


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in slices of about `PIECE_BYTES`.

    >>> [len(piece) for piece in pieces(pa.record_batch({"n": pa.array(range(200_000), pa.int64())}))]
    [100000, 100000]
    """
    count = max(1, -(-batch.nbytes // PIECE_BYTES))
    rows = max(1, -(-batch.num_rows // count))
    return (batch.slice(at, rows) for at in range(0, batch.num_rows, rows))


def plain(column: pa.ChunkedArray) -> list[Any]:
    """`json_values`, as a Problem of this service. Raises Stopped when a value has no form in JSON."""
    try:
        return json_values(column)
    except Refused:
        raise Stopped(Problem("not_representable", "a value has no form in JSON", f"ask for {ARROW}")) from None


def _taken(sink: io.BytesIO) -> bytes:
    written = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return written
