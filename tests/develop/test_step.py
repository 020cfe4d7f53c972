"""Python steps that really run: declared columns in, rows of the contract out, and no word of theirs anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from governance.catalog.models import parse_model
from governance.catalog.rules import RowRule, RowRules, TableRule, UniqueRule
from governance.catalog.types import Field as F
from governance.catalog.types import Level, Model
from governance.develop import analyse, run_checks
from governance.develop.step import require_columns
from governance.errors import GovernanceError, WorkerFailed
from governance.state.tables import grant, ledger_entry
from tests.develop.city import INTEGER, STRING, catalogue, check, dataset
from tests.develop.home import ACTOR, Home, home, number, token

NO_RULES = RowRules("curated.m", (), (), "0" * 64)
OPEN = (
    F("division", STRING, "division", classification=Level.L1),
    F("n", INTEGER, "n", classification=Level.L1),
)
HEAD = """\
# Residents by division.
# gov.lineage: division from police.residents.division because it is grouped by
# gov.lineage: n from police.residents.division because rows are counted
"""
BODY = """\
import duckdb

def rows(inputs):
    residents = inputs["police.residents"]
    return duckdb.sql("SELECT division, count(*) AS n FROM residents GROUP BY division").to_arrow_table()
"""
ANSWER = [{"division": f"11010{d}", "n": n} for d, n in ((0, 7), (1, 7), (2, 6))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with home(tmp_path_factory.mktemp("step")) as made:
        yield made


def step(body: str, fields: tuple[F, ...] = OPEN, *, head: str = HEAD, **changes: Any) -> Model:
    contract = dataset("curated.m", fields)
    model, faults = parse_model(head + body, file="catalog/curated/m.py", name="curated.m", contract=contract)
    assert faults == ()
    return replace(model, **changes)


RUNS = iter(range(10**6))


def run_id() -> str:
    return f"0b0f6f3e-3c0f-4b8f-9d8a-{next(RUNS):012d}"


def build(place: Home, model: Model, rules: RowRules = NO_RULES) -> Any:
    return place.build(model, rules, catalogue(model), run=run_id())


def test_a_step_is_built_of_its_declared_columns_and_the_ledger_has_the_declaration(place: Home) -> None:
    m = step(BODY, head=HEAD + "# gov.lineage: * from social.insured.kind because it is a filter\n")
    built = build(place, m)
    assert (built.outcome, built.rows) == ("go", 3)
    assert place.read(m) == ANSWER
    with place.database.read() as connection:
        query = select(ledger_entry.c.body).where(ledger_entry.c.kind == "lineage_declared")
        facts = json.loads(connection.execute(query.order_by(ledger_entry.c.recorded_at.desc())).scalars().all()[0])[
            "facts"
        ]
    assert facts["text"] == m.text_hash
    assert facts["columns"]["*"] == {"because": "it is a filter", "from": ["social.insured.kind"]}
    edges = analyse(m, catalogue(m)).edges
    assert {(e.input_column, e.output_column, e.kind, e.subtype) for e in edges.edges} == {
        ("division", "division", "DIRECT", "TRANSFORMATION"),
        ("division", "n", "DIRECT", "TRANSFORMATION"),
        ("kind", "*", "INDIRECT", "FILTER"),
    }


PERSON = (
    F("id_number", STRING, "id_number", classification=Level.L4, domain="person"),
    F("name", STRING, "name", classification=Level.L4),
)
PERSON_HEAD = """\
# gov.lineage: id_number from police.residents.id_number because it is handed on
# gov.lineage: id_number__token from police.residents.id_number__token because it is handed on
# gov.lineage: name from police.residents.name because it is stripped
"""
PERSON_BODY = """\
def rows(inputs):
    for batch in inputs["police.residents"]:
        yield batch
