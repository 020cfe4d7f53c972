"""What one run's rules found, read from the GX result that its verdict left in the state: counts and declarations, never a cell value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

State = Literal["errored", "stopped", "held back", "warned", "tolerated", "clean"]
"""From worst to best. `errored`: it could not be judged, which stops a batch. `stopped`: rows of severity stop. `held back`: its rows are
in quarantine. `warned`: let in, and somebody should look. `tolerated`: rows were found, no more than the expectation allows."""

STATES: tuple[State, ...] = get_args(State)

SHOWN_KWARGS = ("code_set", "check", "type", "regex", "min_value", "max_value", "value", "strftime_format")


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One expectation in one run. `limit` is the share of rows that must hold, 0 to 1; `rows` are those it was asked of."""

    id: str
    type: str
    fields: str
    severity: str
    source: str
    says: str
    state: State
    rows: int
    missing: int
    unexpected: int
    limit: float = 1.0
    error: str = ""
    limits: tuple[tuple[str, str], ...] = ()
    """(word, value) of what is declared, where its author wrote no note."""

    @property
    def percent(self) -> float:
        """Share of unexpected rows, 0 to 100."""
        return 100.0 * self.unexpected / self.rows if self.rows else 0.0

    @property
    def broke(self) -> bool:
        """Whether somebody has to know of it."""
        return self.state not in ("clean", "tolerated")

    @property
    def order(self) -> tuple[int, int, str]:
        """What is worst comes first."""
        return STATES.index(self.state), -self.unexpected, self.id


def rule_lines(result: str, *, splits: bool) -> tuple[RuleLine, ...]:
    """The lines of a suite result's JSON text, the worst first. `splits`: whether rows can be held back (of a curated table none is)."""
    return tuple(sorted((_line(one, splits) for one in json.loads(result)["results"]), key=lambda line: line.order))


def _line(one: Mapping[str, Any], splits: bool) -> RuleLine:
    config, counted = one["expectation_config"], one.get("result") or {}
    kwargs, meta = config["kwargs"], config["meta"]
    severity = str(meta["gov"]["severity"])
    unexpected = int(counted.get("unexpected_count") or 0)
    error = str(one["exception_info"].get("exception_message") or "not judged") if _raised(one) else ""
    return RuleLine(
        id=str(meta["gov"]["id"]),
        type=str(config["type"]),
        fields=_fields(kwargs),
        severity=severity if splits or severity != "quarantine" else "stop",
        source=str(meta["gov"]["source"]),
        says=(note := _note(meta)),
        state=_state(severity, bool(one["success"]), unexpected, bool(error), splits),
        rows=int(counted.get("element_count") or _row_count(config, counted)),
        missing=int(counted.get("missing_count") or 0),
        unexpected=unexpected,
        limit=float(kwargs.get("mostly", 1.0)),
        error=error,
        limits=() if note else _limits(kwargs),
    )


def _state(severity: str, success: bool, unexpected: int, errored: bool, splits: bool) -> State:
    """What came of it. Rows of severity quarantine are held back even where `mostly` is met.

    >>> _state("quarantine", True, 3, False, True), _state("warn", True, 3, False, True), _state("warn", False, 3, False, True)
    ('held back', 'tolerated', 'warned')
    >>> _state("quarantine", False, 3, False, False)  # of a curated table no row can be set aside
    'stopped'
    """
    if errored:
        return "errored"
    if splits and severity == "quarantine" and unexpected:
        return "held back"
    if success:
        return "tolerated" if unexpected else "clean"
    return "warned" if severity == "warn" else "stopped"


def _raised(one: Mapping[str, Any]) -> bool:
    return bool((one.get("exception_info") or {}).get("raised_exception"))


def _row_count(config: Mapping[str, Any], counted: Mapping[str, Any]) -> int:
    """The one observed value that is a count of rows, and so no cell value."""
    observed = counted.get("observed_value")
    return observed if str(config["type"]).startswith("expect_table_row_count") and isinstance(observed, int) else 0


def _fields(kwargs: Mapping[str, Any]) -> str:
    """
    >>> _fields({"column_A": "a", "column_B": "b"}), _fields({"min_value": 1})
    ('a, b', '')
    """
    names = [kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B"), *kwargs.get("column_list", ())]
    return ", ".join(str(name) for name in names if name)


def _note(meta: Mapping[str, Any]) -> str:
    """The author's."""
    note = meta.get("notes")
    return note if isinstance(note, str) else ""


def _limits(kwargs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The declared limits; lists of values stay out.

    >>> _limits({"min_value": 1, "max_value": None, "value_set": ["a"]})
    (('min value', '1'),)
    """
    shown = [(name.replace("_", " "), kwargs[name]) for name in SHOWN_KWARGS if kwargs.get(name) is not None]
    return tuple((name, str(value)) for name, value in shown if not isinstance(value, list | dict))
