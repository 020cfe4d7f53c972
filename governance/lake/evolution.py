"""Creating and changing a table's schema in Iceberg: added, renamed, widened and dropped columns; nothing else.

Imports pyiceberg, so it is imported by `iceberg` only. A change is committed at once, before any file is written under
it; readers of an older snapshot keep that snapshot's schema.
"""

from __future__ import annotations

from pathlib import Path

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
)

from governance.errors import DeclarationError, Fault
from governance.lake.plan import split
from governance.lake.schema import LakeSchema, own_id_doc
from governance.lake.specs import TableSpec

_PROPERTIES = {
    "format-version": "2",
    "commit.manifest.min-count-to-merge": "10",
    "write.metadata.delete-after-commit.enabled": "false",
    "commit.retry.num-retries": "0",
}

_PRIMITIVES: dict[str, IcebergType] = {
    "string": StringType(),
    "long": LongType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "int": IntegerType(),
    "float": FloatType(),
    "date": DateType(),
    "timestamp": TimestampType(),
}


def create(catalog: SqlCatalog, root: Path, spec: TableSpec) -> None:
    """Create the table of `spec` under `root`. Raises pyiceberg's TableAlreadyExistsError."""
    namespace, name = split(spec.name)
    fields = [
        NestedField(number, column.name, _type(column.type, 1000 + number), doc=own_id_doc(column.id))
        for number, column in enumerate(spec.columns, start=1)
    ]
    partition = UNPARTITIONED_PARTITION_SPEC
    if spec.keeps_versions:
        source = next(field.field_id for field in fields if field.name == "_current")
        partition = PartitionSpec(PartitionField(source, 1000, IdentityTransform(), "_current"))
    catalog.create_table(
        (namespace, name),
        Schema(*fields),
        location=str(root / namespace / name),
        partition_spec=partition,
        properties=_PROPERTIES,
    )


def evolve(table: Table, spec: TableSpec, schema: LakeSchema) -> None:
    """Change the schema where it differs; `schema` is the table's present one."""
    renames = _renames(spec, schema)
    now = {renames.get(column.name, column.name): column for column in schema.columns}
    if len(now) < len(schema.columns):
        taken = ", ".join(sorted(renames.values()))
        raise DeclarationError(
            (Fault(spec.name, 1, taken, "renamed to a name that the table has", "", "rename in steps"),)
        )
    wanted = {column.name: column for column in spec.columns}
    added = [column for column in spec.columns if column.name not in now]
    dropped = [c.name for name, c in now.items() if name not in wanted and not name.startswith("_")]
    changed = [c for c in spec.columns if c.name in now and (now[c.name].type, now[c.name].own_id) != (c.type, c.id)]
    if not (renames or added or dropped or changed):
        return
    with table.update_schema() as update:
        for name in dropped:
            update.delete_column(name)
        for column in changed:
            before = now[column.name]
            if before.type != column.type and not _widens(before.type, column.type):
                found = f"{column.name}: type {before.type} cannot become {column.type}"
                raise DeclarationError((Fault(spec.name, 1, column.name, found, "a wider type", "use a new field"),))
            kind = _type(column.type, 0) if before.type != column.type else None
            update.update_column(before.name, field_type=kind, doc=own_id_doc(column.id))
        for old, new in renames.items():
            update.rename_column(old, new)
        for column in added:
            update.add_column(column.name, _type(column.type, 0), doc=own_id_doc(column.id))


def _renames(spec: TableSpec, schema: LakeSchema) -> dict[str, str]:
    """Old name -> new name of columns that the contract's own id identifies."""
    by_own_id = {column.own_id: column.name for column in schema.columns if column.own_id}
    pairs = ((by_own_id.get(column.id), column.name) for column in spec.columns if column.id)
    return {old: new for old, new in pairs if old is not None and old != new}


def _widens(before: str, after: str) -> bool:
    """Iceberg's promotions: int to long, float to double, decimal to more digits of the same scale."""
    if (before, after) in (("int", "long"), ("float", "double")):
        return True
    if before.startswith("decimal") and after.startswith("decimal"):
        (old_precision, old_scale), (precision, scale) = _digits(before), _digits(after)
        return old_scale == scale and precision >= old_precision
    return False


def _digits(kind: str) -> tuple[int, int]:
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)


def _type(kind: str, element_id: int) -> IcebergType:
    if kind == "list<string>":
        return ListType(element_id=element_id, element_type=StringType(), element_required=False)
    if kind.startswith("fixed["):
        return FixedType(int(kind[6:-1]))
    if kind.startswith("decimal("):
        return DecimalType(*_digits(kind))
    return _PRIMITIVES[kind]
