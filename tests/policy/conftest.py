"""A small catalogue of one curated table, built as values."""

from __future__ import annotations

import pytest

from governance.catalog.types import Catalogue, ColumnType, Dataset, Field, Level, Model

STRING = ColumnType("string")


def person_fields():
    return (
        Field("id_number", STRING, "id_number", classification=Level.L4, tags=("identifier",), domain="person"),
        Field("name", STRING, "name", classification=Level.L3, tags=("name",)),
        Field("phone", STRING, "phone", classification=Level.L3, tags=("phone",)),
        Field("born", ColumnType("date"), "born", classification=Level.L3, tags=("birth",)),
        Field("income", ColumnType("decimal", 12, 2), "income", classification=Level.L3, tags=("money",)),
        Field("district", STRING, "district", classification=Level.L1),
        Field("rank", ColumnType("integer"), "rank", classification=Level.L2),
        Field("note", STRING, "note", classification=None),
    )


def curated(name, fields):
    contract = Dataset(name, "curated", "curated", "1.0.0", fields, None, f"catalog/curated/{name}.yaml", "0" * 64)
    return Model(name, "SELECT 1", f"catalog/curated/{name}.sql", "1" * 64, contract)


@pytest.fixture
def catalogue():
    firm = (
        Field("code", STRING, "code", classification=Level.L1),
        Field("boss", STRING, "boss", classification=Level.L3),
    )
    models = {
        "curated.person": curated("curated.person", person_fields()),
        "curated.firm": curated("curated.firm", firm),
    }
    return Catalogue({}, models, {}, {}, "catalog/access.yaml", "", {})
