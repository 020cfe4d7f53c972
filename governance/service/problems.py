"""What the service says when it does not answer: a status and `{code, message, do}`, never an engine's text.

    error of ours, or anything else  ->  `problem`  ->  Problem  ->  body

What is forbidden and what does not exist give the same problem. A message that could speak of keys, paths or another
process stays here; only what a statement's author can act on leaves.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sqlalchemy.exc import DBAPIError

from governance.errors import Conflict, GovernanceError, NotReady, Refused, WorkerFailed
from governance.use.lookup import NO_EXPORT as NOT_EXPORTED
from governance.use.lookup_copies import NO_COPY

CODES: Mapping[str, int] = {
    "login": 401,
    "no_access": 403,
    "refused": 403,
    "no_export": 403,
    "not_there": 404,
    "method": 405,
    "not_acceptable": 406,
    "slow_request": 408,
    "changed": 409,
    "too_large": 413,
    "content_type": 415,
    "invalid_request": 422,
    "statement": 422,
    "too_many_rows": 422,
    "aggregate_only": 422,
    "names_or_types": 422,
    "syntax": 422,
    "conversion": 422,
    "out_of_range": 422,
    "invalid_value": 422,
    "not_supported": 422,
    "not_representable": 422,
    "memory": 422,
    "other": 422,
    "busy": 429,
    "internal": 500,
    "unavailable": 503,
    "not_ready": 503,
    "worker": 503,
    "time": 504,
}
"""Every code that can leave -> its status."""

_FAILED = "the statement failed: "
_RETRY = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is none."""

    code: str
    message: str
    do: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return CODES[self.code]

    def body(self) -> bytes:
        told = {"code": self.code, "message": self.message, "do": self.do}
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


class Stopped(Exception):
    """Carries a problem to where it is told."""

    def __init__(self, told: Problem) -> None:
        self.problem = told
        super().__init__(told.code)


LOGIN = Problem(
    "login", "who asks is not known", "give a valid bearer token or API key", {"WWW-Authenticate": "Bearer"}
)
BUSY = Problem("busy", "as many questions as may be are under way", "try again", _RETRY)
NOT_THERE = Problem("not_there", "that is not there for you", "GET /v1/tables lists what is")
NO_EXPORT = Problem("no_export", "this may not be exported", "ask for JSON, or for fewer fields")
INTERNAL = Problem("internal", "the service failed", "tell who runs it")
TIME = Problem("time", "the time limit is over", "ask for less")


def problem(error: BaseException) -> Problem:
    """What may be said of an error.

    >>> problem(Refused("the statement failed: conversion", do="check"))
    Problem(code='conversion', message='the statement failed: conversion', do='check', headers={})
    >>> problem(Refused("key a/b/L4/1 cannot be used", where="keystore")).message
    'the request was refused'
    """
    match error:
        case Stopped():
            return error.problem
        case Refused():
            return _refused(error)
        case WorkerFailed() if "time limit" in error.found:
            return TIME
        case WorkerFailed() if "memory limit" in error.found:
            return Problem("memory", "the memory limit is reached", "ask for less")
        case WorkerFailed():
            return Problem("worker", "the answer's process ended", "try again", _RETRY)
        case NotReady() if error.found == NO_COPY:
            return Problem("not_ready", NO_COPY, "ask later", _RETRY)
        case NotReady():
            return Problem("not_ready", "nothing is published yet", "ask later")
        case Conflict():
            return Problem("unavailable", "somebody else came first", "try again", _RETRY)
        case GovernanceError() | DBAPIError():
            return Problem("unavailable", "the service cannot answer now", "try again later")
        case _:
            return INTERNAL


def origin(error: BaseException) -> str:
    """Class and place of an error, for a log; never its text, which may quote a value."""
    places = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else "an error"


def _refused(error: Refused) -> Problem:
    if error.found.startswith(_FAILED):
        code = error.found.removeprefix(_FAILED).partition(":")[0]
        return Problem(code if code in CODES else "other", error.found, error.do)
    if error.where:
        return Problem("refused", "the request was refused", "ask the steward for access")
    if "not there for you" in error.found:
        return NOT_THERE
    if error.found == NOT_EXPORTED:
        return NO_EXPORT
    if error.found == "there is no such question for you":
        return Problem("not_there", error.found, "ask who runs it for what may be asked")
    code = "refused"
    if error.found.startswith("unknown subject or purpose"):
        code = "no_access"
    elif error.found.startswith("the answer has more than"):
        code = "too_many_rows"
    elif error.do == "ask again":
        code = "changed"
    elif "governance.use.guard" in _modules(error.__traceback__):
        code = "statement"
    return Problem(code, error.found, error.do)


def _modules(trace: TracebackType | None) -> Iterator[str]:
    """The modules that an error came through."""
    while trace is not None:
        yield trace.tb_frame.f_globals.get("__name__", "")
        trace = trace.tb_next
