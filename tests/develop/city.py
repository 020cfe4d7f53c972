"""A small catalogue in values, for tests of develop."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from governance.catalog.types import Catalogue, Check, ColumnType, Dataset, FileSource, Level, Model
from governance.catalog.types import Field as F

STRING, DATE, INTEGER = ColumnType("string"), ColumnType("date"), ColumnType("integer")
MONEY, FLOAT = ColumnType("decimal", 18, 2), ColumnType("double")


def dataset(name: str, fields: tuple[F, ...], **changes: Any) -> Dataset:
    department = name.partition(".")[0]
    values: dict[str, Any] = {
        "name": name,
        "department": department,
        "system": f"{department}_system",
        "version": "1.0.0",
        "fields": fields,
        "source": None if department == "curated" else FileSource(f"{name}.csv", "csv"),
        "file": f"catalog/{name.replace('.', '/')}.odcs.yaml",
        "text_hash": hashlib.sha256(name.encode()).hexdigest(),
    }
    return Dataset(**{**values, **changes})


RESIDENTS = dataset(
    "police.residents",
    (
        F("id_number", STRING, "身份证号", required=True, unique=True, primary_key_position=1,
          classification=Level.L4, domain="person"),
        F("name", STRING, "姓名", classification=Level.L3),
        F("birth_date", DATE, "出生日期", classification=Level.L2),
        F("division", STRING, "division", classification=Level.L1),
        F("note", STRING, "note"),
    ),
)  # fmt: skip
INSURED = dataset(
    "social.insured",
    (
        F("id_number", STRING, "id_number", classification=Level.L4, domain="person"),
        F("kind", STRING, "kind", classification=Level.L1),
        F("salary", MONEY, "salary", classification=Level.L3),
        F("score", FLOAT, "score", classification=Level.L1),
        F("month", INTEGER, "month", classification=Level.L1),
    ),
    load_mode="append",
)
TEXTS: dict[str, str] = {}


def model(sql: str, fields: tuple[F, ...] = (), **changes: Any) -> Model:
    contract = dataset("curated.m", fields)
    values: dict[str, Any] = {
        "name": "curated.m",
        "sql": sql,
        "file": "catalog/curated/m.sql",
        "text_hash": hashlib.sha256(sql.encode()).hexdigest(),
        "contract": contract,
    }
    return Model(**{**values, **changes})


def check(sql: str, name: str = "agrees") -> Check:
    return Check(
        name, "curated.m", sql, f"catalog/curated/m.{name}.check.sql", hashlib.sha256(sql.encode()).hexdigest()
    )


def catalogue(*models: Model, datasets: tuple[Dataset, ...] = (RESIDENTS, INSURED)) -> Catalogue:
    return Catalogue(
        datasets={d.name: d for d in datasets},
        models={m.name: m for m in models},
        code_sets={},
        suites={},
        access_file="catalog/access.yaml",
        access_text="",
        texts=TEXTS,
    )


def renamed(original: Model, name: str) -> Model:
    return replace(
        original,
        name=name,
        file=f"catalog/{name.replace('.', '/')}.sql",
        contract=replace(original.contract, name=name),
    )
