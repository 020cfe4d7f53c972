"""A synthetic estate: tables in layers, columns made of columns of earlier layers, a few hubs that very many read."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from governance.state.database import Database
from governance.state.tables import edge_set, run

COLUMNS = int(os.environ.get("BENCH_LINEAGE_COLUMNS", "2000000"))
A_TABLE, LAYERS, A_COLUMN = 20, 20, 3
REPEATED = 0.05
"""Share of tables whose edges changed once: what an answer as of before has to leave out or take in."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_EDGE = "INSERT INTO edge (edge_set, input, input_column, output_column, kind, subtype, masking) VALUES (?, ?, ?, ?, ?, ?, 0)"


def build(path: Path, columns: int = COLUMNS) -> tuple[Database, int]:
    """A state database with the estate; the number of its edges. 5.7 million for 2 million columns."""
    database = Database(f"sqlite:///{path}")
    database.create()
    random = np.random.default_rng(7)
    tables = columns // A_TABLE
    layer = np.minimum(np.arange(tables) * LAYERS // tables, LAYERS - 1)
    begins = np.searchsorted(layer, np.arange(LAYERS))
    edges = 0
    for start in range(0, tables, 5_000):
        numbers = np.arange(start, min(start + 5_000, tables))
        numbers = numbers[layer[numbers] > 0]
        changed = numbers[random.random(len(numbers)) < REPEATED]
        for revision, part in ((0, numbers), (1, changed)):
            if len(part):
                edges += _layer(database, part, revision, layer, begins, random)
    return database, edges


def _layer(
    database: Database,
    numbers: np.ndarray,
    revision: int,
    layer: np.ndarray,
    begins: np.ndarray,
    random: np.random.Generator,
) -> int:
    """Edges of some tables, each column of 3 columns of the layer before; sources are skewed: few tables feed very many."""
    each = A_TABLE * A_COLUMN
    before = layer[numbers] - 1
    low = begins[before]
    width = begins[before + 1] - low
    skew = random.random((len(numbers), each)) ** 3
    source = (low[:, None] + (skew * width[:, None]).astype(np.int64)).ravel().tolist()
    column = random.integers(0, A_TABLE, len(numbers) * each).tolist()
    made = np.repeat(numbers, each).tolist()
    target = np.tile(np.repeat(np.arange(A_TABLE), A_COLUMN), len(numbers)).tolist()
    direct = np.tile(np.arange(each) % A_COLUMN < 2, len(numbers)).tolist()
    at = BEGAN + timedelta(days=revision)
    rows = zip(made, source, column, target, direct, strict=True)
    values = [
        (_set(t, revision), _table(s), f"c{c}", f"c{o}", "DIRECT" if d else "INDIRECT", "IDENTITY" if d else "FILTER")
        for t, s, c, o, d in rows
    ]
    common = {"stage": "develop", "recorded_at": at}
    sets = [{"id": _set(t, revision), "output": _table(t), "complete": True, **common} for t in numbers.tolist()]
    own = {"run": "r", "subject": "s", "purpose": "p", "outcome": "go", "counts": "{}", "versions": "{}", **common}
    runs = [{**own, "output": _table(t), "edge_set": _set(t, revision)} for t in numbers.tolist()]
    with database.unit_of_work() as tx:
        tx.execute(insert(edge_set), sets)
        tx.exec_driver_sql(_EDGE, values)
        tx.execute(insert(run), runs)
    return len(values)


def _table(number: int) -> str:
    return f"dept{number % 55}.table_{number}"


def _set(number: int, revision: int) -> str:
    return f"{revision:02}{number:062}"
