"""A small home on disk for the tests of the catalogue."""

from __future__ import annotations

from pathlib import Path

from governance.catalog.load import load_catalogue
from governance.catalog.types import Catalogue
from governance.config import Settings, load_settings
from governance.errors import DeclarationError, Fault

PEOPLE = """\
apiVersion: v3.1.0
kind: DataContract
id: health-people
version: 1.2.0
status: active
description:
  purpose: Who lives here.
servers:
  - server: files
    type: local
    path: sources/people.csv
    format: csv
    customProperties:
      - {property: gov.encoding, value: gb18030}
      - {property: gov.delimiter, value: ";"}
schema:
  - name: people
    customProperties:
      - {property: gov.system, value: register}
      - {property: gov.loadMode, value: snapshot_diff}
      - {property: gov.watermark, value: born}
      - {property: gov.maxQuarantine, value: 0.25}
      - {property: gov.deduplicate, value: identical}
    properties:
      - name: number
        physicalName: 编号
        logicalType: string
        primaryKey: true
        required: true
        unique: true
        classification: L4
        tags: [personal]
        logicalTypeOptions: {pattern: "^[0-9]+$", minLength: 2, maxLength: 18}
        customProperties:
          - {property: gov.domain, value: person}
          - {property: gov.check, value: resident_number}
          - {property: gov.severity.unique, value: warn}
      - name: sex
        logicalType: string
        classification: L2
        customProperties:
          - {property: gov.codeSet, value: sex}
          - {property: gov.sharing, value: conditional}
          - {property: gov.open, value: true}
          - {property: gov.keyGroup, value: persons}
      - name: born
        logicalType: date
        logicalTypeOptions: {format: dd/MM/yyyy, minimum: "1900-01-01", exclusiveMaximum: "2100-01-01"}
        classification: L3
      - name: income
        logicalType: number
        physicalType: DECIMAL(18,2)
        logicalTypeOptions: {exclusiveMinimum: 0, minimum: -5, maximum: 1.5e+3}
team:
  members:
    - {username: wang, role: analyst}
    - {username: li, role: Steward}
slaProperties:
  - {property: frequency, value: 1, unit: m}
"""

VISITS = """\
apiVersion: v3.0.2
kind: DataContract
id: health-visits
version: 1.0.0
status: active
schema:
  - name: visits
    properties:
      - name: visit
        logicalType: integer
        classification: L1
      - name: person
        logicalType: string
        classification: L4
        relationships:
          - to: people.number
        customProperties:
          - {property: gov.domain, value: person}
"""

SEX = "code,name,valid_from,valid_to\n1,男性,,\n2,女性,1980-01-01,2030-01-01\n"
SUITE = """{
  "name": "people",
  "expectations": [
    {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "number"}, "severity": "critical"}
  ]
}
"""
MODEL = """\
-- People and how often they came.
-- gov.declassify: visits L1 because a count

SELECT p.number__token AS number__token, count(*) AS visits
FROM health.people AS p
GROUP BY p.number__token
"""
MODEL_CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: curated-visitor
version: 1.0.0
status: active
schema:
  - name: visitor
    properties:
      - {name: number__token, logicalType: string, classification: L4}
      - {name: visits, logicalType: integer, classification: L1}
"""
CHECK = "-- gov.severity: stop\nSELECT number__token AS token FROM health.people\n"

FILES = {
    "catalog/health/people.odcs.yaml": PEOPLE,
    "catalog/health/visits.odcs.yaml": VISITS,
    "catalog/standards/sex.csv": SEX,
    "catalog/access.yaml": "version: 1\n",
    "expectations/health/people.json": SUITE,
    "catalog/curated/visitor.sql": MODEL,
    "catalog/curated/visitor.odcs.yaml": MODEL_CONTRACT,
    "catalog/curated/visitor.twice.check.sql": CHECK,
}


def write(home: Path, files: dict[str, str]) -> Settings:
    """The files written below `home`, and its settings."""
    files = {"gov.toml": "", **files}
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    return load_settings(home)


def load(home: Path, files: dict[str, str]) -> Catalogue:
    return load_catalogue(write(home, files))


def faults(home: Path, files: dict[str, str]) -> tuple[Fault, ...]:
    """The faults of a home with these files; empty when it loads."""
    try:
        load(home, files)
    except DeclarationError as error:
        return error.faults
    return ()


def line_of(text: str, part: str) -> int:
    """Line (from 1) of the first appearance of `part`."""
    assert part in text
    return text[: text.index(part)].count("\n") + 1
