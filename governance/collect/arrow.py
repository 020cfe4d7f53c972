"""Rows of a driver as Arrow batches, and batches as the bytes of one Arrow IPC stream."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

Batches = Iterator[pa.RecordBatch]


def batches_of_rows(partitions: Iterable[Sequence[Sequence[Any]]], schema: pa.Schema) -> Batches:
    """One batch a partition. Columns of type string take any value, as its exact text (see `text_array`)."""
    for rows in partitions:
        columns = zip(*rows, strict=True)
        arrays = [
            text_array(values) if field.type == pa.string() else pa.array(values, field.type)
            for field, values in zip(schema, columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def text_array(values: Sequence[Any]) -> pa.StringArray:
    """The values as text: NULL stays NULL, doubles in the shortest form that gives them back, dates in ISO form.

    >>> text_array([None, 1, 12345678901234567890]).to_pylist()
    [None, '1', '12345678901234567890']
    >>> text_array([0.1, 30790.0]).to_pylist(), text_array([1, "x"]).to_pylist()
    (['0.1', '30790'], ['1', 'x'])
    """
    try:
        found = pa.array(values)
        return found if found.type == pa.string() else found.cast(pa.string())
    except (pa.ArrowException, OverflowError, ValueError, TypeError):
        return pa.array([value if value is None else _text(value) for value in values], pa.string())


def ipc_chunks(batches: Batches, schema: pa.Schema, counted: dict[str, int]) -> Iterator[bytes]:
    """The IPC stream (LZ4 buffers) batch by batch; adds to `counted["rows"]` as it goes."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    writer = pa.ipc.new_stream(pa.PythonFile(sink, "w"), schema, options=options)
    for batch in batches:
        writer.write_batch(batch)
        counted["rows"] += batch.num_rows
        yield _drained(sink)
    writer.close()
    yield _drained(sink)


def _drained(sink: io.BytesIO) -> bytes:
    data = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return data


def _text(value: Any) -> str:
    """A value of a column that holds values of several types. Bytes become hexadecimal digits."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return value if isinstance(value, str) else str(value)
