"""`postgres_rls`: the statements of `enforced_scan` in PostgreSQL, under our policy as `gov policy export` writes it for it, on the same rows.

A server of its own. With the policy: the subject's session reads its security-barrier view (masks, row filter) whose owner is held by
column grants and row-level security as well. Without, as the superuser on the table: `by_hand` with the same filter, `unprotected` as the statement
stands. Each leaves through `COPY … TO STDOUT (FORMAT binary)`, PostgreSQL's fastest way out; the table has been read before, it is frozen
and analysed. Fields have the names of `enforced_scan`: `scan_s` there and here are the same rows, columns and masks. PostgreSQL decrypts
nothing and records nothing.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import csv

from benchmarks import released
from benchmarks.enforced_scan import AGGREGATE, BY_HAND, ROWS, SCAN
from governance.policy.exports.postgres import export, session_role
from governance.use.export import read_scopes

TIMES = int(os.environ.get("BENCH_PAIRS", 3))
DATABASE, TABLE, VIEW = "bench", "curated.people", "people"
_BATCH = 65_536


def measure() -> Iterator[dict[str, object]]:
    from tests.collect.postgres import binaries, server

    if binaries() is None:
        print("  skipped: no PostgreSQL server (initdb, pg_ctl) is installed here", flush=True)
        return
    files = _policy()
    with server() as url:
        with _session(url, "postgres") as admin:
            admin.execute(f"CREATE DATABASE {DATABASE}")
        with _session(url, DATABASE) as admin:
            began = time.monotonic()
            _load(admin, files["tables.sql"], released.plain(ROWS))
            admin.execute(files["policy.sql"])
            load_s = time.monotonic() - began
            print(f"  {ROWS:,} rows loaded in {load_s:.1f} s", flush=True)
            with _session(url, DATABASE, released.WHO) as subject:
                line = _measured(admin, subject)
            [version] = admin.execute("SHOW server_version").fetchone()
    yield {"rows": ROWS, "server": version.split()[0], "load_s": round(load_s, 1), **line}


def _policy() -> dict[str, str]:
    """Tables and policy of a small home: what they say depends on no row."""
    home = released.opened("postgres_rls", released.fields())
    try:
        released.fill(home, 1_000)
        released.release(home)
        exported = read_scopes(catalogue=home.catalogue, database=home.database, lake=home.lake)
    finally:
        home.database.close()
    made = export(exported.scopes)
    if made.losses:
        raise AssertionError(f"PostgreSQL cannot have all of it: {made.losses}")
    return dict(made.files)


def _measured(admin: Any, subject: Any) -> dict[str, object]:
    line: dict[str, object] = {}
    worst = []
    for name, sql in (("scan", SCAN), ("aggregate", AGGREGATE)):
        asked = {
            "s": (subject, sql.format(VIEW, "")),
            "by_hand_s": (admin, sql.format(TABLE, BY_HAND)),
            "unprotected_s": (admin, sql.format(TABLE, "")),
        }
        took: dict[str, list[float]] = {key: [] for key in asked}
        for session, text in asked.values():
            _timed(session, text)
        for _ in range(TIMES):
            for key, (session, text) in asked.items():
                took[key].append(_timed(session, text))
        line |= {f"{name}_{key}": round(statistics.median(found), 3) for key, found in took.items()}
        worst.append(statistics.median(a / b for a, b in zip(took["s"], took["by_hand_s"], strict=True)))
        line |= {f"{name}_ratio": round(worst[-1], 3)}
    return {**line, "ratio": round(max(worst), 3)}


def _timed(session: Any, text: str) -> float:
    began = time.monotonic()
    with session.cursor().copy(f"COPY ({text}) TO STDOUT (FORMAT binary)") as answer:
        for _ in answer:
            pass
    return time.monotonic() - began


def _load(admin: Any, tables: str, rows: Path) -> None:
    """The table filled from Parquet, frozen as it is written, and analysed."""
    admin.execute(tables)
    found = admin.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum", [TABLE]
    ).fetchall()
    columns = ", ".join(name for (name,) in found)
    bare = csv.WriteOptions(include_header=False)
    with duckdb.connect(config={"threads": 1}) as con, admin.transaction():
        admin.execute(f"TRUNCATE {TABLE}")  # in the transaction of the load, so that it can be frozen
        with admin.cursor().copy(f"COPY {TABLE} FROM STDIN (FORMAT csv, FREEZE)") as target:
            for batch in con.sql(f"SELECT {columns} FROM '{rows}'").to_arrow_reader(_BATCH):  # noqa: S608
                sink = pa.BufferOutputStream()
                csv.write_csv(batch, sink, bare)
                target.write(sink.getvalue().to_pybytes())
    admin.execute(f"VACUUM ANALYZE {TABLE}")


@contextmanager
def _session(url: Any, database: str, who: tuple[str, str] | None = None) -> Iterator[Any]:
    """The superuser's, or of a subject for a purpose, as the export's own readers have it."""
    from psycopg import sql

    from tests.policy.exports.conftest import connect

    session = connect(url, database, who[0] if who else None)
    if who:
        role = sql.Identifier(session_role(*who))
        session.execute(sql.SQL("SET ROLE {}").format(role))
        session.execute(sql.SQL("SET search_path TO {}").format(role))
    with session:
        yield session
