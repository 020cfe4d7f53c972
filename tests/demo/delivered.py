"""The deliveries of the demo city read without this project's parsers: sqlite3, csv, json, openpyxl."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
from pathlib import Path

import openpyxl
import pyarrow as pa

from governance.demo.city import ACCOUNTS_HEADER, CONTRIBUTIONS_HEADER, INSURED_HEADER

INSURED = "insured_no resident_no name birth_date division_code employer_code status insured_on"
CONTRIBUTIONS = "contribution_no resident_no employer_code period insurance_kind base personal_amount employer_amount"
ACCOUNTS = "account_no resident_no name employer_code monthly_deposit balance opened_on status"


def delivered(sources: Path) -> dict[str, pa.Table]:
    """Every dataset as text columns with `row`, the number of the record in its source, from 1; broken lines have a row and nothing else."""
    insurance = sources / "social_insurance"
    return {
        "public_security.residents": _database(sources / "public_security" / "population.sqlite", "residents"),
        "public_security.kinship": _database(sources / "public_security" / "population.sqlite", "kinship"),
        "social_insurance.insured": _csv(insurance / "insured.csv", INSURED_HEADER, INSURED.split()),
        "social_insurance.contributions": _csv(
            insurance / "contributions.csv", CONTRIBUTIONS_HEADER, CONTRIBUTIONS.split()
        ),
        "housing_fund.accounts": _excel(sources / "housing_fund" / "accounts.xlsx", ACCOUNTS.split()),
        "market_supervision.enterprises": _database(sources / "market_supervision" / "register.sqlite", "enterprises"),
        "market_supervision.legal_representatives": _database(
            sources / "market_supervision" / "register.sqlite", "legal_representatives"
        ),
        "tax.taxpayers": _jsonl(sources / "tax" / "taxpayers.jsonl.gz"),
        "tax.invoices": _jsonl(sources / "tax" / "invoices.jsonl.gz"),
    }


def _database(file: Path, table: str) -> pa.Table:
    connection = sqlite3.connect(file)
    try:
        cursor = connection.execute(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608
        names = [column[0] for column in cursor.description]
        return _table(names, [list(row) for row in cursor])
    finally:
        connection.close()


def _csv(file: Path, header: list[str], names: list[str]) -> pa.Table:
    """The csv module is laxer than a parser should be: a record counts as broken when it has another number of fields or junk behind a quote."""
    lines = file.read_bytes().decode("gb18030").split("\r\n")
    assert lines[0].split(",") == header
    assert lines[-1] == ""
    rows: list[list[object] | None] = []
    for line in lines[1:-1]:
        (found,) = csv.reader(io.StringIO(line))
        rows.append([v or None for v in found] if len(found) == len(names) and '"?' not in line else None)
    return _table(names, rows)


def _jsonl(file: Path) -> pa.Table:
    rows: list[dict[str, object] | None] = []
    for line in gzip.decompress(file.read_bytes()).decode("utf-8").splitlines():
        try:
            rows.append(json.loads(line, parse_float=str))
        except json.JSONDecodeError:
            rows.append(None)
    names = list(next(row for row in rows if row))
    return _table(names, [None if row is None else [row[name] for name in names] for row in rows])


def _excel(file: Path, names: list[str]) -> pa.Table:
    workbook = openpyxl.load_workbook(file, read_only=True)
    rows = list(workbook["账户"].iter_rows(values_only=True))
    workbook.close()
    assert list(rows[0]) == ACCOUNTS_HEADER
    return _table(names, [list(row) for row in rows[1:]])


def _table(names: list[str], rows: list[list[object] | None]) -> pa.Table:
    texts = [[None] * len(names) if row is None else [None if v is None else str(v) for v in row] for row in rows]
    columns = [pa.array([row[at] for row in texts], pa.string()) for at in range(len(names))]
    return pa.table([*columns, pa.array(range(1, len(rows) + 1))], names=[*names, "row"])
