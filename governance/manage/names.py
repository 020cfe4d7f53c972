"""Names of a suite's rules, which incidents, trends and reasons in quarantine live by: another expectation that comes or goes changes none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

_OF_ITSELF = (":rows", ":counted")
"""What a rule's own counting rules are called behind its name."""


def rule_names(expectations: Iterable[tuple[str, Mapping[str, Any]]], *, prefix: str = "suite") -> tuple[str, ...]:
    """A name for each (type, kwargs), in order: the type, its columns, a digest of its row condition if it has one, and a number from 2 only
    where an earlier one has all of these. Bounds, sets and `mostly` may change without a new name.

    >>> low = ("expect_column_min_to_be_between", {"column": "a", "min_value": 1})
    >>> rule_names([low, low, ("expect_table_row_count_to_equal", {"value": 1, "row_condition": "b > 1"})])
    ('suite:expect_column_min_to_be_between:a', 'suite:expect_column_min_to_be_between:a:2', 'suite:expect_table_row_count_to_equal:table:if-5a0d27')
    """
    taken: set[str] = set()
    names = []
    for kind, kwargs in expectations:
        name = plain = ":".join([prefix, kind.lower(), _columns(kwargs), *_condition(kwargs)])
        number = 1
        while taken & {name, *(name + suffix for suffix in _OF_ITSELF)}:
            number += 1
            name = f"{plain}:{number}"
        taken |= {name, *(name + suffix for suffix in _OF_ITSELF)}
        names.append(name)
    return tuple(names)


def _columns(kwargs: Mapping[str, Any]) -> str:
    """The column or columns, or `table`."""
    if "column" in kwargs:
        return str(kwargs["column"])
    if "column_A" in kwargs:
        return f"{kwargs.get('column_A')}+{kwargs.get('column_B')}"
    names = kwargs.get("column_list")
    return "+".join(map(str, names)) if isinstance(names, list) else "table"


def _condition(kwargs: Mapping[str, Any]) -> list[str]:
    condition = kwargs.get("row_condition")
    if not condition:
        return []
    text = json.dumps(condition, ensure_ascii=False, sort_keys=True)
    return [f"if-{hashlib.sha256(text.encode('utf-8')).hexdigest()[:6]}"]