"""


def test_encrypted_columns_reach_a_step_under_the_builds_grant_and_tokens_are_handed_on(place: Home) -> None:
    m = step(PERSON_BODY, PERSON, head=PERSON_HEAD)
    built = build(place, m)
    rows = {row["id_number"]: row for row in place.read(m)}
    assert built.rows == 20
    assert rows[number(3)]["name"] == "居民3"
    assert rows[number(3)]["id_number__token"] == token(number(3))
    with place.database.read() as connection:
        given = connection.execute(select(grant.c["keys"], grant.c.revoked_at)).all()
    [(keys, revoked)] = [row for row in given if "police.residents" in row.keys]
    assert json.loads(keys) == [f"police/police.residents/{group}/1" for group in ("L3", "L4", "footer")]
    assert revoked is not None


def test_an_exception_over_encrypted_columns_tells_no_value_of_them(
    place: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    body = """\
def rows(inputs):
    for batch in inputs["police.residents"]:
        print(batch["name"])
        raise LookupError(batch["name"][0].as_py(), type(batch["name"][0].as_py(), (), {}))
"""
    with pytest.raises(GovernanceError) as caught:
        build(place, step(body, PERSON, head=PERSON_HEAD))
    assert str(caught.value).startswith("catalog/curated/m.py:7: the step raised LookupError")
    assert "居民" not in "".join((str(caught.value), *capfd.readouterr()))


CANARY = "CANARY-7531"


def failure(place: Home, body: str, **changes: Any) -> GovernanceError:
    m = step(body, **changes)
    with pytest.raises(GovernanceError) as caught:
        build(place, m)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.__dict__)
    return caught.value


def test_a_step_reaches_nothing_beside_its_declared_columns(place: Home) -> None:
    body = """\
import ctypes, fcntl, os, resource, signal, socket, subprocess, sys
import pyarrow as pa

def outlive():
    if ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == -1:
        raise PermissionError

def rows(inputs):
    found = {}
    for name, act in {
        "read": lambda: open("/etc/passwd").read(),
        "write": lambda: open("/dev/shm/step", "w"),
        "list": lambda: os.listdir("/"),
        "stat": lambda: os.stat("/etc/passwd"),
        "make": lambda: os.mkdir("/dev/shm/step"),
        "fork": os.fork,
        "program": lambda: subprocess.run(["true"]),
        "socket": socket.socket,
        "pair": socket.socketpair,
        "signal": lambda: os.kill(os.getppid(), 0),
        "limit": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)),
        "session": os.setsid,
        "outlive": outlive,
        "owner": lambda: fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid()),
        "owned": lambda: fcntl.ioctl(1, 0x8901, b"1234"),
        "environment": lambda: os.environ["PATH"],
        "ours": lambda: __import__("governance.state.database"),
        "others": lambda: __import__("sqlalchemy"),
    }.items():
        try:
            act()
            found[name] = "worked"
        except Exception as error:
            found[name] = type(error).__name__
    held = sorted(set(sys.modules) & {"governance.keys", "governance.state", "governance.lake", "governance.config"})
    columns = [f"{table}.{name}" for table, reader in inputs.items() for name in reader.schema.names]
    found["columns"] = ",".join(columns)
    found["modules"] = ",".join(held)
    return pa.table({"division": [f"{k}: {v}" for k, v in found.items()], "n": [1] * len(found)})
"""
    m = step(body)
    build(place, m)
    answers = dict(row["division"].split(": ") for row in place.read(m))
    assert len(answers) == 20
    denied = {name: answer for name, answer in answers.items() if answer != "PermissionError"}
    assert denied == {
        "environment": "KeyError",
        "ours": "ModuleNotFoundError",
        "others": "ModuleNotFoundError",
        "modules": "",
        "columns": "police.residents.division",
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            f"from governance.errors import Refused\ndef rows(inputs):\n"
            f"    raise type('{CANARY}', (Refused,), {{}})('{CANARY}', do='{CANARY}')",
            "m.py:6: the step raised an error of its own class",
        ),
        ("import os\ndef rows(inputs): os._exit(3)", r"m.py: died of exit code 3"),
        ("def rows(inputs):\n    yield {'n': 1}", "m.py: rows gives no rows of Arrow"),
    ],
    ids=["ours", "death", "dictionary"],
)  # fmt: skip
def test_what_a_step_raises_is_told_by_class_and_line(place: Home, body: str, told: str) -> None:
    contract = dataset("curated.m", OPEN)
    m, _ = parse_model(HEAD + body, file="catalog/curated/m.py", name="curated.m", contract=contract)
    with pytest.raises(GovernanceError) as caught:
        build(place, m)
    assert told in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_step_that_fails_after_its_first_rows_leaves_what_was_there(place: Home) -> None:
    before = place.lake.snapshot("curated.m")
    body = """\
