"""Whose signatures stand in the ledger's entries about access, checked from these entries and access rules alone: on any machine, of an
export, without home, state or network.

An entry holds what was signed, or its hash: an approval whole; of a refusal, a withdrawal, a broken glass and its review the hash of a
document whose reason stays in the state; of consents the version, a hash over the whole set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.policy.access import Access
from governance.use import signatures
from governance.use.requests import document_hash

_APPROVAL = ("v", "what", "request", "fields", "action", "from", "to")
MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Checked:
    """`signed` entries hold. `unsigned`: withdrawals of whoever had no key. `problems` name the entries that do not hold."""

    signed: int
    unsigned: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Signed:
    words: str
    document_hash: str
    subject: str
    own: bool
    """By any key of the subject's own; else as an approver."""


def check(entries: Iterable[tuple[str, bytes]], accesses: Sequence[Access]) -> Checked:
    """Look at every entry (where it stands, its canonical bytes) that has a signature to have. `accesses`: access rules of now and of
    before; one of them must have the key.
    """
    signed = unsigned = 0
    problems: list[str] = []
    for where, body in entries:
        said = json.loads(body)
        facts, kind = said["facts"], said["kind"]
        found = _of(kind, facts, said["actor"]["subject"])
        if found is None:
            continue
        if facts.get("signature") is None and kind == "access_withdrawn":
            unsigned += 1
        elif _holds(found, facts.get("signature") or "", accesses) and _whole(kind, facts):
            signed += 1
        elif len(problems) < MOST_PROBLEMS:
            problems.append(f"{where}: {kind} is not signed by {found.subject}")
    return Checked(signed, unsigned, tuple(problems))


def _of(kind: str, facts: Mapping[str, Any], actor: str) -> _Signed | None:
    """What was signed by whom; None for an entry of another kind."""
    match kind:
        case "access_approved":
            return _Signed(signatures.APPROVES, facts["approval"], facts["approver"], False)
        case "access_declined":
            return _Signed(signatures.DECLINES, facts["step"], facts["approver"], False)
        case "access_withdrawn":
            return _Signed(signatures.ENDS, facts["step"], facts["by"], True)
        case "break_glass":
            return _Signed(signatures.BREAKS, facts["step"], facts["subject"], True)
        case "break_glass_reviewed":
            return _Signed(signatures.REVIEWS, facts["review"], facts["approver"], False)
        case "consent_given" | "consent_withdrawn":
            return _Signed(signatures.CONSENTS, facts["version"], actor, kind == "consent_withdrawn")
        case _:
            return None


def _whole(kind: str, facts: Mapping[str, Any]) -> bool:
    """Whether what the entry says was signed is what its hash is of, where the entry says it whole."""
    if kind == "access_approved":
        return bool(document_hash({name: facts[name] for name in _APPROVAL}) == facts["approval"])
    if kind == "break_glass":
        return bool(document_hash({"v": 1, "what": "statement", "request": facts["request"]}) == facts["step"])
    return True


def _holds(found: _Signed, signature: str, accesses: Sequence[Access]) -> bool:
    held = signatures.holds_own if found.own else signatures.holds
    return any(held(access, found.subject, found.words, found.document_hash, signature) for access in accesses)
