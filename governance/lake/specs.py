"""`TableSpec`: what a table of the lake looks like, derived from a contract. Pure.

Columns are named by the contract; their types are Iceberg's (`long`, `decimal(18, 2)`, `fixed[12]`, `list<string>`). A
column is encrypted when its field is sensitive or unclassified; tokens and our own columns are clear, raw text is
always encrypted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from governance.catalog.types import TOKEN_SUFFIX, ColumnType, Dataset, Field, Level, Model
from governance.keys.blocks import BLOCK_BYTES
from governance.keys.names import KeyName
from governance.keys.tokens import TOKEN_BYTES

TOKEN_TYPE = f"fixed[{TOKEN_BYTES}]"
DIGEST_TYPE = f"fixed[{BLOCK_BYTES}]"
RAW_GROUP = "raw"
FOOTER_GROUP = "footer"


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column. `group` only for encrypted ones; `dictionary` None lets the writer look at the first rows.

    `id` is the contract's own identity of the field (ODCS `id`): with it a renamed field keeps its column.
    """

    name: str
    type: str
    encrypted: bool = False
    group: str = ""
    dictionary: bool | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table. Keys of its columns are (owner, key_table, group, epoch); `epochs` names groups beyond their first."""

    name: str
    owner: str
    key_table: str
    columns: tuple[ColumnSpec, ...]
    kind: Literal["stored", "quarantine", "curated"]
    epochs: tuple[tuple[str, int], ...] = ()

    @property
    def keeps_versions(self) -> bool:
        """Whether `_current` is a partition, so that readers of the present never open history."""
        return any(column.name == "_current" for column in self.columns)

    def key(self, column: ColumnSpec) -> KeyName:
        """The key that an encrypted column is written under."""
        return self._key(column.group)

    @property
    def footer_key(self) -> KeyName:
        return self._key(FOOTER_GROUP)

    def column(self, name: str) -> ColumnSpec:
        """The column called `name`; KeyError if there is none."""
        for candidate in self.columns:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def _key(self, group: str) -> KeyName:
        return KeyName(self.owner, self.key_table, group, dict(self.epochs).get(group, 1))


def stored_spec(dataset: Dataset) -> TableSpec:
    """Passed rows of a dataset: contract fields, tokens, `_batch`, `_row`, and the version columns where versions are
    kept.
    """
    columns = [*_fields(dataset.fields), *_lineage()]
    if dataset.keeps_versions:
        columns += [
            ColumnSpec("_rowdigest", DIGEST_TYPE, dictionary=False),
            ColumnSpec("_valid_from", "timestamp", dictionary=True),
            ColumnSpec("_valid_to", "timestamp", dictionary=True),
            ColumnSpec("_recorded_at", "timestamp", dictionary=True),
            ColumnSpec("_current", "boolean"),
            ColumnSpec("_held", "boolean"),
        ]
    return TableSpec(dataset.name, dataset.department, dataset.name, tuple(columns), "stored")


def quarantine_spec(dataset: Dataset) -> TableSpec:
    """Rows that failed: contract fields, tokens, `_batch`, `_row`, reasons, raw text and state of repair. Keys of their
    own.
    """
    columns = [
        *_fields(dataset.fields),
        *_lineage(),
        ColumnSpec("_reasons", "list<string>", dictionary=True),
        ColumnSpec("_rules_hash", "string", dictionary=True),
        ColumnSpec("_raw", "string", encrypted=True, group=RAW_GROUP),
        ColumnSpec("_line", "string", encrypted=True, group=RAW_GROUP),
        ColumnSpec("_state", "string", dictionary=True),
    ]
    name = f"{dataset.name}__quarantine"
    return TableSpec(name, dataset.department, f"{dataset.name}.quarantine", tuple(columns), "quarantine")


def curated_spec(model: Model, *, classifications: Mapping[str, Level | None] | None = None) -> TableSpec:
    """A curated table: its contract's fields and their tokens. `classifications` (by column, e.g. inherited) replace
    the contract's.

    A field whose name ends with `__token` holds tokens that the model carried on.
    """
    contract, given = model.contract, classifications or {}
    fields = tuple(replace(f, classification=given[f.name]) if f.name in given else f for f in contract.fields)
    return TableSpec(contract.name, contract.department or "curated", contract.name, tuple(_fields(fields)), "curated")


def iceberg_type(kind: ColumnType) -> str:
    """Iceberg's name of a contract's type.

    >>> iceberg_type(ColumnType("decimal", 18, 2)), iceberg_type(ColumnType("integer"))
    ('decimal(18, 2)', 'long')
    """
    match kind.kind:
        case "integer":
            return "long"
        case "decimal":
            return f"decimal({kind.precision}, {kind.scale})"
        case other:
            return other


def _fields(fields: tuple[Field, ...]) -> Iterator[ColumnSpec]:
    names = {field.name for field in fields}
    for field in fields:
        if field.name.endswith(TOKEN_SUFFIX):
            yield ColumnSpec(field.name, TOKEN_TYPE, dictionary=False, id=field.id)
        else:
            group = field.group if field.encrypted else ""
            kind = iceberg_type(field.type)
            yield ColumnSpec(field.name, kind, encrypted=field.encrypted, group=group, id=field.id)
    for field in fields:
        if field.token_name and field.token_name not in names:
            own_id = f"{field.id}{TOKEN_SUFFIX}" if field.id else ""
            yield ColumnSpec(field.token_name, TOKEN_TYPE, dictionary=False, id=own_id)


def _lineage() -> tuple[ColumnSpec, ...]:
    return ColumnSpec("_batch", "string", dictionary=True), ColumnSpec("_row", "long", dictionary=False)
