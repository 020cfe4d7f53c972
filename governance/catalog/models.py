"""`curated/<model>.sql`, `curated/<model>.py` and `curated/<model>.<check>.check.sql`: the text and what its head
declares. Pure.

The head is the block of comment lines (`--`, in Python `#`) before the first other line. Our declarations in it, one a
line:

    -- gov.tolerance: why this model may give slightly different rows on another engine
    -- gov.declassify: column L2 because evidence
    -- gov.lineage: column from police.residents.name, tax.invoices.amount because evidence     (`*`: the rows; `nothing`)
    -- gov.severity: warn | stop                     (checks only)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Literal

from governance.catalog.steps import step_faults
from governance.catalog.types import Check, Dataset, Level, Model
from governance.errors import Fault

_OURS = re.compile(r"^\s*(?:--|#)\s*(gov\.[\w.]*)\s*(:?)\s*(.*?)\s*$")
_LINEAGE = re.compile(r"^(?P<column>\*|\S+)\s+from\s+(?P<sources>\S.*?)\s+because\s+(?P<evidence>\S.*)$")
_SOURCE = re.compile(r"^[^\s.,]+\.[^\s.,]+\.[^\s.,]+$")
_DECLASSIFY = re.compile(r"^(?P<column>\S+)\s+(?P<level>L[1-4])\s+because\s+(?P<evidence>\S.*)$")


def parse_model(text: str, *, file: str, name: str, contract: Dataset) -> tuple[Model, tuple[Fault, ...]]:
    """The model `name`, without its checks, and what is wrong with its head; of a step (`.py`) with its Python too."""
    python = file.endswith(".py")
    faults = [*step_faults(text, file)] if python else [*_empty(text, file)]
    tolerance: str | None = None
    declassify: dict[str, tuple[Level, str]] = {}
    lineage: dict[str, tuple[tuple[str, ...], str]] = {}
    for line, key, value in _head(text, file, ("gov.tolerance", "gov.declassify", "gov.lineage"), faults):
        if key == "gov.lineage":
            faults += _lineage(value, lineage, file, line)
            continue
        if key == "gov.tolerance":
            if tolerance is not None:
                faults.append(Fault(file, line, key, "a tolerance that stands twice", "one", "keep one"))
            tolerance = value
            continue
        match = _DECLASSIFY.match(value)
        if match is None:
            faults.append(
                Fault(file, line, key, f"{value!r} cannot be read", "COLUMN L1..L4 because EVIDENCE", "correct it")
            )
        elif match["column"] in declassify:
            faults.append(Fault(file, line, key, f"{match['column']!r} stands twice", "each column once", "keep one"))
        else:
            declassify[match["column"]] = (Level(match["level"]), match["evidence"])
    model = Model(
        name,
        text,
        file,
        _digest(text),
        contract,
        tolerance=tolerance,
        declassify=declassify,
        lineage=lineage,
        language="python" if python else "sql",
    )
    return model, tuple(faults)


def parse_check(text: str, *, file: str, name: str, model: str) -> tuple[Check, tuple[Fault, ...]]:
    """The check `name` beside `model`, and what is wrong with its head."""
    faults = [*_empty(text, file)]
    severity: Literal["warn", "stop"] = "warn"
    for line, key, value in _head(text, file, ("gov.severity",), faults):
        match value:
            case "warn" | "stop":
                severity = value
            case _:
                faults.append(
                    Fault(file, line, key, f"{value!r} is no severity of a check", "warn, stop", "choose one")
                )
    return Check(name, model, text, file, _digest(text), severity), tuple(faults)


def _lineage(value: str, declared: dict[str, tuple[tuple[str, ...], str]], file: str, line: int) -> Iterator[Fault]:
    """Adds one declaration to `declared`, or gives the fault of it."""
    match = _LINEAGE.match(value)
    sources = tuple(part.strip() for part in match["sources"].split(",")) if match else ()
    if match is None or (sources != ("nothing",) and not all(map(_SOURCE.match, sources))):
        allowed = "COLUMN from TABLE.COLUMN, ... because EVIDENCE (COLUMN may be *, what follows `from` may be nothing)"
        yield Fault(file, line, "gov.lineage", f"{value!r} cannot be read", allowed, "correct it")
    elif match["column"] in declared:
        yield Fault(file, line, "gov.lineage", f"{match['column']!r} stands twice", "each column once", "keep one")
    else:
        declared[match["column"]] = (() if sources == ("nothing",) else sources, match["evidence"])


def _head(text: str, file: str, known: tuple[str, ...], faults: list[Fault]) -> Iterator[tuple[int, str, str]]:
    """(line, name, value) of our declarations in the head; what is unknown, empty or below the head becomes a fault."""
    mark, first = ("#", "Python") if file.endswith(".py") else ("--", "SQL")
    inside = True
    for line, content in enumerate(text.splitlines(), 1):
        if content.strip() and not content.lstrip().startswith(mark):
            inside = False
        match = _OURS.match(content) if content.lstrip().startswith(mark) else None
        if match is None:
            continue
        key, colon, value = match.groups()
        if not inside:
            faults.append(
                Fault(
                    file, line, key, "a declaration below the head", f"before the first line of {first}", "move it up"
                )
            )
        elif key not in known:
            faults.append(
                Fault(file, line, key, "not one of our declarations here", ", ".join(known), "remove or correct it")
            )
        elif not colon or not value:
            faults.append(
                Fault(file, line, key, "a declaration without a value", f"{mark} {key}: VALUE", "complete it")
            )
        else:
            yield line, key, value


def _empty(text: str, file: str) -> Iterator[Fault]:
    if not any(line.strip() and not line.lstrip().startswith("--") for line in text.splitlines()):
        yield Fault(file, 1, "", "no SQL", "one SELECT", "write it, or remove the file")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
