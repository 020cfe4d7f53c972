"""A Python step through the whole pipeline: the entity resolution of docs/MODELS.md, as it stands there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from governance.cli.main import group
from governance.pipeline.asof import catalogue_at
from governance.state import tables
from tests.pipeline.home import ROOT, Home, empty_home, month, outcomes
from tests.pipeline.test_asof import ACCESS
from tests.pipeline.traced import publish

[STEP] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "MODELS.md").read_text(encoding="utf-8"), re.DOTALL)
REGISTER: Mapping[str, Mapping[str, Any]] = {
    "number": {"logicalType": "string", "classification": "L1", "primaryKey": True, "required": True},
    "name": {"logicalType": "string", "classification": "L2"},
    "address": {"logicalType": "string", "classification": "L2"},
    "phone": {"logicalType": "string", "classification": "L3"},
}
MADE: Mapping[str, Mapping[str, Any]] = {
    "register": {"logicalType": "string", "classification": "L1"},
    "number": {"logicalType": "string", "classification": "L1", "tags": ["key"]},
    "name": {"logicalType": "string", "classification": "L2"},
    "enterprise": {"logicalType": "string", "classification": "L1"},
}
FIRMS = [
    "M1,清源 科技有限公司,人民路１２号,0571-8800",
    "M2,大河贸易股份有限公司,解放街3号,",
    "M3,北山茶业有限公司,北山路7-1号,0571 7700",
    "M4,,,",
]
PAYERS = [
    "T1,清源科技（有限公司）,人民路12号,",
    "T2,青源数据有限公司,人民路12号,05718800",
    "T3,大河贸易有限责任公司,解放街３号,1",
    "T4,大河贸易有限公司,和平路1号,1",
    "T5,,,",
]
ENTERPRISES = {
    "M1": "market:M1",
    "T1": "market:M1",
    "T2": "market:M1",
    "M2": "market:M2",
    "T3": "market:M2",
    "M3": "market:M3",
    "T4": "tax:T4",
    "M4": "market:M4",
    "T5": "tax:T5",
}
TABLE = "curated.same_firm"


def declared(folder: Path) -> Home:
    home = empty_home(folder)
    home.declare("market.firms", REGISTER)
    home.declare("tax.payers", REGISTER)
    home.declare(TABLE, MADE, sql=STEP)
    curated = home.folder / "catalog" / "curated"
    (curated / "same_firm.sql").rename(curated / "same_firm.py")
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    home.deliver("market.firms", FIRMS, REGISTER)
    home.deliver("tax.payers", PAYERS, REGISTER)
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = declared(tmp_path_factory.mktemp("step") / "home")
    assert outcomes(home.run(month(1)))["develop", TABLE] == "done"
    return home


def asked(home: Home, *arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(group, ["--home", str(home.folder), *arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def test_entries_of_one_enterprise_are_found_whatever_connects_them(home: Home) -> None:
    found = home.rows(TABLE, ["number", "enterprise"])
    assert dict(found) == ENTERPRISES


def test_the_step_is_an_ordinary_function_that_does_not_mind_the_order_of_rows() -> None:
    def read(lines: list[str]) -> pa.RecordBatchReader:
        columns = zip(*(line.split(",") for line in lines), strict=True)
        return pa.table(dict(zip(REGISTER, map(pa.array, columns), strict=True))).to_reader()

    space: dict[str, Any] = {}
    exec(STEP, space)
    made = space["rows"]({"market.firms": read(FIRMS[::-1]), "tax.payers": read(PAYERS[::-1])}).to_pydict()
    assert dict(zip(made["number"], made["enterprise"], strict=True)) == ENTERPRISES


def test_its_declared_edges_answer_lineage_and_impact(home: Home) -> None:
    shown = asked(home, "lineage", f"{TABLE}.name")
    assert "market.firms.name" in shown
    assert "tax.payers.name" in shown
    assert "phone" not in shown
    assert "complete" in shown.splitlines()[-1]
    reached = json.loads(asked(home, "impact", "market.firms.phone", "--json"))
    assert reached["values"] == [[TABLE, "enterprise"]]
    assert reached["models"] == [TABLE]


def test_the_ledger_and_the_release_hold_the_declaration(home: Home) -> None:
    with home.opened() as context:
        release = publish(context)
        with context.database.read() as connection:
            body = connection.execute(
                select(tables.ledger_entry.c.body).where(tables.ledger_entry.c.kind == "lineage_declared")
            ).scalar_one()
            document = json.loads(
                connection.execute(select(tables.release.c.document).where(tables.release.c.id == release)).scalar_one()
            )
    columns = json.loads(body)["facts"]["columns"]
    assert set(columns) == set(MADE)
    assert columns["name"] == {"from": ["market.firms.name", "tax.payers.name"], "because": "it is handed on"}
    assert columns["register"]["from"] == []
    told = json.dumps(document, ensure_ascii=False)
    assert "both registers publish it" in told
    assert "are one enterprise, named by its smallest entry" in told


def test_the_same_rows_make_the_same_table_and_the_edges_are_stored_once(home: Home) -> None:
    before = home.hashes()[TABLE]
    home.deliver("market.firms", FIRMS[::-1], REGISTER)
    assert home.run(month(2)).failed == ()
    assert home.hashes()[TABLE] == before
    with home.opened() as context, context.database.read() as connection:
        query = select(tables.run.c.edge_set).where(tables.run.c.output == TABLE)
        assert len(set(connection.execute(query).scalars())) == 1


def test_a_trace_of_it_is_a_superset_with_the_evidence(home: Home) -> None:
    with home.opened() as context:
        publish(context)
    arguments = ["--as", "user:auditor", "--purpose", "audit", "--by", "number", "--key-file", "-", "--json"]
    done = CliRunner().invoke(group, ["--home", str(home.folder), "trace", TABLE, *arguments], input="T2\n")
    assert done.exit_code == 0, done.output
    assert "a person declared this lineage (catalog/curated/same_firm.py:" in done.output
    assert json.loads(done.output)["exact"] is False


def test_a_changed_step_is_told_before_it_is_merged(home: Home, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(home.folder / "catalog", base / "catalog")
    text = STEP.replace("market.firms.phone, ", "")
    (base / "catalog" / "curated" / "same_firm.py").write_text(text, encoding="utf-8")
    assert f"BREAKING  {TABLE}.enterprise: declared lineage" in asked(home, "diff", str(base), code=3)
    (base / "catalog" / "curated" / "same_firm.py").write_text(STEP + "\nX = 1\n", encoding="utf-8")
    assert "step" in asked(home, "diff", str(base))


def test_the_past_has_the_step_as_it_was(home: Home) -> None:
    with home.opened() as context:
        now = context.database.clock()
        with context.database.read() as connection:
            model = catalogue_at(connection, now, context.settings).models[TABLE]
    assert (model.language, model.sql) == ("python", STEP)


def test_an_exception_in_it_ends_the_build_of_that_table_alone(home: Home) -> None:
    before = home.hashes()[TABLE]
    step = home.folder / "catalog" / "curated" / "same_firm.py"
    step.write_text(STEP.replace("    moved = True", "    raise ValueError('0571-8800')"), encoding="utf-8")
    try:
        result = home.run(month(3))
    finally:
        step.write_text(STEP, encoding="utf-8")
    [failed] = result.failed
    line = STEP.splitlines().index("    moved = True") + 1
    assert failed.subject == TABLE
    assert f"catalog/curated/same_firm.py:{line}: the step raised ValueError" in failed.message
    assert "0571" not in failed.message
    assert not any("0571-8800" in line for line in home.events())
    assert home.hashes()[TABLE] == before
