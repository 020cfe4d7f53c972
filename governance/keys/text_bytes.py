"""The bytes of an array of texts (Arrow's `string`), as they lie one after the other. Slices give their own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def ends_of(texts: pa.Array) -> npt.NDArray[np.int32]:
    """Where each text begins in its buffer, and where the last ends: one number more than there are texts.

    >>> ends_of(pa.array(["a", "bcd", "e"]).slice(1)).tolist(), ends_of(pa.array([], pa.string())).tolist()
    ([1, 4, 5], [0])
    """
    buffer = texts.buffers()[1]
    return np.frombuffer(buffer or bytes(4), dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]


def bytes_of(texts: pa.Array) -> bytes:
    """
    >>> bytes_of(pa.array(["a", "bcd", "e"]).slice(1))
    b'bcde'
    """
    ends, data = ends_of(texts), texts.buffers()[2]
    return data.slice(int(ends[0]), int(ends[-1] - ends[0])).to_pybytes() if data is not None else b""
