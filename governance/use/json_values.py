"""Values of an answer as JSON has them, the same on the command line and over HTTP."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from governance.errors import Refused


def json_values(column: pa.ChunkedArray) -> list[Any]:
    """A column's values: decimals, dates, instants and bytes (hex) are text, what is no number is text too, NULL is None.

    Raises Refused when a value has no such form (a day beyond the year 9999).

    >>> json_values(pa.chunked_array([[1.5, float("inf"), None]]))
    [1.5, 'inf', None]
    """
    kind = column.type
    try:
        if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
            column = pc.cast(column, pa.string())
        values: list[Any] = column.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError):
        raise Refused("a value has no form in JSON", do="ask for it as text: CAST(… AS VARCHAR)") from None
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_null(kind):
        return values
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
