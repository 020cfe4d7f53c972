"""Who asks: the request's headers -> a subject of the access rules, or a problem. There is no anonymous subject."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from governance.config import ServiceSettings
from governance.errors import SourceUnavailable
from governance.service import api_keys
from governance.service.issuer import Issuer, LoginRefused
from governance.service.problems import LOGIN, Problem, Stopped
from governance.state.database import Database

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `token` is their own, carried to a key service that asks for it; empty for an API key."""

    subject: str
    token: str = field(default="", repr=False)


class Login:
    """Bearer tokens of the configured issuer (none is believed without one), and API keys."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._database = database
        self._issuer = Issuer(settings, database) if settings.issuer else None

    def known(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller | None:
        """Whoever `caller` found by the same token a moment ago, at no cost; None: it has to be looked at."""
        given = _given(headers)
        if len(given) != 1 or given[0][0] != b"authorization" or self._issuer is None:
            return None
        token = _bearer(given[0][1])
        subject = self._issuer.remembered(token) if token else None
        return Caller(subject, token) if subject is not None else None

    def caller(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller:
        """`user:<sub>` or the service of an API key. Raises Stopped: every wrong login reads alike."""
        given = _given(headers)
        try:
            if len(given) != 1:
                raise LoginRefused("none, or several")
            name, value = given[0]
            return self._of_key(value) if name == b"x-api-key" else self._of_token(value)
        except LoginRefused as reason:
            _log.info("a login was refused: %s", reason)
            raise Stopped(LOGIN) from None
        except SourceUnavailable:
            _log.warning("the issuer's keys cannot be had")
            raise Stopped(Problem("unavailable", "logins cannot be checked now", "try again later")) from None

    def _of_key(self, key: str) -> Caller:
        subject = api_keys.subject_of(key, database=self._database)
        if subject is None:
            raise LoginRefused("key")
        return Caller(subject)

    def _of_token(self, value: str) -> Caller:
        token = _bearer(value)
        if not token or self._issuer is None:
            raise LoginRefused("scheme")
        return Caller(self._issuer.subject(token), token)


def _given(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, str]]:
    return [(name, value.decode("latin-1")) for name, value in headers if name in (b"authorization", b"x-api-key")]


def _bearer(value: str) -> str:
    """The token of a header; empty when it gives none."""
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
