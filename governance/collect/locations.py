"""Locations as declared: `${VARIABLE}` filled in where it is used, credentials left out where it is shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from governance.errors import GovernanceError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(text: str, environ: Mapping[str, str], encode: Callable[[str], str] = str) -> str:
    """`text` with every `${VARIABLE}` replaced by its value. Raises GovernanceError naming a variable that is not set.

    >>> expand("https://${HOST}/a", {"HOST": "data.example"})
    'https://data.example/a'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise GovernanceError(
                f"the environment variable {match[1]} is not set",
                where=shown(text),
                do="set it for the process that collects",
            )
        return encode(environ[match[1]])

    return _VARIABLE.sub(value, text)


def expand_address(location: str, environ: Mapping[str, str]) -> str:
    """An http(s) address ready to be called: values that stand in credentials, path or query are percent-encoded.

    >>> expand_address("https://u:${PW}@data.example/a?token=${T}", {"PW": "p@s/s", "T": "a&b"})
    'https://u:p%40s%2Fs@data.example/a?token=a%26b'
    """
    if location.startswith("${"):
        return expand(location, environ)
    parts = urlsplit(location)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(
        parts._replace(
            netloc=expand(user, environ, lambda v: quote(v, safe="")) + at + expand(host, environ),
            path=expand(parts.path, environ, quote),
            query=expand(parts.query, environ, lambda v: quote(v, safe="")),
        )
    )


def local_path(location: str, home: Path, environ: Mapping[str, str]) -> Path:
    """A file location as a path; relative ones are relative to the home.

    >>> local_path("in/a.csv", Path("/srv/city"), {}).as_posix()
    '/srv/city/in/a.csv'
    """
    return home / expand(location, environ)


def shown(location: str) -> str:
    """A location fit for manifests, errors and logs: variables unexpanded, no user, no password, no query.

    >>> shown("postgresql://reader:secret@db.example:5432/city?sslpassword=x")
    'postgresql://db.example:5432/city?…'
    >>> shown("${CITY_URL}")
    '${CITY_URL}'
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        return location
    rest, question, _ = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in path and "@" not in authority:  # a raw "/" inside a password: keep only what stands after the last "@"
        authority, slash, path = path.rpartition("@")[2].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}{'?…' if question else ''}"
