"""What a dataset *is*: the frozen values that a catalogue is parsed into. No I/O here.

A dataset is named `<department>.<name>`; a curated table `curated.<name>`. SQL models, policies, lineage and the lake all use that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from governance.catalog.service_level import Period

TOKEN_SUFFIX = "__token"
"""The token column of identifier field `f` is `f__token`: 12 bytes, NULL where the identifier is NULL."""

LINEAGE_COLUMNS = ("_batch", "_row")
"""Every stored table carries these: the batch id (text) and the ordinal of the parsed record in its batch (int64, from 1)."""

VERSION_COLUMNS = ("_rowdigest", "_valid_from", "_valid_to", "_recorded_at", "_current", "_held")
"""Stored tables of load modes that keep versions carry these too."""


class Level(StrEnum):
    """Sensitivity of a field, L1 lowest (GB/T 43697-2024 speaks of general, important and core data; L1-L4 refine the general)."""

    L1 = "L1"
    L2 = "L2"
    L3 = "L3"
    L4 = "L4"


SENSITIVE = frozenset({Level.L3, Level.L4})
UNCLASSIFIED = "unclassified"

LoadMode = Literal["full", "append", "snapshot_diff", "upsert"]
Severity = Literal["warn", "quarantine", "stop"]
Kind = Literal["string", "integer", "decimal", "double", "boolean", "date", "timestamp"]


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A contract's type of one column. `precision` and `scale` only for decimals (1..38).

    >>> ColumnType("decimal", 18, 2).duckdb()
    'DECIMAL(18,2)'
    """

    kind: Kind
    precision: int | None = None
    scale: int | None = None

    def duckdb(self) -> str:
        match self.kind:
            case "string":
                return "VARCHAR"
            case "integer":
                return "BIGINT"
            case "decimal":
                return f"DECIMAL({self.precision},{self.scale})"
            case "double":
                return "DOUBLE"
            case "boolean":
                return "BOOLEAN"
            case "date":
                return "DATE"
            case "timestamp":
                return "TIMESTAMP"


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: this field's values are values of `dataset`.`field`."""

    dataset: str
    field: str


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a dataset, with what governs it. `classification` None means that nobody has classified it: treated as sensitive."""

    name: str
    type: ColumnType
    source_name: str
    """The name in the source (ODCS physicalName); equals `name` when the contract gives none."""
    required: bool = False
    unique: bool = False
    primary_key_position: int | None = None
    classification: Level | None = None
    tags: tuple[str, ...] = ()
    domain: str | None = None
    """Identifier domain (person, enterprise, ...): the field gets a token column by which departments join."""
    key_group: str | None = None
    """From `gov.keyGroup`; default the level, or `unclassified`. See `group`."""
    code_set: str | None = None
    check: str | None = None
    """A semantic check by name: resident_number, credit_code, division_at_birth, ... (`manage.semantics`)."""
    pattern: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_length: int | None = None
    max_length: int | None = None
    exact: bool = False
    """A decimal that has more places than its scale does not convert, instead of being rounded (`multipleOf`)."""
    format: str | None = None
    """strptime format of dates and timestamps in the source; None means ISO 8601."""
    references: Reference | None = None
    sharing: Literal["unconditional", "conditional", "none"] = "none"
    open: bool = False
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """Severity by base rule (required, unique, type, range, pattern, length, codeSet, reference, check); default quarantine."""
    description: str = ""
    line: int = 0
    id: str = ""
    """ODCS `id`, if the contract gives one: with it a renamed field keeps its column in the lake."""

    @property
    def encrypted(self) -> bool:
        """Sensitive (L3, L4), or classified by nobody yet."""
        return self.classification is None or self.classification in SENSITIVE

    @property
    def group(self) -> str:
        """The key group that opens this field: each field has exactly one."""
        if self.key_group:
            return self.key_group
        return self.classification.value if self.classification else UNCLASSIFIED

    @property
    def token_name(self) -> str | None:
        return f"{self.name}{TOKEN_SUFFIX}" if self.domain else None


@dataclass(frozen=True, slots=True)
class FileSource:
    """Files in a folder or at one path: `location` may hold a glob. gzip is recognised by its first bytes."""

    location: str
    format: Literal["csv", "jsonl", "excel", "parquet"]
    encoding: str = "utf-8"
    delimiter: str = ","
    sheet: str | None = None
    kind: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class HttpSource:
    """One address that answers with a file of `format`."""

    location: str
    format: Literal["csv", "jsonl"]
    encoding: str = "utf-8"
    delimiter: str = ","
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True)
class DatabaseSource:
    """One table or view of a relational database that SQLAlchemy can reach; `location` is its URL (password by `${VARIABLE}`)."""

    location: str
    table: str
    schema: str | None = None
    kind: Literal["database"] = "database"


Source = FileSource | HttpSource | DatabaseSource


@dataclass(frozen=True, slots=True)
class Dataset:
    """One contract's dataset. `text_hash` is the sha256 of the contract's text, kept in `state` as what was in force."""

    name: str
    """`<department>.<dataset>`."""
    department: str
    system: str
    version: str
    fields: tuple[Field, ...]
    source: Source | None
    """None for curated tables and for contracts that name no server yet (such a dataset cannot be collected)."""
    file: str
    """Path of the contract relative to the home."""
    text_hash: str
    load_mode: LoadMode = "full"
    watermark: str | None = None
    deduplicate: Literal["identical"] | None = None
    max_quarantine: float = 1.0
    owner: str = ""
    """The steward: ODCS team member with role `steward` or `owner`."""
    update_cycle: str | None = None
    frequency: Period | None = None
    latency: Period | None = None
    """How often a batch is due, and how long after its window's end at the latest; bounds of its records."""
    min_rows: int | None = None
    max_rows: int | None = None
    drift: Literal["warn", "stop"] | None = None
    """What becomes of a batch that is unlike those before it; None: nobody looks."""
    suite: str | None = None
    """Path of the GX suite relative to the home, if there is one."""
    description: str = ""

    @property
    def short(self) -> str:
        return self.name.partition(".")[2]

    @property
    def key(self) -> tuple[Field, ...]:
        """Primary key fields in their order; empty when the contract declares none."""
        return tuple(
            sorted((f for f in self.fields if f.primary_key_position), key=lambda f: f.primary_key_position or 0)
        )

    @property
    def keeps_versions(self) -> bool:
        return self.load_mode in ("snapshot_diff", "upsert")

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError if there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class CodeSet:
    """An allowed list of codes (`catalog/standards/<name>.csv` with a column `code`, optionally `name`, `valid_from`, `valid_to`)."""

    name: str
    file: str
    text_hash: str
    codes: tuple[str, ...]
    valid_from: Mapping[str, str] = field(default_factory=dict)
    valid_to: Mapping[str, str] = field(default_factory=dict)
    """Only codes with an end appear; ISO dates, half-open."""


