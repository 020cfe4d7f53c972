"""Compiled rules tried on an empty table: what DuckDB cannot bind is a fault of the suite, found before any data is read."""

from __future__ import annotations

from collections.abc import Sequence

from governance.catalog.rules import CodeSetRule, RowRule, Rule, TableRule
from governance.catalog.suites import Entry
from governance.catalog.types import Dataset
from governance.errors import Fault
from governance.manage.sql import quoted


def bind_faults(dataset: Dataset, compiled: Sequence[tuple[Entry, Sequence[Rule]]], file: str) -> list[Fault]:
    """A fault for each expectation with a rule whose SQL does not fit the dataset's columns."""
    import duckdb

    faults = []
    with duckdb.connect() as connection:
        columns = [f"{quoted(f.name)} {f.type.duckdb()}" for f in dataset.fields]
        columns += [f"{quoted(f.name + '__bad')} BOOLEAN" for f in dataset.fields if f.type.kind != "string"]
        connection.execute(f"CREATE TABLE t ({', '.join(columns)})")
        for entry, rules in compiled:
            try:
                for sql in (text for rule in rules for text in _expressions(rule)):
                    connection.execute(f"SELECT {sql} FROM t")  # noqa: S608
            except duckdb.Error as error:
                found = str(error).splitlines()[0]
                faults.append(
                    Fault(file, entry.line, entry.path, found, "an expression on the contract's types", "correct it")
                )
    return faults


def _expressions(rule: Rule) -> list[str]:
    texts = [] if isinstance(rule, TableRule) else [rule.applies]
    match rule:
        case RowRule():
            texts.append(rule.unexpected)
        case TableRule():
            texts.append(rule.value)
        case CodeSetRule():
            texts.append(rule.key)
    return [text for text in texts if text]
