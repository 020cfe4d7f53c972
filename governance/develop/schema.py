"""The tables that a model may read, as sqlglot and DuckDB see them: a contract's fields, their tokens, `_batch` and
`_row`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlglot import exp

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Dataset


@dataclass(frozen=True, slots=True)
class Schema:
    """`tables`: (db, table) in lower case -> name; `types`: name -> column in lower case -> DuckDB type; `columns`:
    -> real name."""

    tables: Mapping[tuple[str, str], str]
    types: Mapping[str, Mapping[str, str]]
    columns: Mapping[str, Mapping[str, str]]

    def nested(self) -> dict[str, object]:
        """The form that sqlglot's optimizer takes."""
        result: dict[str, dict[str, dict[str, str]]] = {}
        for (db, table), name in self.tables.items():
            result.setdefault(db, {})[table] = dict(self.types[name])
        return dict(result)

    def ddl(self) -> list[str]:
        """Statements that make empty tables of these types in DuckDB."""
        statements = [f"CREATE SCHEMA IF NOT EXISTS {_quoted(db)}" for db in sorted({db for db, _ in self.tables})]
        for (db, table), name in sorted(self.tables.items()):
            columns = ", ".join(f"{_quoted(c)} {t}" for c, t in self.types[name].items())
            statements.append(f"CREATE TABLE {_quoted(db)}.{_quoted(table)} ({columns})")
        return statements


def table_columns(dataset: Dataset) -> dict[str, str]:
    """Readable columns of one table and their DuckDB types: fields in contract order, token columns after them, then
    the position.

    Curated tables have no position of a source record.
    """
    columns = {f.name: "BLOB" if f.name.endswith(TOKEN_SUFFIX) else f.type.duckdb() for f in dataset.fields}
    columns |= {f.token_name: "BLOB" for f in dataset.fields if f.token_name}
    if dataset.department != "curated" and not dataset.name.startswith("curated."):
        columns |= {"_batch": "VARCHAR", "_row": "BIGINT"}
    return columns


def schema_of(catalogue: Catalogue, names: Iterable[str]) -> Schema:
    """The schema of these tables; names that the catalogue does not have are left out."""
    tables: dict[tuple[str, str], str] = {}
    types: dict[str, dict[str, str]] = {}
    columns: dict[str, dict[str, str]] = {}
    for name in sorted(set(names)):
        if name not in catalogue.datasets and name not in catalogue.models:
            continue
        db, _, table = name.partition(".")
        tables[db.lower(), table.lower()] = name
        found = table_columns(catalogue.table(name))
        types[name] = {c.lower(): t for c, t in found.items()}
        columns[name] = {c.lower(): c for c in found}
    return Schema(tables, types, columns)


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")
