"""A batch against those before it: metrics of its passed rows, and which of them are unlike. Robust statistics on stored numbers, no training.

Of clear columns: share of NULLs and of distinct values, mean and quantiles of numbers, shares of categories; of identifiers their tokens' shares.
Encrypted columns are not opened for it. Categories are named by a hash, so no value is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from sqlglot import exp

from governance.catalog.types import Dataset, Field
from governance.config import Settings
from governance.manage.history import FEWEST, Floor, Place, place
from governance.state.values import Stored

ROWS = "rows"
CATEGORIES = 20
"""A column with more distinct values has no categories."""
_QUANTILES = (0.05, 0.5, 0.95)
_FLOORS = {"null_share": 0.01, "distinct_share": 0.03, "share": 0.02}


@dataclass(frozen=True, slots=True)
class Unlike:
    """A metric of a batch that lies far from those before it: `drift:<metric>` or `drift:<metric>:<column>`."""

    expectation: str
    column: str
    place: Place


def metrics_of(stored: Stored, dataset: Dataset, root: Path, settings: Settings) -> dict[str, float]:
    """Metrics by name, `<metric>` or `<metric>:<column>` (a category's `share:<column>:<hash>`), in two scans of the batch's clear columns."""
    files = [str(root / file.path) for file in stored.passed_files]
    columns = [f for f in dataset.fields if not f.encrypted]
    tokens = [f for f in dataset.fields if f.token_name]
    if not files:
        return {ROWS: 0.0}
    config = {"threads": settings.threads, "memory_limit": f"{settings.memory_limit_mb}MB", "temp_directory": ""}
    with duckdb.connect(config=config) as con:
        con.read_parquet(files, hive_partitioning=False, union_by_name=True).create_view("files")
        there = {str(name) for name in con.sql("SELECT * FROM files LIMIT 0").columns}
        columns = [f for f in columns if f.name in there]
        source = con.sql("SELECT * FROM files WHERE _batch = $batch", params={"batch": stored.batch})
        source.create_view("batch_rows")
        asked: dict[str, str] = {ROWS: "count(*)"}
        for f in columns:
            asked |= _of_column(f)
        for f in tokens:
            asked |= _shares(f, f.token_name or "")
        row = con.execute(f"SELECT {', '.join(asked.values())} FROM batch_rows").fetchall()[0]  # noqa: S608
        found = {name: float(value) for name, value in zip(asked, row, strict=True) if value is not None}
        for f in columns:
            if f.type.kind in ("string", "boolean") and _few(found, f):
                found |= _categories(con, dataset, f)
    return found


def unlike(
    now: Mapping[str, float],
    before: Sequence[Mapping[str, float]],
    *,
    weekday: int | None = None,
    weekdays: Sequence[int] = (),
) -> tuple[Unlike, ...]:
    """What of `now` is unlike `before` (oldest first). A category that was never there counts as a share of 0; a metric that fewer than
    `history.FEWEST` earlier batches have is not judged. With the weekdays of all of them a rhythm of the week is no drift (`history`).
    """
    names = {name: now.get(name, 0.0) for name in {*now, *(n for one in before for n in one if _is_share(n))}}
    days = tuple(weekdays) if weekday is not None else (0,) * len(before)
    judged = {}
    for name, value in sorted(names.items()):
        known = [one.get(name, 0.0) if _is_share(name) and _has_column(one, name) else one.get(name) for one in before]
        numbers = [(number, day) for number, day in zip(known, days, strict=True) if number is not None]
        if len(numbers) >= FEWEST:
            judged[name] = (value, [number for number, _ in numbers], [day for _, day in numbers])
    found = []
    for name, (value, earlier, of_days) in judged.items():
        at = place(
            value, earlier, floor=_floor(name, now.get(ROWS, 0.0)), among=len(judged), weekday=weekday, weekdays=of_days
        )
        if at is not None and at.unlike:
            column = name.partition(":")[2].partition(":")[0]
            found.append(Unlike(f"drift:{name}"[:255], column, at))
    return tuple(found)


def _of_column(field: Field) -> dict[str, str]:
    name = _quoted(field.name)
    asked = _shares(field, field.name)
    if field.type.kind in ("integer", "decimal", "double"):
        number = f"CAST({name} AS DOUBLE)"
        asked[f"mean:{field.name}"] = f"avg({number})"
        asked |= {f"q{round(q * 100):02}:{field.name}": f"approx_quantile({number}, {q})" for q in _QUANTILES}
    return asked


def _shares(field: Field, column: str) -> dict[str, str]:
    name, there = _quoted(column), f"nullif(count({_quoted(column)}), 0)"
    nulls = f"1.0 - count({name}) / nullif(count(*), 0)"
    distinct = f"least(1.0, approx_count_distinct({name}) / {there})"
    return {f"null_share:{field.name}": nulls, f"distinct_share:{field.name}": distinct}


def _few(found: Mapping[str, float], field: Field) -> bool:
    present = found[ROWS] * (1.0 - found.get(f"null_share:{field.name}", 1.0))
    return 0 < found.get(f"distinct_share:{field.name}", 1.0) * present <= 2 * CATEGORIES


def _categories(con: duckdb.DuckDBPyConnection, dataset: Dataset, field: Field) -> dict[str, float]:
    """Shares of the column's values by their hash; none when there are too many after all."""
    name = _quoted(field.name)
    query = f"""
        SELECT CAST({name} AS VARCHAR), count(*) / sum(count(*)) OVER () FROM batch_rows WHERE {name} IS NOT NULL
        GROUP BY 1 LIMIT {CATEGORIES + 1}"""  # noqa: S608
    rows = con.execute(query).fetchall()
    if len(rows) > CATEGORIES:
        return {}
    return {f"share:{field.name}:{_hash(dataset, field, str(value))}": float(share) for value, share in rows}


def _hash(dataset: Dataset, field: Field, value: str) -> str:
    return hashlib.sha256(f"{dataset.name}\x00{field.name}\x00{value}".encode()).hexdigest()[:12]


def _is_share(name: str) -> bool:
    return name.startswith("share:")


def _has_column(metrics: Mapping[str, float], name: str) -> bool:
    """Whether the column had categories at all in that batch."""
    prefix = name.rpartition(":")[0] + ":"
    return any(other.startswith(prefix) for other in metrics)


def _floor(name: str, rows: float) -> Floor:
    """The least deviation that counts: what a steward would not look at twice, of a small batch's shares what chance makes of them."""
    metric = name.partition(":")[0]
    if metric in _FLOORS:
        return Floor(_FLOORS[metric], rows=rows)
    return Floor(1.0 if metric == ROWS else 1e-9, 0.02, proportional=metric == ROWS)


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")
