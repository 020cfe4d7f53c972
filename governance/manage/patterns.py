"""Regular expressions of contracts and suites, tried on DuckDB before any data is."""

from __future__ import annotations

from functools import lru_cache

from governance.manage.sql import Unfit


def check_pattern(pattern: object) -> str:
    """The pattern itself when DuckDB's RE2 reads it. Raises Unfit: RE2 has no look-around and no back references.

    >>> check_pattern("^[0-9]{6}$")
    '^[0-9]{6}$'
    """
    if not isinstance(pattern, str):
        raise Unfit("a regular expression is not text", "an RE2 pattern")
    error = _error(pattern)
    if error:
        raise Unfit(f"the pattern cannot be used: {error}", "RE2 syntax: no look-around, no back references")
    return pattern


@lru_cache(maxsize=4096)
def _error(pattern: str) -> str:
    """What RE2 says against the pattern; empty when it reads it."""
    import duckdb

    with duckdb.connect() as connection:
        try:
            connection.execute("SELECT regexp_matches('', ?)", [pattern]).fetchall()
        except duckdb.Error as error:
            return str(error).splitlines()[0]
    return ""
