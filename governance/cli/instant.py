"""Instants on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click


class Instant(click.ParamType[datetime]):
    """An ISO 8601 date or date and time; without an offset it is UTC.

    >>> Instant().convert("2026-03-01T12:00", None, None).isoformat()
    '2026-03-01T12:00:00+00:00'
    """

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no instant; allowed: 2026-03-01, 2026-03-01T12:00:00+08:00", param, ctx)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


INSTANT = Instant()