@dataclass(frozen=True, slots=True)
class Check:
    """A cross-department rule beside a model: a SELECT whose every row is a finding (`curated/<model>.<name>.check.sql`)."""

    name: str
    model: str
    sql: str
    file: str
    text_hash: str
    severity: Severity = "warn"


@dataclass(frozen=True, slots=True)
class Model:
    """A curated table: one SELECT (`curated/<name>.sql`) or Python step (`curated/<name>.py`), and its contract
    (`curated/<name>.odcs.yaml`)."""

    name: str
    """`curated.<name>`."""
    sql: str
    """Its text: of a step its Python."""
    file: str
    text_hash: str
    contract: Dataset
    checks: tuple[Check, ...] = ()
    tolerance: str | None = None
    """Declared reason why the model may break repeatability (`-- gov.tolerance: ...` in its head)."""
    declassify: Mapping[str, tuple[Level, str]] = field(default_factory=dict)
    """Output column -> (lower level, evidence), from `-- gov.declassify: column L2 because ...` lines."""
    lineage: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    """Output column, or `*` for the rows -> (`<table>.<column>` each, evidence), from `-- gov.lineage:` lines: what a person
    declares where it cannot be found."""
    language: Literal["sql", "python"] = "sql"


@dataclass(frozen=True, slots=True)
class Suite:
    """A GX suite in GX's own JSON: `expectations/<department>/<dataset>.json`."""

    dataset: str
    file: str
    text: str
    text_hash: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that one home declares, parsed and without a fault. `text_of` maps a text hash to the text itself."""

    datasets: Mapping[str, Dataset]
    models: Mapping[str, Model]
    code_sets: Mapping[str, CodeSet]
    suites: Mapping[str, Suite]
    access_file: str
    access_text: str
    """The text of `catalog/access.yaml`; `governance.policy` parses it."""
    texts: Mapping[str, str]
    """text hash -> text of every declaration, for `state` to keep."""
    left_out: frozenset[str] = frozenset()
    """Tables and code sets that are declared with faults, of a home that was opened for its sound ones."""

    def table(self, name: str) -> Dataset:
        """The contract of a dataset or of a curated table; KeyError if neither."""
        if name in self.datasets:
            return self.datasets[name]
        return self.models[name].contract

    @property
    def departments(self) -> tuple[str, ...]:
        return tuple(sorted({d.department for d in self.datasets.values()}))
