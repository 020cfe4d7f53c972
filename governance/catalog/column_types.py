"""A contract's types -> `ColumnType`; Java date patterns, which ODCS uses, -> strptime. Pure."""

from __future__ import annotations

import re

from governance.catalog.types import ColumnType, Kind

_PHYSICAL = re.compile(
    r"^\s*([A-Za-z_]\w*(?: +[A-Za-z]\w*)*)\s*(?:\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\))?(?:\s*[A-Za-z][A-Za-z ]*)?\s*$"
)
_BY_PHYSICAL: dict[str, Kind] = {
    **dict.fromkeys(
        ("tinyint", "smallint", "mediumint", "int", "integer", "bigint", "int2", "int4", "int8", "int16"), "integer"
    ),
    **dict.fromkeys(
        ("int32", "int64", "long", "short", "byte", "serial", "bigserial", "uint8", "uint16", "uint32"), "integer"
    ),
    **dict.fromkeys(
        ("float", "float4", "float8", "float32", "float64", "real", "double", "double precision", "binary_double"),
        "double",
    ),
    **dict.fromkeys(("decimal", "numeric", "number", "dec", "money", "bignumeric"), "decimal"),
    **dict.fromkeys(("bool", "boolean", "bit"), "boolean"),
    "date": "date",
    **dict.fromkeys(
        ("timestamp", "datetime", "datetime2", "smalldatetime", "timestamptz", "timestamp_ntz"), "timestamp"
    ),
    **dict.fromkeys(
        ("timestamp_tz", "timestamp_ltz", "timestamp with time zone", "timestamp without time zone"), "timestamp"
    ),
}
_BY_LOGICAL: dict[str, Kind] = {
    "string": "string",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "time": "string",
    "object": "string",
    "array": "string",
}
_JAVA = {
    "yyyy": "%Y", "uuuu": "%Y", "y": "%Y", "u": "%Y", "yy": "%y", "MM": "%m", "M": "%m", "MMM": "%b", "MMMM": "%B", "dd": "%d",
    "d": "%d", "DDD": "%j", "HH": "%H", "H": "%H", "hh": "%I", "h": "%I", "mm": "%M", "m": "%M", "ss": "%S", "s": "%S",
    "SSS": "%f", "SSSSSS": "%f", "a": "%p", "EEE": "%a", "EEEE": "%A", "XXX": "%z", "XX": "%z", "X": "%z", "Z": "%z", "xxx": "%z", "xx": "%z",
}  # fmt: skip
_ISO = frozenset({"iso8601", "iso-8601", "iso 8601", "date", "date-time", "datetime", "yyyy-mm-dd"})


def column_type(logical: str | None, physical: str | None) -> ColumnType | None:
    """The type that the two words give; text for what DuckDB has no scalar for. None: a decimal that is not 1..38 digits wide.

    >>> column_type("number", "DECIMAL(18,2)")
    ColumnType(kind='decimal', precision=18, scale=2)
    >>> [column_type(*t).kind for t in [("number", None), ("object", None), (None, "varchar(20)"), (None, "int unsigned")]]
    ['double', 'string', 'string', 'integer']
    >>> [column_type(None, t).kind for t in ("bigint", "double precision", "timestamp(6) with time zone", "DATE", "date[]")]
    ['integer', 'double', 'timestamp', 'date', 'string']
    """
    match = _PHYSICAL.match(physical or "")
    name = " ".join(match[1].lower().split()) if match else ""
    name = name if name in _BY_PHYSICAL else name.partition(" ")[0]
    kind = (
        _BY_LOGICAL.get(logical)
        if logical and logical != "number"
        else _BY_PHYSICAL.get(name, "double" if logical else "string")
    )
    if logical == "number" and kind not in ("decimal", "integer"):
        kind = "double"
    if kind is None:
        return ColumnType("string")
    if kind != "decimal":
        return ColumnType(kind)
    if match is None or match[2] is None:
        return ColumnType("double") if name != "money" else ColumnType("decimal", 19, 4)
    precision, scale = int(match[2]), int(match[3] or 0)
    if not 1 <= precision <= 38 or not 0 <= scale <= precision:
        return None
    return ColumnType("decimal", precision, scale)


def strptime_format(pattern: str) -> str | None:
    """`pattern` as strptime has it; None when a letter of it has no counterpart. A pattern with `%` is strptime already.

    >>> strptime_format("yyyy-MM-dd'T'HH:mm:ss"), strptime_format("%d/%m/%Y"), strptime_format("QQQ")
    ('%Y-%m-%dT%H:%M:%S', '%d/%m/%Y', None)
    """
    if "%" in pattern:
        return pattern
    parts = []
    for part in _tokens(pattern):
        if part.startswith("'"):
            parts.append(part[1:-1].replace("''", "'") or "'")
        elif part[0].isascii() and part[0].isalpha():
            if part not in _JAVA:
                return None
            parts.append(_JAVA[part])
        else:
            parts.append(part)
    return "".join(parts)


def is_iso(pattern: str) -> bool:
    """Whether a declared format only says ISO 8601, which is what a missing one means.

    >>> is_iso("ISO8601"), is_iso("dd/MM/yyyy")
    (True, False)
    """
    return pattern.strip().lower() in _ISO


def _tokens(pattern: str) -> list[str]:
    return [match[0] for match in re.finditer(r"'(?:[^']|'')*'|([A-Za-z])\1*|.", pattern)]
