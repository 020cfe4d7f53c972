from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from governance.catalog.index import IndexInfo, read_department, read_index, write_index
from governance.catalog.load import load_catalogue
from governance.catalog.stamps import take_stamp
from governance.config import Settings, load_settings
from governance.errors import GovernanceError
from tests.catalog.home import FILES, PEOPLE, VISITS, write


def index(settings: Settings) -> IndexInfo:
    stamp = take_stamp((settings.catalog, settings.expectations))
    inputs = {"curated.visitor": ("health.people",)}
    return write_index(load_catalogue(settings), settings.index, stamp=stamp, inputs=inputs, approvers=["wang", "li"])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    settings = write(tmp_path, FILES)
    info = index(settings)
    whole = read_index(settings.index)
    assert (whole["hash"], whole["departments"], whole["approvers"]) == (info.hash, ["health"], ["li", "wang"])
    assert whole["curated"] == {"curated.visitor": ["health.people"]}
    assert read_department(settings.index, "health") == {
        "department": "health",
        "systems": {"health": ["health.visits"], "register": ["health.people"]},
        "collectable": ["health.people"],
        "cycles": {"health.people": "monthly", "health.visits": None},
        "schedule": "@monthly",
        "assets": {"health.people": "health.people", "health.visits": "health.visits"},
    }


def test_the_same_declarations_give_the_same_hash(tmp_path: Path) -> None:
    first = index(write(tmp_path / "a", FILES))
    assert index(write(tmp_path / "b", FILES)) == first
    assert index(write(tmp_path / "c", {**FILES, "catalog/health/visits.odcs.yaml": VISITS + "\n"})) != first


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("catalog/health/people.odcs.yaml", PEOPLE.replace("value: 1, unit: m", "value: 1, unit: d")),
        ("catalog/tax/people.odcs.yaml", PEOPLE),
        ("expectations/health/people.json", '{"name": "a", "expectations": []}'),
        ("catalog/access.yaml", "version: 1\nroles: []\n"),
    ],
)
def test_a_changed_declaration_makes_the_index_stale(tmp_path: Path, file: str, text: str) -> None:
    settings = write(tmp_path, FILES)
    index(settings)
    write(tmp_path, {file: text})
    with pytest.raises(GovernanceError, match=r"stale.*run `gov check`"):
        read_index(settings.index)
    index(settings)
    read_index(settings.index)


def test_a_removed_declaration_makes_the_index_stale(tmp_path: Path) -> None:
    settings = write(tmp_path, FILES)
    index(settings)
    (settings.catalog / "health" / "visits.odcs.yaml").unlink()
    with pytest.raises(GovernanceError, match="stale"):
        read_index(settings.index)


def test_a_touched_or_copied_home_is_not_stale(tmp_path: Path) -> None:
    settings = write(tmp_path / "a", FILES)
    index(settings)
    os.utime(settings.catalog / "health" / "visits.odcs.yaml", ns=(1, 1))
    read_index(settings.index)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy)
    read_index(load_settings(tmp_path / "b").index)


def test_a_missing_index_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(GovernanceError, match="there is no index; run `gov check`"):
        read_index(tmp_path)


def test_a_department_file_of_another_index_is_refused(tmp_path: Path) -> None:
    settings = write(tmp_path, FILES)
    index(settings)
    file = settings.index / "department-health.json"
    file.write_text(file.read_text().replace("@monthly", "@hourly"))
    with pytest.raises(GovernanceError, match="not the file that the index was written with"):
        read_department(settings.index, "health")
    with pytest.raises(GovernanceError, match="there is no department 'tax'"):
        read_department(settings.index, "tax")


def test_departments_that_are_gone_leave_no_file(tmp_path: Path) -> None:
    settings = write(tmp_path, {**FILES, "catalog/tax/people.odcs.yaml": PEOPLE})
    index(settings)
    assert len(list(settings.index.glob("department-*.json"))) == 2
    shutil.rmtree(settings.catalog / "tax")
    index(settings)
    assert [f.name for f in settings.index.glob("department-*.json")] == ["department-health.json"]
    assert not list(settings.index.glob(".*"))


def test_readers_import_no_engine_and_no_parser(tmp_path: Path) -> None:
    settings = write(tmp_path, FILES)
    index(settings)
    code = (
        "import sys, json, pathlib, governance.catalog.index as i\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "[i.read_department(folder, d) for d in i.read_index(folder)['departments']]\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(settings.index)], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    heavy = {
        "yaml",
        "pydantic",
        "pyarrow",
        "duckdb",
        "sqlglot",
        "sqlalchemy",
        "great_expectations",
        "jsonschema_rs",
        "airflow",
    }
    assert not loaded & heavy