import pyarrow as pa

def rows(inputs):
    yield pa.record_batch({"division": ["x"], "n": [1]})
    yield pa.record_batch({"division": ["y"], "n": [1 // 0]})
"""
    error = failure(place, body)
    assert str(error).startswith("catalog/curated/m.py:8: the step raised ZeroDivisionError")
    assert place.lake.snapshot("curated.m") == before


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"class": "Refused", "found": CANARY, "where": CANARY, "allowed": "", "do": ""}},
        "[" * 4000,
    ],
    ids=["error", "deep"],
)
def test_an_answer_that_a_step_forged_tells_nothing(place: Home, answer: object) -> None:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    body = f"""\
import os

def rows(inputs):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, {text!r}.encode())
        except OSError:
            continue
    os._exit(0)
"""
    failure(place, body)


def test_a_stream_that_a_step_forged_is_not_believed(place: Home) -> None:
    """A message that claims 2 GB, and an end without an answer."""
    body = """\
import os

def rows(inputs):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x7f" * 9)
        except OSError:
            continue
    os._exit(0)
"""
    assert "gave a damaged stream" in str(failure(place, body))


def test_limits_of_time_and_memory_end_a_step(place: Home) -> None:
    place = replace(place, settings=replace(place.settings, step_seconds=1))
    assert "passed its time limit of 1 s" in str(
        failure(place, "import time\n\ndef rows(inputs):\n    time.sleep(60)\n")
    )
    greedy = """\
import time

def rows(inputs):
    held = []
    while True:
        held.append(b"x" * (16 << 20))
        time.sleep(0.01)
"""
    place = replace(place, settings=replace(place.settings, step_seconds=60, memory_limit_mb=64))
    error = failure(place, greedy)
    assert isinstance(error, WorkerFailed)
    assert "passed its memory limit of 320 MB" in str(error)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([("n", "BIGINT")], "no column division; allowed: exactly division, n"),
        ([("division", "VARCHAR"), ("n", "BIGINT"), (CANARY, "BIGINT")], "1 columns that the contract does not have"),
        ([("division", "VARCHAR"), ("n", "DOUBLE")], "n of a type that does not become BIGINT"),
        ([("division", f"STRUCT({CANARY} BIGINT)"), ("n", "NULL")], "division of a type that does not become VARCHAR"),
    ],
    ids=["missing", "more", "float", "struct"],
)
def test_columns_that_are_not_the_contracts_are_refused_without_a_name_of_theirs(columns: Any, told: str) -> None:
    with pytest.raises(GovernanceError) as caught:
        require_columns(columns, step(BODY))
    assert told in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_value_that_does_not_convert_is_refused_without_it(place: Home) -> None:
    body = """\
import pyarrow as pa

def rows(inputs):
    return pa.table({"division": ["x"], "n": pa.array([2**64 - 7531], pa.uint64())})
"""
    error = failure(place, body)
    assert "catalog/curated/m.py: the engine failed: ConversionException" in str(error)
    assert "18446744073709544085" not in str(error)


def test_a_token_of_another_length_is_refused(place: Home) -> None:
    body = f"import pyarrow as pa\n\ndef rows(inputs):\n    return pa.table({{'id__token': [b'{CANARY}']}})\n"
    head = "# gov.lineage: id__token from police.residents.id_number__token because it is handed on\n"
    error = failure(place, body, fields=(F("id__token", STRING, "id__token", classification=Level.L4),), head=head)
    assert error.where == "curated.m"


def test_what_libraries_load_on_first_use_is_there(place: Home) -> None:
    body = """\
import datetime
import pyarrow as pa

def rows(inputs):
    residents = inputs["police.residents"].read_all()
    made = residents.group_by("division").aggregate([("division", "count")]).rename_columns(["division", "n"])
    assert datetime.datetime.strptime("2026", "%Y") and "中".encode("gb18030")
    return made.filter(pa.compute.field("n") > 6)
"""
    m = step(body)
    build(place, m)
    assert place.read(m) == ANSWER[:2]


def test_a_step_may_give_no_rows(place: Home) -> None:
    m = step("def rows(inputs):\n    return []\n")
    built = build(place, m)
    assert (built.rows, place.read(m)) == (0, [])


def test_rules_of_every_kind_and_checks_judge_a_steps_rows(place: Home) -> None:
    m = step(BODY)
    own = "SELECT NULL::BLOB AS token FROM curated.m AS a JOIN curated.m AS b USING (division) WHERE a.n > 6"
    m = replace(m, checks=(check(own),))
    rules = replace(
        NO_RULES,
        rules=(
            RowRule("range:n", "warn", ("n",), '"n" > 6'),
            UniqueRule("unique:n", "warn", ("n",)),
            TableRule("rows", "warn", (), "count(*)"),
        ),
    )
    built = build(place, m, rules)
    assert (built.rows, built.findings) == (3, 2)
    assert {name: metric.unexpected for name, metric in built.metrics.items()} == {
        "range:n": 2,
        "unique:n": 2,
        "rows": 0,
    }
    assert built.metrics["rows"].value == 3
    assert place.read(m) == ANSWER
    counts = run_checks(
        m,
        rules,
        catalogue(m),
        settings=place.settings,
        lake=place.lake,
        database=place.database,
        actor=replace(ACTOR, run=run_id()),
    )
    assert counts == {"agrees": 2}


def test_rows_that_are_read_twice_must_fit_into_memory(place: Home) -> None:
    body = """\
import pyarrow as pa

def rows(inputs):
    for _ in range(20):
        yield pa.record_batch({"division": pa.repeat("x" * 100, 10_000), "n": pa.repeat(1, 10_000)})
"""
    m = step(body)
    small = replace(place, settings=replace(place.settings, memory_limit_mb=16))
    assert build(small, m).rows == 200_000
    counted = replace(NO_RULES, rules=(TableRule("rows", "warn", (), "count(*)"),))
    with pytest.raises(GovernanceError, match=r"m\.py: its rows do not fit into memory"):
        build(small, m, counted)


@pytest.mark.parametrize(
    ("head", "fields", "told"),
    [
        ("# a step\n", OPEN, ":1: gov.lineage: a Python step whose lineage is not declared"),
        (HEAD.rpartition("# gov")[0], OPEN, ":1: gov.lineage: no declared lineage of n"),
        (HEAD + "# gov.lineage: m from nothing because so\n", OPEN, ":4: gov.lineage: declared lineage of m, which"),
        (HEAD.replace("n from police.residents", "n from tax.x"), OPEN, ":3: gov.lineage: tax.x.division is no column"),
        (HEAD.replace("n from police.residents.division", "n from police.residents.d"), OPEN, ":3: gov.lineage: police"),
        (HEAD.replace("division from police.residents.division", "division from police.residents.name"), OPEN, "L3 is inh"),
        (PERSON_HEAD.replace("id_number__token because", "name because"), PERSON, ":2: gov.lineage: a token that is not"),
        (
            PERSON_HEAD.replace("police.residents.id_number__token", "nothing"),
            PERSON,
            ":2: gov.lineage: a token that is not an input's; allowed: tokens of the domain person",
        ),
    ],
    ids=["none", "missing", "unknown", "table", "column", "level", "token", "made"],
)  # fmt: skip
def test_what_a_step_must_declare(head: str, fields: tuple[F, ...], told: str) -> None:
    m = step(BODY, fields, head=head)
    faults = analyse(m, catalogue(m)).faults
    assert any(told in str(fault) for fault in faults), faults
    assert all(fault.do for fault in faults)
