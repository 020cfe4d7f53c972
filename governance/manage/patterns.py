"""Regular expressions of contracts and suites, tried on DuckDB before any data is.

A pattern means what it means where it comes from; RE2 alone would know ASCII. In a suite that is Python, for GX: words, digits and spaces are
Unicode's. In a contract it is ECMA-262, for ODCS: spaces are Unicode's, `\\w` and `\\d` are ASCII's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from governance.manage.sql import Unfit


def check_pattern(pattern: str) -> str:
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


def as_python_reads(pattern: str) -> str:
    r"""A suite's pattern with Python's Unicode classes written out for RE2. `\b` stays ASCII's, and `$` is the very end of the value.

    Raises Unfit for the opposite of a class within brackets, which RE2 cannot say of Unicode.

    >>> as_python_reads(r"^\w+[\d-]\\w$")
    '^[\\p{L}\\p{N}_]+[\\p{Nd}-]\\\\w$'
    """
    return _written_out(pattern, _PYTHON)


def as_ecma_reads(pattern: str) -> str:
    r"""A contract's pattern with ECMA-262's spaces written out for RE2 (5.1, 15.10.2.12). Raises Unfit as `as_python_reads`.

    >>> as_ecma_reads(r"^\w\s?\S$")
    '^\\w[\\s\\x0b\\x{feff}\\p{Z}]?[^\\s\\x0b\\x{feff}\\p{Z}]$'
    """
    return _written_out(pattern, _ECMA)


_PYTHON = {"w": r"\p{L}\p{N}_", "d": r"\p{Nd}", "s": r"\s\x0b\x1c-\x1f\x{85}\p{Z}"}
_ECMA = {"s": r"\s\x0b\x{feff}\p{Z}"}


def _written_out(pattern: str, classes: Mapping[str, str]) -> str:
    parts: list[str] = []
    at, within = 0, False
    while at < len(pattern):
        two = pattern[at : at + 2]
        if within and two == "[:" and ":]" in pattern[at:]:
            end = pattern.index(":]", at) + 2
            parts.append(pattern[at:end])
            at = end
        elif two[0] == "\\" and len(two) == 2:
            parts.append(_class(two, within, classes))
            at += 2
        else:
            opens = re.match(r"\[\^?\]?", pattern[at:]) if not within and two[0] == "[" else None
            parts.append(opens[0] if opens else two[0])
            at += len(parts[-1])
            within = opens is not None or (within and two[0] != "]")
    return "".join(parts)


def _class(escape: str, within: bool, classes: Mapping[str, str]) -> str:
    letters = classes.get(escape[1].lower())
    if letters is None:
        return escape
    if escape[1].islower():
        return letters if within else f"[{letters}]"
    if within:
        raise Unfit(f"{escape} within brackets", "the class itself, or its opposite without brackets", "write it out")
    return f"[^{letters}]"


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
