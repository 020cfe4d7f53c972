"""A batch against those before it: what moved is named, what is stable is left alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from governance.config import Settings
from governance.manage.drift import metrics_of, unlike
from governance.state.values import DataFile, Stored
from tests.store.conftest import dataset_of


def profile(dice: random.Random, rows: int = 1000, late: float = 0.3, missing: float = 0.05) -> dict[str, float]:
    """Metrics of one synthetic batch, each as its sampling would scatter it."""

    def share(p: float) -> float:
        return min(1.0, max(0.0, dice.gauss(p, (p * (1 - p) / rows) ** 0.5)))

    found = {"rows": dice.gauss(rows, rows**0.5)}
    for column in range(12):
        mean = dice.gauss(100.0, 20.0 / rows**0.5)
        found |= {f"null_share:c{column}": share(missing), f"distinct_share:c{column}": share(0.8)}
        found |= {
            f"mean:c{column}": mean,
            f"q05:c{column}": mean - 33,
            f"q50:c{column}": mean,
            f"q95:c{column}": mean + 33,
        }
        found |= {f"share:c{column}:{category}": share(p) for category, p in zip("abc", (late, 0.5, 0.2), strict=True)}
    return found


def test_few_stable_batches_are_called_unlike_though_many_metrics_are_judged() -> None:
    dice = random.Random(3)
    told = asked = 0
    for _ in range(5):
        before = [profile(dice) for _ in range(48)]
        for end in range(8, len(before)):
            asked += 1
            told += bool(unlike(before[end], before[:end]))
    assert asked == 200
    assert told / asked < 0.02


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"rows": 400.0}, "drift:rows"),
        ({"null_share:c3": 0.35}, "drift:null_share:c3"),
        ({"mean:c1": 130.0}, "drift:mean:c1"),
        ({"share:c2:a": 0.0, "share:c2:new": 0.3}, "drift:share:c2:new"),
        ({"distinct_share:c0": 0.1}, "drift:distinct_share:c0"),
    ],
)
def test_what_moved_is_named(changed: Mapping[str, float], name: str) -> None:
    dice = random.Random(5)
    before = [profile(dice) for _ in range(12)]
    assert name in {one.expectation for one in unlike({**profile(dice), **changed}, before)}


def test_nothing_is_judged_on_fewer_than_eight_batches() -> None:
    dice = random.Random(5)
    assert unlike({"rows": 1.0}, [profile(dice) for _ in range(7)]) == ()


def test_metrics_are_of_the_batch_and_of_clear_columns_and_tokens_alone(tmp_path: Path) -> None:
    import duckdb

    from governance.catalog.types import ColumnType, Field, Level

    rows = tmp_path / "a.parquet"
    duckdb.sql(
        "SELECT 'b1' AS _batch, i AS amount, CASE WHEN i % 2 = 0 THEN 'x' ELSE 'y' END AS kind,"
        " 'geheim' AS name, CAST(encode(CAST(i % 5 AS VARCHAR)) AS BLOB) AS person__token FROM range(100) t(i)"
        " UNION ALL SELECT 'b0', 10000, 'z', 'geheim', NULL"
    ).write_parquet(str(rows))
    dataset = dataset_of(
        Field("amount", ColumnType("integer"), "amount", classification=Level.L1),
        Field("kind", ColumnType("string"), "kind", classification=Level.L2),
        Field("name", ColumnType("string"), "name", classification=Level.L3),
        Field("person", ColumnType("string"), "person", classification=Level.L4, domain="person"),
    )
    stored = Stored("b1", "d.t", None, "h", (DataFile("a.parquet", "d.t", 101, 1),), (), (), (), 100, 0, 0, {})  # type: ignore[arg-type]
    settings = Settings(tmp_path, tmp_path, tmp_path, tmp_path, tmp_path, "sqlite://")
    found = metrics_of(stored, dataset, tmp_path, settings)
    assert (found["rows"], found["mean:amount"]) == (100.0, 49.5)
    assert sorted(v for n, v in found.items() if n.startswith("share:kind:")) == [0.5, 0.5]
    assert found["distinct_share:person"] == pytest.approx(0.05, abs=0.01)
    assert not [name for name in found if name.endswith(":name")]
    assert not [name for name in found if "x" in name.split(":") or "geheim" in name]
