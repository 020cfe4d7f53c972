"""A home of the demo city for tests of Airflow's side."""

from __future__ import annotations

import shutil
from pathlib import Path

from governance.config import load_settings
from governance.pipeline.check import check

ROOT = Path(__file__).parents[2]


def make_home(folder: Path, *, indexed: bool = True) -> Path:
    """The repository's declarations and DAG files in `folder`, with the index built."""
    for name in ("catalog", "expectations", "dags"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "gov.toml", folder)
    if indexed:
        check(load_settings(folder))
    return folder
