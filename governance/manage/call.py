"""`Call`: one expectation being compiled, with what its function may ask for; `Compiled`: what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from governance.catalog.rules import RowRule, Rule, TableRule, UniqueRule
from governance.catalog.types import Dataset, Field, Severity
from governance.manage.sql import Node, Unfit, all_of, column, is_null, negate, not_null, only, render


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of one expectation. `holds`: its one rule tells whether it holds (a count of breaches, or a boolean), because the
    value that GX would look at may not leave the store pass."""

    rules: tuple[Rule, ...]
    holds: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One expectation: its kwargs, its dataset, and the row condition as a tree."""

    dataset: Dataset
    id: str
    kwargs: Mapping[str, Any]
    row_severity: Severity
    table_severity: Severity
    scope: str
    condition: Node | None

    def field(self, key: str = "column") -> Field:
        """The field that a kwarg names. Raises Unfit when the dataset has none."""
        return self.named(self.kwargs.get(key), key)

    def named(self, name: object, key: str) -> Field:
        try:
            return self.dataset.field(str(name))
        except KeyError:
            columns = ", ".join(f.name for f in self.dataset.fields)
            if name is None:
                raise Unfit(f"{key!r} is missing", columns, "name a column of the contract") from None
            raise Unfit(f"{key}: there is no column '{name}'", columns, "name a column of the contract") from None

    def fields(self) -> tuple[Field, ...]:
        names = self.kwargs.get("column_list")
        if not isinstance(names, list) or len(names) < 2:
            raise Unfit("column_list is not a list of at least two columns", "names of columns")
        if len(set(map(str, names))) < len(names):
            raise Unfit("column_list names a column twice", "each column once", "remove one of them")
        return tuple(self.named(name, "column_list") for name in names)

    def values(self, key: str) -> list[Any]:
        return list(self.kwargs[key])

    def row(self, fields: Sequence[Field], unexpected: Node, *, speaks_of: Node | None) -> Compiled:
        """A rule on single rows. `speaks_of` is GX's null handling: the rows that count; None means all."""
        applies = self._applies(speaks_of)
        broken = render(only(_paren(self.condition), exp.paren(unexpected) if self.condition else unexpected))
        names = tuple(dict.fromkeys(f.name for f in fields))
        if self.scope == "table":
            raise Unfit("scope table on a rule about single rows", "scope batch", "remove meta.gov.scope")
        return Compiled((RowRule(self.id, self.row_severity, names, broken, applies), *self._element_count()))

    def unique(self, fields: Sequence[Field], *, speaks_of: Node) -> Compiled:
        if self.scope == "table":
            raise Unfit("scope table on a rule about uniqueness", "scope batch", "remove meta.gov.scope")
        names = tuple(f.name for f in fields)
        return Compiled(
            (UniqueRule(self.id, self.row_severity, names, self._applies(speaks_of)), *self._element_count())
        )

    def table(self, fields: Sequence[Field], value: Node, *, holds: bool = False) -> Compiled:
        """A rule about the whole batch; `value` is an aggregate, already filtered."""
        names = tuple(f.name for f in fields)
        return Compiled((TableRule(self.id, self.table_severity, names, render(value), self.scope),), holds)

    def filtered(self, aggregate: Node, extra: Node | None = None) -> Node:
        """The aggregate over the rows of the row condition."""
        parts = [n for n in (_paren(self.condition), _paren(extra)) if n is not None]
        return exp.Filter(this=aggregate, expression=exp.Where(this=all_of(parts))) if parts else aggregate

    def _applies(self, speaks_of: Node | None) -> str:
        parts = [n for n in (_paren(self.condition), speaks_of) if n is not None]
        return render(all_of(parts)) if parts else ""

    def _element_count(self) -> tuple[Rule, ...]:
        """How many rows the row condition leaves: GX's element count, which the rule's own counts cannot tell."""
        if self.condition is None:
            return ()
        count = self.filtered(exp.Count(this=exp.Star()))
        return (TableRule(f"{self.id}:rows", "warn", (), render(count), self.scope),)

    def _counted(self, applies: str) -> tuple[Rule, ...]:
        """GX's count of rows that it looks at: it keeps rows with some NULLs, which the unique rule does not speak of."""
        return (TableRule(f"{self.id}:counted", "warn", (), f"COUNT(*) FILTER(WHERE {applies})", self.scope),)


def present(field: Field) -> Node:
    """GX's null handling of a rule on one column: rows with a value count."""
    return not_null(column(field.name))


def counted(fields: Sequence[Field], kwargs: Mapping[str, Any], *, pair: bool = False) -> Node | None:
    """GX's `ignore_row_if` of a pair, or of more columns, as the rows that count; None means every row."""
    all_missing, any_missing, never = _OF_PAIRS if pair else _OF_MORE
    ignored = kwargs.get("ignore_row_if", all_missing)
    if ignored == all_missing:
        return negate(all_of([is_null(column(f.name)) for f in fields]))
    if ignored == any_missing:
        return all_of([not_null(column(f.name)) for f in fields])
    if ignored == never:
        return None
    raise Unfit(f"ignore_row_if: {ignored!r}", ", ".join([all_missing, any_missing, never]))


_OF_PAIRS = ("both_values_are_missing", "either_value_is_missing", "neither")
_OF_MORE = ("all_values_are_missing", "any_value_is_missing", "never")


def _paren(node: Node | None) -> Node | None:
    return None if node is None else exp.paren(node.copy())
