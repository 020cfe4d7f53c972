"""Tokens of the configured issuer: a signed JWT -> `user:<sub>`, or LoginRefused with a reason that stays here.

The algorithm is the key's, never the token's: a key of the set is usable with exactly one algorithm, symmetric ones
are none of them, and a token without a key id names no key.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from sqlalchemy import delete, insert
from sqlalchemy.exc import IntegrityError

from governance.config import ServiceSettings
from governance.errors import SourceUnavailable
from governance.state.database import Database
from governance.state.tables_use import service_token_seen

MAX_TOKEN = 16_384
_MAX_KEYS_BYTES = 1 << 20
_FETCH_SECONDS = 5.0
REMEMBERED_SECONDS = 0.5
"""So long, and never past its end, a token that was looked at is believed without another look."""
_MOST_REMEMBERED = 1_000
_MIN_RSA_BITS = 2048
_KINDS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}

_log = logging.getLogger(__name__)


class LoginRefused(Exception):
    """Nobody that we know; the reason is for our log, the one who asked is not told."""


class Issuer:
    """Believes tokens of one issuer for one audience. `keys` are its public keys."""

    def __init__(self, settings: ServiceSettings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._keys = KeySet(settings.jwks)
        self._believed: dict[str, tuple[float, str]] = {}

    def remembered(self, token: str) -> str | None:
        """Whose token this is, when that was found out less than half a second ago; never of one that is good once."""
        until, subject = self._believed.get(token, (0.0, None))
        return subject if time.monotonic() < until else None

    def subject(self, token: str) -> str:
        """Whose token this is. Raises LoginRefused; SourceUnavailable when the issuer's keys cannot be had."""
        try:
            claims = self._claims(token)
            expires = datetime.fromtimestamp(int(claims["exp"]), UTC)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
            raise LoginRefused(type(error).__name__) from None  # the decoder meets whatever somebody sends
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 200 or not subject.isprintable():
            raise LoginRefused("subject")
        if self._settings.one_time:
            self._use_up(claims, expires)
        else:
            self._remember(token, f"user:{subject}", expires)
        return f"user:{subject}"

    def _remember(self, token: str, subject: str, expires: datetime) -> None:
        left = (expires - datetime.now(UTC)).total_seconds()
        if len(self._believed) >= _MOST_REMEMBERED:
            self._believed.clear()
        self._believed[token] = time.monotonic() + min(REMEMBERED_SECONDS, left), subject

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN:
            raise LoginRefused("length")
        header = jwt.get_unverified_header(token)
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in self._settings.algorithms or not isinstance(name, str) or {"crit", "b64"} & set(header):
            raise LoginRefused("header")
        key = self._keys.find(name, algorithm)
        if key is None:
            raise LoginRefused("key")
        required = ["exp", "iss", "aud", "sub", *(["jti"] if self._settings.one_time else [])]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            options={"require": required},
        )
        return claims

    def _use_up(self, claims: Mapping[str, Any], expires: datetime) -> None:
        """Remember the token until it expires; LoginRefused when it was here before."""
        name = hashlib.sha256(f"{claims['iss']}\0{claims['jti']}".encode()).hexdigest()
        try:
            with self._database.unit_of_work() as tx:
                tx.execute(delete(service_token_seen).where(service_token_seen.c.expires_at < datetime.now(UTC)))
                tx.execute(insert(service_token_seen).values(sha256=name, expires_at=expires))
        except IntegrityError:
            raise LoginRefused("replay") from None


class KeySet:
    """The issuer's public keys, from a file (read again when it changed) or an address: asked every five minutes, and for a key that is
    missing, but never more often than every ten seconds. While the address does not answer, keys hold for an hour.
    """

    def __init__(self, location: str, *, fresh: float = 300.0, again: float = 10.0, oldest: float = 3600.0) -> None:
        self._location = location
        self._fresh, self._again, self._oldest = fresh, again, oldest
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._asked_at = self._got_at = float("-inf")
        self._stamp = 0
        self._lock = threading.Lock()

    def find(self, name: str, algorithm: str) -> jwt.PyJWK | None:
        """The key of that name for that algorithm. Raises SourceUnavailable when no keys can be had."""
        if "://" not in self._location:
            with self._lock:
                self._read_file(Path(self._location))
        elif not self._current(name, algorithm) and self._lock.acquire(blocking=not self._keys):
            try:  # whoever comes meanwhile goes on with the keys that there are
                if not self._current(name, algorithm):
                    self._fetch()
            finally:
                self._lock.release()
        if "://" in self._location and time.monotonic() - self._got_at > self._oldest:
            raise SourceUnavailable("the issuer's keys cannot be had", where=self._location)
        return self._keys.get((name, algorithm))

    def _current(self, name: str, algorithm: str) -> bool:
        age = time.monotonic() - self._asked_at
        return age <= self._again or (age <= self._fresh and (name, algorithm) in self._keys)

    def _read_file(self, file: Path) -> None:
        try:
            stamp = file.stat().st_mtime_ns
            if stamp != self._stamp:
                self._keys, self._stamp = usable(file.read_bytes()), stamp
        except (OSError, ValueError):
            raise SourceUnavailable("the issuer's keys cannot be read", where=str(file)) from None

    def _fetch(self) -> None:
        """The address's keys; what was had before stays when it does not answer."""
        import httpx

        try:
            with httpx.stream("GET", self._location, timeout=_FETCH_SECONDS, follow_redirects=False) as response:
                response.raise_for_status()
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _MAX_KEYS_BYTES:
                        raise ValueError("too long")
            self._keys, self._got_at = usable(body), time.monotonic()
        except (httpx.HTTPError, ValueError) as error:
            _log.warning("the issuer's keys cannot be had: %s", type(error).__name__)
        finally:
            self._asked_at = time.monotonic()


def usable(body: bytes) -> dict[tuple[str, str], jwt.PyJWK]:
    """(key id, algorithm) -> key, for the public signature keys of a JWK set; anything else in it is left out. Raises ValueError if it is no
    set.

    >>> usable(b'{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}')
    {}
    """
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWK set")
    found = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or "d" in entry:
            continue
        algorithm = _KINDS.get((str(entry.get("kty")), entry.get("crv")))
        if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry, algorithm)
        except jwt.PyJWTError:
            continue
        if not isinstance(key.key, RSAPublicKey) or key.key.key_size >= _MIN_RSA_BITS:
            found[entry["kid"], algorithm] = key
    return found
