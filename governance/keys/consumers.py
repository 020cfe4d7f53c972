"""Consumers' own tokens: an EdDSA JWT by an issuer that the key service knows. It is carried through the query service
as it is, so that nobody can ask in a consumer's name.

    audience = "gov-keys"                                # what a token must be meant for
    [issuer."https://login.example"]
    keys = ["<64 hex digits of an Ed25519 public key>"]  # several while keys change

`sub` names the user without the `user:` in front; `exp`, `iat`, `iss`, `aud` and `sub` must be there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from governance.errors import GovernanceError, Refused

_CLAIMS = ["exp", "iat", "iss", "aud", "sub"]
_LEEWAY_SECONDS = 5
MAX_TOKEN_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class Issuers:
    """Public keys by issuer, and the audience that their tokens must name. Without an issuer every token is refused."""

    audience: str = ""
    keys: Mapping[str, tuple[Ed25519PublicKey, ...]] | None = None

    def subject(self, token: str) -> str:
        """`user:<sub>` of a token that holds now. Refused otherwise, without saying what was wrong with it."""
        import jwt

        if not token or len(token) > MAX_TOKEN_CHARACTERS:
            raise _refused()
        for issuer, keys in (self.keys or {}).items():
            for key in keys:
                try:
                    claims = jwt.decode(
                        token,
                        key,
                        algorithms=["EdDSA"],
                        audience=self.audience,
                        issuer=issuer,
                        leeway=_LEEWAY_SECONDS,
                        options={"require": _CLAIMS},
                    )
                except jwt.PyJWTError:
                    continue
                return f"user:{claims['sub']}"
        raise _refused()


def read_issuers(file: Path) -> Issuers:
    """The issuers of a file. Raises GovernanceError when it is not as this module says."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
        audience, issuers = raw["audience"], raw["issuer"]
        if not isinstance(audience, str) or not audience or set(raw) != {"audience", "issuer"}:
            raise ValueError
        keys = {
            name: tuple(Ed25519PublicKey.from_public_bytes(bytes.fromhex(text)) for text in entry["keys"])
            for name, entry in issuers.items()
        }
    except OSError as error:
        raise GovernanceError(f"cannot be read: {error.strerror}", where=file.name) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError):
        raise GovernanceError(
            "not a file of issuers",
            where=file.name,
            allowed='audience = "…" and [issuer."…"] with keys = ["64 hex digits"]',
            do="correct it",
        ) from None
    return Issuers(audience, keys)


def _refused() -> Refused:
    return Refused("the token does not hold here", where="key service", do="log in again")
