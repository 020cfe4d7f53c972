"""The scanner of one question: opens what its grant opens, answers yes, no or unknown, and lets nothing else out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from governance.catalog.types import TOKEN_SUFFIX
from governance.keys.blocks import BLOCK_BYTES
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.tokens import sql_standard, tokens
from governance.lake import serving
from governance.use.lookup_worker import opened, opened_layout, require

YES, NO, UNKNOWN = "yes", "no", "unknown"
_MARK = b"gov-attestation\0"


def answer(
    request: dict[str, Any],
    inputs: Mapping[str, pa.RecordBatchReader],
    emit: Callable[[pa.RecordBatchReader], None],
) -> dict[str, Any]:
    """Request: `settings`, `kind`, `table`, `by`, `snapshot`, `grant`, `purpose`, `nonce` (hex), `people` ([role, domain,
    value]; the first is the one that the table is read by), and `relation`, `relative`, `codes` or `birth_date`,
    `born_by`. Result: `answer`, and `about`: role -> 32 hex digits.
    """
    lake, keystore = opened(request)
    layout = opened_layout(lake, request["table"], request["by"], request["snapshot"])
    named = {role: _token(value, domain, keystore, request["grant"]) for role, domain, value in request["people"]}
    about = {role: _about(token, request, keystore) for role, token in named.items()}
    person = next(iter(named.values()))
    if not person.is_valid:
        return {"answer": UNKNOWN, "about": about}
    relation = request["kind"] == "relation"
    columns = [request["relation"], request["relative"] + TOKEN_SUFFIX] if relation else [request["birth_date"]]
    points = serving.Points(
        lake,
        layout,
        keystore=keystore,
        grant_id=request["grant"],
        before_opening=lambda read: require(lake, layout, read, request["grant"]),
    )
    found = points.rows(pa.array([person.as_py()], person.type), columns)
    if relation:
        told = related(found, columns[0], columns[1], request["codes"], named["relative"])
    else:
        told = old_enough(found.column(columns[0]), date.fromisoformat(request["born_by"]))
    return {"answer": told, "about": about}


def related(rows: pa.Table, relation: str, token: str, codes: list[str], relative: pa.Scalar) -> str:
    """Whether one of a person's `rows` has the relative under one of `codes`; unknown when the person has nobody there.

    >>> rows = pa.table({"r": ["05"], "t": pa.array([b"m" * 12], pa.binary(12))})
    >>> mother, other = (pa.scalar(name * 12, pa.binary(12)) for name in (b"m", b"x"))
    >>> related(rows, "r", "t", ["05"], mother), related(rows, "r", "t", ["05"], other)
    ('yes', 'no')
    >>> related(rows, "r", "t", ["04"], mother)
    'unknown'
    """
    there = rows.filter(pc.is_in(rows.column(relation), value_set=pa.array(codes, pa.string())))
    if not there.num_rows or not relative.is_valid:
        return UNKNOWN
    return YES if pc.any(pc.equal(there.column(token), relative)).as_py() else NO


def old_enough(birth_dates: pa.ChunkedArray, born_by: date) -> str:
    """Whether the one birth date is not after `born_by`; unknown when there is none, or several that differ.

    >>> days = pa.chunked_array([pa.array([date(2008, 2, 29)])])
    >>> old_enough(days, date(2008, 2, 29)), old_enough(days, date(2008, 2, 28))
    ('yes', 'no')
    """
    days = pc.unique(birth_dates.drop_null())
    if len(days) != 1:
        return UNKNOWN
    return YES if days[0].as_py() <= born_by else NO


def _token(value: str, domain: str, keystore: KeyStore, grant: str) -> pa.Scalar:
    """The domain's token of a value; NULL for a blank one."""
    asked = pa.table({"value": pa.array([value], pa.string())})
    with duckdb.connect(config={"threads": 1, "temp_directory": ""}) as con:
        con.register("asked", asked)
        found = con.sql(f"SELECT {sql_standard('value')} AS standard FROM asked").to_arrow_table()  # noqa: S608
    standard = found.column("standard").combine_chunks()
    return tokens(standard, keystore=keystore, key=DigestKeyName("domain", domain), grant_id=grant)[0]


def _about(token: pa.Scalar, request: Mapping[str, Any], keystore: KeyStore) -> str:
    """Keyed under the purpose and the asker's nonce: answers to two nonces cannot be joined, nor anybody found from one."""
    block = hashlib.sha256(_MARK + bytes.fromhex(request["nonce"]) + (token.as_py() or b"")).digest()[:BLOCK_BYTES]
    return keystore.digest(DigestKeyName("purpose", request["purpose"]), block, request["grant"]).hex()
