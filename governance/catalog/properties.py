"""Our own facts in a contract: `customProperties` whose names begin with `gov.`. What names there are, where, and with which values. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.catalog.yaml_tree import Document, dotted
from governance.errors import Fault

PREFIX = "gov."
RULES = ("required", "unique", "type", "range", "pattern", "length", "codeSet", "reference", "check")
"""Base rules whose severity a field may set."""

_WORD = re.compile(r"^[^\W\d][\w-]*$")
_RESERVED_GROUPS = frozenset({"landed", "raw", "rowdigest", "footer", "quarantine"})


@dataclass(frozen=True, slots=True)
class Value:
    """What one property may be: a test and the same in words."""

    fits: Callable[[Any], bool]
    allowed: str


def _one_of(*words: str) -> Value:
    return Value(lambda v: v in words, ", ".join(words))


def _is_encoding(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(codecs.lookup(value))
    except LookupError:
        return False


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


_TEXT = Value(lambda v: isinstance(v, str) and bool(v.strip()), "text")
_NAME = Value(lambda v: isinstance(v, str) and bool(_WORD.match(v)), "a word of letters, digits, _ and -")
_GROUP = Value(
    lambda v: isinstance(v, str) and bool(_WORD.match(v)) and v not in _RESERVED_GROUPS,
    f"a word of letters, digits, _ and -, none of {', '.join(sorted(_RESERVED_GROUPS))}",
)

_ROWS = Value(lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0, "a whole number of rows")

DATASET: Mapping[str, Value] = {
    "gov.system": _NAME,
    "gov.loadMode": _one_of("full", "append", "snapshot_diff", "upsert"),
    "gov.watermark": _TEXT,
    "gov.maxQuarantine": Value(_is_share, "a number from 0 to 1"),
    "gov.deduplicate": _one_of("identical"),
    "gov.minRows": _ROWS,
    "gov.maxRows": _ROWS,
    "gov.drift": _one_of("warn", "stop"),
}
FIELD: Mapping[str, Value] = {
    "gov.domain": _NAME,
    "gov.codeSet": _NAME,
    "gov.check": _TEXT,
    "gov.keyGroup": _GROUP,
    "gov.sharing": _one_of("unconditional", "conditional", "none"),
    "gov.open": Value(lambda v: isinstance(v, bool), "true, false"),
    **{f"gov.severity.{rule}": _one_of("warn", "quarantine", "stop") for rule in RULES},
}
SERVER: Mapping[str, Value] = {
    "gov.format": _one_of("csv", "jsonl", "excel", "parquet"),
    "gov.encoding": Value(_is_encoding, "the name of an encoding, e.g. utf-8, gb18030"),
    "gov.delimiter": Value(lambda v: isinstance(v, str) and len(v) == 1, "one character"),
    "gov.sheet": _TEXT,
    "gov.table": _TEXT,
    "gov.url": Value(
        lambda v: isinstance(v, str) and ("://" in v or v.startswith("${")),
        "a SQLAlchemy URL, e.g. postgresql://host/database",
    ),
}


def read_properties(
    owner: Mapping[str, Any], known: Mapping[str, Value], document: Document, file: str, path: Sequence[str | int]
) -> tuple[dict[str, Any], list[Fault]]:
    """The `gov.` properties of one part of a contract, by name, and what is wrong with them. Other people's names are left alone."""
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for index, item in enumerate(owner.get("customProperties") or ()):
        name, value = item["property"], item["value"]
        if not name.startswith(PREFIX):
            continue
        place = (*path, "customProperties", index)

        def fault(key: str, text: str, allowed: str, do: str, place: tuple[str | int, ...] = place) -> None:
            faults.append(Fault(file, document.line((*place, key)), dotted((*place, key)), text, allowed, do))

        if name not in known:
            fault(
                "property",
                f"{name!r} is not one of our properties here",
                ", ".join(sorted(known)),
                "remove or correct it",
            )
        elif name in found:
            fault("property", f"{name!r} stands twice", "each name once", "remove one of them")
        elif not known[name].fits(value):
            fault("value", f"{value!r} is not a value of {name}", known[name].allowed, "correct it")
        else:
            found[name] = value
    return found, faults
