"""Sensitive values of the demo city, taken from its sources, and a search for them in every file of a home."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from tests.demo.delivered import delivered
from tests.pipeline.home import ROOT

SENSITIVE = {"resident_no": 18, "relative_no": 18, "phone": 11, "address": 8, "name": 3}
"""Columns and the least length of a value that cannot stand somewhere by chance."""
PUBLIC = ("market_supervision.legal_representatives", "market_supervision.enterprises", "tax.taxpayers")
"""Here names and addresses are of enterprises, or of those who represent them: they are open."""
_DIGITS = re.compile(rb"[0-9]{11,}[0-9Xx]?")
_CHINESE = re.compile(rb"(?:[\xe3-\xe9][\x80-\xbf]{2}|[0-9])+")
_GZIP, _ZSTD = re.compile(rb"\x1f\x8b\x08"), re.compile(rb"\x28\xb5\x2f\xfd")
_SAMPLE = 40
_MOST_UNPACKED_BYTES = 1 << 24


@dataclass(frozen=True)
class Canaries:
    """Values that must be nowhere in the clear. All are looked for in UTF-8, some of each column also in other encodings."""

    values: frozenset[bytes]
    others: tuple[bytes, ...]

    def found(self, data: bytes) -> set[str]:
        """Which canaries are in these bytes."""
        hits = {value for run in _DIGITS.findall(data) for value in self._within(run, (11, 18))}
        for run in _CHINESE.findall(data):
            if len(run) >= 9:
                hits |= self._of_text(run)
        hits |= {value for value in self.others if value in data}
        return {value.hex() for value in hits}

    def _within(self, run: bytes, lengths: Iterable[int]) -> Iterator[bytes]:
        for length in lengths:
            for start in range(len(run) - length + 1):
                if run[start : start + length] in self.values:
                    yield run[start : start + length]

    def _of_text(self, run: bytes) -> set[bytes]:
        text = run.decode("utf-8", "ignore")
        lengths = {len(value.decode("utf-8")) for value in self.values if not value.isdigit()} - {18}
        parts = (text[i : i + n].encode("utf-8") for n in lengths for i in range(len(text) - n + 1))
        return {part for part in parts if part in self.values}


def canaries(sources: Iterable[Path]) -> Canaries:
    """The sensitive values of these deliveries, without those that an open field or a declaration also holds."""
    by_column: dict[str, set[str]] = {}
    public = {
        text for path in (ROOT / "catalog").rglob("*.yaml") for text in re.findall(r"[一-鿿]+", path.read_text("utf-8"))
    }
    for folder in sources:
        for name, table in delivered(folder).items():
            for column, shortest in SENSITIVE.items():
                if column not in table.column_names:
                    continue
                values = {v for v in table[column].to_pylist() if v and len(v) >= shortest}
                if name in PUBLIC and column in ("name", "address"):
                    public |= values
                else:
                    by_column.setdefault(column, set()).update(values)
    by_column = {column: values - public for column, values in by_column.items()}
    chosen = [v for values in by_column.values() for v in sorted(values)[:: max(1, len(values) // _SAMPLE)]]
    others = [v.encode("utf-16-le") for v in chosen] + [v.encode("gb18030") for v in chosen if not v.isascii()]
    others += [json.dumps(v)[1:-1].encode() for v in chosen if not v.isascii()]
    return Canaries(frozenset(v.encode("utf-8") for values in by_column.values() for v in values), tuple(others))


def places(looked_for: Canaries, folder: Path, *, without: Iterable[Path] = ()) -> dict[str, set[str]]:
    """file below `folder` -> canaries in it, as they are, in what gzip, zlib or zstd packed, and in clear columns of Parquet."""
    excepted = tuple(without)
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(path.is_relative_to(other) for other in excepted):
            continue
        data = path.read_bytes()
        hits = looked_for.found(path.as_posix().encode()) | looked_for.found(data)
        for unpacked in _unpacked(data):
            hits |= looked_for.found(unpacked)
        if path.suffix == ".parquet":
            for column in clear_columns(path):
                hits |= looked_for.found(column)
        if hits:
            found[path.relative_to(folder).as_posix()] = hits
    return found


def clear_columns(path: Path) -> Iterator[bytes]:
    """The distinct values of every column that DuckDB reads without a key, as text, one blob a column."""
    with duckdb.connect() as con:
        names = [
            row[0]
            for row in con.execute(
                "SELECT name FROM parquet_schema(?) WHERE num_children IS NULL", [str(path)]
            ).fetchall()
        ]
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            try:
                rows = con.execute(f"SELECT DISTINCT {quoted}::VARCHAR FROM read_parquet(?)", [str(path)]).fetchall()  # noqa: S608
            except duckdb.Error:
                continue
            yield "\n".join(row[0] for row in rows if row[0] is not None).encode("utf-8")


def _unpacked(data: bytes) -> Iterator[bytes]:
    for hit in _GZIP.finditer(data):
        try:
            yield zlib.decompressobj(31).decompress(data[hit.start() :], _MOST_UNPACKED_BYTES)
        except zlib.error:
            continue
    for hit in _ZSTD.finditer(data):
        try:
            with pa.CompressedInputStream(pa.BufferReader(memoryview(data)[hit.start() :]), "zstd") as stream:
                yield stream.read(_MOST_UNPACKED_BYTES)
        except (OSError, pa.ArrowInvalid):
            continue
    if data[:1] == b"\x78":
        try:
            yield zlib.decompressobj().decompress(data, _MOST_UNPACKED_BYTES)
        except zlib.error:
            return
