"""`standards/<name>.csv` -> a code set. Pure."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import date

from governance.catalog.types import CodeSet
from governance.errors import Fault

COLUMNS = ("code", "name", "valid_from", "valid_to")


def parse_code_set(text: str, *, file: str, name: str) -> tuple[CodeSet | None, tuple[Fault, ...]]:
    """The codes of one list in the order of the file, and what is wrong with it. Columns: code[,name][,valid_from][,valid_to]."""
    reader = csv.reader(io.StringIO(text), strict=True)
    faults: list[Fault] = []
    try:
        header = next(reader, [])
        faults += _header_faults(header, file)
        if faults:
            return None, tuple(faults)
        codes, ends = _codes(_rows(reader, header, file, faults), file, faults)
    except csv.Error as error:
        return None, (
            Fault(file, reader.line_num, "", f"not CSV: {error}", "a CSV file with a header", "correct the line"),
        )
    if not codes and not faults:
        faults.append(Fault(file, 1, "code", "no codes", "at least one", "add them, or remove the file"))
    if faults:
        return None, tuple(faults)
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return CodeSet(name, file, digest, tuple(codes), ends["valid_from"], ends["valid_to"]), ()


def _header_faults(header: list[str], file: str) -> list[Fault]:
    allowed = ", ".join(COLUMNS)
    faults = [
        Fault(file, 1, column, "unknown column", allowed, "remove or correct it")
        for column in header
        if column not in COLUMNS
    ]
    faults += [
        Fault(file, 1, c, "a column that stands twice", allowed, "remove one") for c in COLUMNS if header.count(c) > 1
    ]
    if "code" not in header:
        faults.append(Fault(file, 1, "code", "no column 'code'", allowed, "add it"))
    return faults


def _rows(
    reader: Iterator[list[str]], header: list[str], file: str, faults: list[Fault]
) -> Iterator[tuple[int, dict[str, str]]]:
    for cells in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if not cells:
            continue
        if len(cells) != len(header):
            faults.append(
                Fault(file, line, "", f"{len(cells)} cells", f"{len(header)}, as in the header", "correct the line")
            )
            continue
        yield line, dict(zip(header, cells, strict=True))


def _codes(
    rows: Iterator[tuple[int, dict[str, str]]], file: str, faults: list[Fault]
) -> tuple[list[str], dict[str, dict[str, str]]]:
    codes: dict[str, int] = {}
    ends: dict[str, dict[str, str]] = {"valid_from": {}, "valid_to": {}}
    for line, row in rows:
        code = row["code"]
        if not code or code != code.strip():
            faults.append(
                Fault(
                    file,
                    line,
                    "code",
                    "an empty code or blanks around it",
                    "text without blanks around it",
                    "correct it",
                )
            )
        elif code in codes:
            faults.append(
                Fault(
                    file, line, "code", f"{code!r} stands in line {codes[code]} already", "each code once", "remove one"
                )
            )
        codes.setdefault(code, line)
        for column, found in ends.items():
            if row.get(column):
                if not _is_date(row[column]):
                    faults.append(Fault(file, line, column, f"{row[column]!r} is no date", "YYYY-MM-DD", "correct it"))
                found[code] = row[column]
        if (
            code in ends["valid_from"]
            and code in ends["valid_to"]
            and ends["valid_from"][code] >= ends["valid_to"][code]
        ):
            faults.append(
                Fault(file, line, "valid_to", "not after valid_from", "a later date (not included)", "correct it")
            )
    return list(codes), ends


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
