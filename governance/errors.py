"""Every error that this system raises on purpose.

    GovernanceError                 one root; `retry` tells the scheduler "try again" from "fail now"
    |-- DeclarationError            files of the catalogue are wrong; carries every fault of every file
    |-- SourceUnavailable           the source cannot be reached now                      (retry)
    |-- SourceContentError          the source answered with something that cannot be used
    |-- NotReady                    something that must come first is not there yet       (retry)
    |-- Conflict                    somebody else committed first, or holds the lease     (retry)
    |-- StorageError                the disk is full or a file cannot be written or read  (retry)
    |-- Refused                     a governance decision: policy, verdict, approval, grant
    |-- Damaged                     data or proof does not match what was recorded
    `-- WorkerFailed                a child process died or broke its limits              (retry)

A message says where, what was found, what is allowed and what to do. It never holds a cell value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong with one declaration, at a place a person can open.

    >>> str(Fault("a.yaml", 14, "schema.0.mask", "'hsh' is not a mask", "keep, null, token", "choose one"))
    "a.yaml:14: schema.0.mask: 'hsh' is not a mask; allowed: keep, null, token; choose one"
    """

    file: str
    line: int
    path: str
    found: str
    allowed: str = ""
    do: str = ""

    def __str__(self) -> str:
        text = ": ".join(filter(None, (f"{self.file}:{self.line}", self.path, self.found)))
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.do:
            text += f"; {self.do}"
        return text


class GovernanceError(Exception):
    """Root. `where`, `found`, `allowed` and `do` are kept as attributes and make up the message."""

    retry = False

    def __init__(self, found: str, *, where: str = "", allowed: str = "", do: str = "") -> None:
        self.where, self.found, self.allowed, self.do = where, found, allowed, do
        text = f"{where}: {found}" if where else found
        if allowed:
            text += f"; allowed: {allowed}"
        if do:
            text += f"; {do}"
        super().__init__(text)


class DeclarationError(GovernanceError):
    """One or more declarations are wrong; `faults` lists all of them, in order of file and line."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(f) for f in self.faults))


class SourceUnavailable(GovernanceError):
    """The source cannot be reached now."""

    retry = True


class SourceContentError(GovernanceError):
    """The source answered, but what it sent cannot be used: empty, truncated, unknown encoding, missing column."""


class NotReady(GovernanceError):
    """Something that must come first is not there yet."""

    retry = True


class Conflict(GovernanceError):
    """Somebody else committed first or holds the lease; nothing of ours became visible."""

    retry = True


class StorageError(GovernanceError):
    """A file cannot be written or read; nothing of it became visible."""

    retry = True


class Refused(GovernanceError):
    """A governance decision says no. Forbidden and absent read alike to the one who asked."""


class Damaged(GovernanceError):
    """Data or a proof does not match what was recorded about it."""


class WorkerFailed(GovernanceError):
    """A child process died, was killed or broke its limits."""

    retry = True
