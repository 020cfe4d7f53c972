"""The catalogue as DCAT-AP 3 in JSON-LD: what there is, whose it is, how open it is. By the declarations and the live release alone.

A table whose every field is open for everybody is PUBLIC, one with a sensitive or unclassified field NON_PUBLIC, any other RESTRICTED (the
EU authority's access rights). Published tables have a distribution: the query service at `base`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from governance.catalog.types import Catalogue, Dataset, Kind

_RIGHTS = "http://publications.europa.eu/resource/authority/access-right/"
_CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "csvw": "http://www.w3.org/ns/csvw#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "adms": "http://www.w3.org/ns/adms#",
}
_TYPES: dict[Kind, str] = {
    "string": "xsd:string",
    "integer": "xsd:integer",
    "decimal": "xsd:decimal",
    "double": "xsd:double",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "timestamp": "xsd:dateTime",
}


def dcat(catalogue: Catalogue, *, base: str, title: str, published: Iterable[str] = ()) -> dict[str, Any]:
    """The catalogue as one JSON-LD document; identifiers lie below `base`."""
    base = base.rstrip("/")
    tables = {**catalogue.datasets, **{name: model.contract for name, model in catalogue.models.items()}}
    open_tables = set(published)
    datasets = [_dataset(table, base, name in open_tables) for name, table in sorted(tables.items())]
    departments = sorted({table.department for table in tables.values()})
    whole: dict[str, Any] = {
        "@id": f"{base}/catalogue",
        "@type": "dcat:Catalog",
        "dct:title": title,
        "dct:description": f"{len(datasets)} datasets of {len(departments)} departments",
        "dct:publisher": {"@id": f"{base}/agent"},
        "dcat:dataset": [{"@id": dataset["@id"]} for dataset in datasets],
    }
    agents = [{"@id": f"{base}/agent", "@type": "foaf:Agent", "foaf:name": title}]
    agents += [
        {"@id": _place(base, "department", name), "@type": "foaf:Agent", "foaf:name": name} for name in departments
    ]
    service = {
        "@id": f"{base}/service",
        "@type": "dcat:DataService",
        "dct:title": "Query service",
        "dcat:endpointURL": {"@id": f"{base}/v1/query"},
        "dcat:servesDataset": [{"@id": _place(base, "dataset", name)} for name in sorted(open_tables)],
    }
    return {"@context": _CONTEXT, "@graph": [whole, *agents, *([service] if open_tables else []), *datasets]}


def _dataset(table: Dataset, base: str, published: bool) -> dict[str, Any]:
    place = _place(base, "dataset", table.name)
    found: dict[str, Any] = {
        "@id": place,
        "@type": "dcat:Dataset",
        "dct:identifier": table.name,
        "dct:title": table.name,
        "dct:description": table.description or f"{table.name}: {len(table.fields)} fields",
        "dct:publisher": {"@id": _place(base, "department", table.department)},
        "dct:accessRights": {"@id": _RIGHTS + _rights(table)},
        "dcat:version": table.version,
        "dcat:keyword": sorted({tag for field in table.fields for tag in field.tags}),
        "csvw:tableSchema": {
            "@type": "csvw:Schema",
            "csvw:column": {
                "@list": [_column(field.name, field.type.kind, field.description) for field in table.fields]
            },
        },
    }
    if table.owner:
        found["dcat:contactPoint"] = {"@type": "vcard:Kind", "vcard:fn": table.owner}
    if table.update_cycle:
        found["adms:versionNotes"] = f"updated: {table.update_cycle}"
    if published:
        found["dcat:distribution"] = {
            "@id": f"{place}/distribution",
            "@type": "dcat:Distribution",
            "dcat:accessURL": {"@id": f"{base}/v1/tables/{quote(table.name, safe='')}"},
            "dcat:accessService": {"@id": f"{base}/service"},
        }
    return found


def _column(name: str, kind: Kind, description: str) -> dict[str, Any]:
    column = {"@type": "csvw:Column", "csvw:name": name, "csvw:datatype": {"@id": _TYPES[kind]}}
    return {**column, "dct:description": description} if description else column


def _rights(table: Dataset) -> str:
    if any(field.encrypted for field in table.fields):
        return "NON_PUBLIC"
    return "PUBLIC" if all(field.open for field in table.fields) else "RESTRICTED"


def _place(base: str, kind: str, name: str) -> str:
    return f"{base}/{kind}/{quote(name, safe='')}"
