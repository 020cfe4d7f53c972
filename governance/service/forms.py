"""Forms that several endpoints share: who calls, words, what is said when there is no answer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BaseModel, Field

from governance.client import ARROW
from governance.service.answers import JSON
from governance.service.problems import CODES, Problem, Stopped

CALLER = (
    Security(HTTPBearer(auto_error=False, description="A JWT of the configured issuer")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="A key made by `gov serve key new`")),
)


WORD = "^[^\\x00-\\x1f\\x7f-\\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$"
"""No control character, and none that hides or turns what stands beside it: a word goes into ledger and messages."""
Word = Annotated[str, Field(min_length=1, max_length=255, pattern=WORD)]


class Told(BaseModel):
    """Why there is no answer: `code` for programs, the rest for people."""

    code: Annotated[str, Field(json_schema_extra={"enum": sorted(CODES)})]
    message: str
    do: str


class ColumnOut(BaseModel):
    name: str
    type: str


PROBLEMS: dict[int | str, dict[str, Any]] = {status: {"model": Told} for status in sorted(set(CODES.values()))}


def rows_or_arrow(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The responses of an endpoint that answers with `model` as JSON, or with an Arrow stream."""
    stream = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"model": model, "content": {ARROW: stream}}, **PROBLEMS}


def wants_arrow(accept: str) -> bool:
    """Whether the Accept header asks for Arrow. Raises Stopped when it asks for neither form.

    >>> wants_arrow("application/vnd.apache.arrow.stream"), wants_arrow("*/*"), wants_arrow("text/html, */*;q=0.8")
    (True, False, False)
    """
    asked = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    for kind in asked:
        if kind in (ARROW, JSON, "*/*", "application/*"):
            return kind == ARROW
    raise Stopped(Problem("not_acceptable", "no such form of answer", f"Accept: {JSON} or {ARROW}"))
