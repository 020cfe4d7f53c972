"""Recall and precision of quality on the demo city: what quarantine and findings name, held against the answer key, by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pyarrow as pa

from governance.demo.kinds import RULES, Kind

DETECTED = pa.schema([("month", pa.string()), ("dataset", pa.string()), ("row", pa.int64()), ("reason", pa.string())])
"""One row a reason: quarantine's rule ids, and `finding:<model>.<check>` for the findings beside models."""

Place = tuple[str, str, int, bool]
"""Month, dataset, number, and whether it is the number of an unparsed line (of records in the source) or of a parsed record."""

_UNPARSED = "unparsed"


@dataclass(frozen=True, slots=True)
class KindScore:
    """One kind: rows with that fault, rows that quality says have it, and those that are both."""

    kind: Kind
    injected: int
    detected: int
    right: int

    @property
    def recall(self) -> float | None:
        """Share of the injected faults that were found; None where none was injected."""
        return self.right / self.injected if self.injected else None

    @property
    def precision(self) -> float | None:
        """Share of what was found that was injected; None where nothing was found."""
        return self.right / self.detected if self.detected else None


def score(answers: pa.Table, detected: pa.Table) -> tuple[KindScore, ...]:
    """The score of every kind. `answers` as `faults.ANSWERS`, `detected` as DETECTED; the order of rows does not matter.

    A row counts once for a kind, however many reasons of that kind it has.

    >>> where = {"month": ["2026-01"] * 2, "dataset": ["tax.invoices"] * 2, "row": [3, 9], "ordinal": [3, 8]}
    >>> answers = pa.table({**where, "kind": ["out_of_range"] * 2, "role": [""] * 2})
    >>> found = pa.table({"month": ["2026-01"], "dataset": ["tax.invoices"], "row": [8], "reason": ["range:amount"]})
    >>> [(s.injected, s.detected, s.recall, s.precision) for s in score(answers, found) if s.kind == "out_of_range"]
    [(2, 1, 0.5, 1.0)]
    """
    kind_of = _kinds(set(detected["reason"].to_pylist()))
    injected = _by_kind(_injected(answers), answers["kind"].to_pylist())
    found = _by_kind(_found(detected), [kind_of[reason] for reason in detected["reason"].to_pylist()])
    scores = []
    for kind in Kind:
        there, named = injected.get(kind, set()), found.get(kind, set())
        scores.append(KindScore(kind, len(there), len(named), len(there & named)))
    return tuple(scores)


def unexplained(answers: pa.Table, detected: pa.Table) -> Mapping[str, int]:
    """Reasons on rows without any injected fault, with how many such rows: false alarms, whatever their rule."""
    faulty = set(_injected(answers))
    alarms: dict[str, set[Place]] = {}
    for place, reason in zip(_found(detected), detected["reason"].to_pylist(), strict=True):
        if place not in faulty:
            alarms.setdefault(f"{place[1]} {reason}", set()).add(place)
    return {reason: len(rows) for reason, rows in sorted(alarms.items())}


def table_text(scores: Sequence[KindScore]) -> str:
    """The scores as lines of text, one kind a line."""
    lines = [f"{'kind':22} {'injected':>9} {'found':>7} {'recall':>7} {'precision':>9}"]
    for found in scores:
        lines.append(
            f"{found.kind:22} {found.injected:9,} {found.detected:7,} {_share(found.recall):>7} {_share(found.precision):>9}"
        )
    return "\n".join(lines)


def _kinds(reasons: set[str]) -> dict[str, Kind | None]:
    """The kind that each reason names, None for reasons of no kind (business rules of suites)."""
    return {
        reason: next((k for k, patterns in RULES.items() if any(fnmatchcase(reason, p) for p in patterns)), None)
        for reason in reasons
    }


def _injected(answers: pa.Table) -> list[Place]:
    columns = (answers[name].to_pylist() for name in ("month", "dataset", "row", "ordinal"))
    return [
        (month, dataset, row if ordinal is None else ordinal, ordinal is None)
        for month, dataset, row, ordinal in zip(*columns, strict=True)
    ]


def _found(detected: pa.Table) -> list[Place]:
    columns = (detected[name].to_pylist() for name in DETECTED.names)
    return [(month, dataset, row, reason == _UNPARSED) for month, dataset, row, reason in zip(*columns, strict=True)]


def _by_kind(places: Sequence[Place], kinds: Sequence[str | None]) -> dict[str, set[Place]]:
    sorted_out: dict[str, set[Place]] = {}
    for place, kind in zip(places, kinds, strict=True):
        if kind is not None:
            sorted_out.setdefault(kind, set()).add(place)
    return sorted_out


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
