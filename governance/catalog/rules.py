"""`RowRules`: what `manage` compiles a contract and a suite to, and what `store` and `develop` evaluate in one pass.

Every SQL text here is a DuckDB boolean or scalar expression over the *typed* columns of one table (quoted names), printed from a sqlglot
tree. `unexpected` is TRUE for a row that breaks the rule; NULL counts as not broken. `applies` is TRUE for a row that the rule speaks of
(GX: not ignored by the null rule or `row_condition`); the empty text means every row.
"""

from __future__ import annotations

from dataclasses import dataclass

from governance.catalog.types import Severity


@dataclass(frozen=True, slots=True)
class RowRule:
    """One expression on one row. `type:` rules (a value that did not convert) come as this kind as well."""

    id: str
    """Stable and readable: `required:name`, `range:amount`, `suite:<gx type>:<column>` (`manage.names`)."""
    severity: Severity
    columns: tuple[str, ...]
    unexpected: str
    applies: str = ""
    kind: str = "row"


@dataclass(frozen=True, slots=True)
class UniqueRule:
    """Every row of a group that repeats (`columns` all not NULL) is unexpected, as GX counts."""

    id: str
    severity: Severity
    columns: tuple[str, ...]
    applies: str = ""
    kind: str = "unique"


@dataclass(frozen=True, slots=True)
class CodeSetRule:
    """A value that is not NULL must be a code of the set; with `valid_at`, valid on the date in that column (half-open)."""

    id: str
    severity: Severity
    columns: tuple[str, ...]
    code_set: str
    valid_at: str | None = None
    key: str = ""
    """Expression that gives the code; the empty text means the column itself (e.g. the first six characters of a resident number)."""
    applies: str = ""
    kind: str = "code_set"


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """A value that is not NULL must exist in `dataset`.`field` at the base snapshot; compared by token when the field has a domain."""

    id: str
    severity: Severity
    columns: tuple[str, ...]
    dataset: str
    field: str
    applies: str = ""
    kind: str = "reference"


@dataclass(frozen=True, slots=True)
class TableRule:
    """An aggregate over the batch's typed rows (`scope` batch) or the table with this batch (`scope` table): may warn or stop, never quarantine."""

    id: str
    severity: Severity
    columns: tuple[str, ...]
    value: str
    """Aggregate expression; its result is the metric."""
    scope: str = "batch"
    kind: str = "table"


Rule = RowRule | UniqueRule | CodeSetRule | ReferenceRule | TableRule


@dataclass(frozen=True, slots=True)
class Expectation:
    """How one GX expectation reads its metrics from rules. `config` is its JSON in GX's form; `rule_ids` the rules it stands for."""

    id: str
    config: str
    rule_ids: tuple[str, ...]
    holds: bool = False
    """The one rule is a table rule whose value is TRUE when the expectation holds, instead of the metric that GX would look at."""


@dataclass(frozen=True, slots=True)
class RowRules:
    """All rules of one dataset, with the hash of what they were compiled from. Order is the order of reasons in quarantine."""

    dataset: str
    rules: tuple[Rule, ...]
    expectations: tuple[Expectation, ...]
    hash: str

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(rule.id for rule in self.rules)
