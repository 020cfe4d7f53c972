"""Questions over HTTP: what comes back, as JSON and as Arrow, and what never does."""

from __future__ import annotations

import io
import json
from datetime import date

import pyarrow as pa
import pytest

from governance.client import ARROW
from governance.service.problems import CODES
from governance.use.who_sees import explain
from tests.service.conftest import COUNT, bearer, serving, token
from tests.use.asking import ledger
from tests.use.conftest import CANARIES


def test_an_answer_in_json_has_rows_with_types_and_what_it_stands_under(served):
    answer = served.ask("SELECT name, born, rank FROM curated.person ORDER BY rank")
    assert answer.status_code == 200
    told = answer.json()
    assert told["columns"] == [
        {"name": "name", "type": "string"},
        {"name": "born", "type": "date32[day]"},
        {"name": "rank", "type": "int64"},
    ]
    assert told["rows"][0] == ["王**", "1990-01-01", 1]
    assert told["rows"][3] == [None, None, 4]
    assert told["fields"]["curated.person"]["name"] == "mask:chinese-name"
    assert (len(told["decision_hash"]), len(told["release"]), told["no_export"]) == (64, 64, False)
    assert answer.headers["cache-control"] == "no-store"


def test_an_answer_in_arrow_is_a_stream_that_plain_pyarrow_reads(served):
    answer = served.ask("SELECT name, born FROM curated.person ORDER BY rank", Accept=ARROW)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ARROW
    assert len(answer.headers["x-gov-decision"]) == 64
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table["born"].to_pylist() == [date(1990, 1, 1), date(1950, 1, 1), date(1980, 1, 1), None]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1.50::DECIMAL(9,2), 'nan'::DOUBLE, [1, NULL], {'a': DATE '2000-01-02'}", ["1.50", "nan", [1, None], {"a": "2000-01-02"}]),
        ("SELECT TIMESTAMP '2000-01-01 00:00:01', 'ab'::BLOB, TIME '01:02:03'", ["2000-01-01 00:00:01.000000", "6162", "01:02:03.000000"]),
        ("SELECT 9223372036854775807, NULL, true", [9223372036854775807, None, True]),
        ("SELECT 1 AS a, 2 AS a", [1, 2]),
    ],
)  # fmt: skip
def test_every_kind_of_value_has_a_form_in_json(served, sql, expected):
    row = served.ask(sql).json()["rows"][0]
    assert [str(value) for value in row] == [str(value) for value in expected]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("DELETE FROM curated.person", "statement"),
        ("SELECT", "statement"),
        ("", "statement"),
        ("SELECT getenv('HOME')", "statement"),
        ("SELECT * FROM read_csv('/etc/passwd')", "statement"),
        ("SELECT id_number__token FROM curated.person", "names_or_types"),
        ("SELECT name::INTEGER FROM curated.person", "conversion"),
        ("SELECT rank::UTINYINT - 200::UTINYINT FROM curated.person", "out_of_range"),
        ("SELECT * FROM curated.nothing", "not_there"),
        ("SELECT * FROM range(20000)", "too_many_rows"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", ARROW])
def test_an_error_is_a_code_and_holds_nothing_of_the_engine_or_the_data(served, sql, code, accept):
    answer = served.ask(sql, Accept=accept)
    if code == "too_many_rows" and accept == ARROW:
        assert pa.ipc.open_stream(io.BytesIO(answer.content)).read_all().num_rows == 20_000
        return
    assert set(answer.json()) == {"code", "message", "do"}
    assert (answer.json()["code"], answer.status_code) == (code, CODES[code])
    assert not [word for word in (*CANARIES, "Error", "Exception", "Did you mean", "duckdb") if word in answer.text]


def test_forbidden_and_absent_give_the_same_status_headers_and_body(served):
    def shown(answer):
        return answer.status_code, {n: v for n, v in answer.headers.items() if n != "date"}, answer.text

    pairs = [
        (("SELECT 1 FROM curated.person", "statistics", "idle"), ("SELECT 1 FROM curated.nothing", "statistics", "idle")),
        (("SELECT id_number__token FROM curated.person",), ("SELECT nowhere FROM curated.person",)),
        (("SELECT 1", "statistics", "nobody"), ("SELECT 1", "gossip", "li")),
    ]  # fmt: skip
    for forbidden, absent in pairs:
        for accept in ("application/json", ARROW):
            assert shown(served.ask(*forbidden, Accept=accept)) == shown(served.ask(*absent, Accept=accept))
    closed, missing = served.get("/v1/tables/curated.person", "idle"), served.get("/v1/tables/curated.nothing", "idle")
    assert shown(closed) == shown(missing) == shown(served.get("/v1/tables/curated.nothing"))
    assert closed.status_code == 404


def test_what_may_not_be_exported_is_given_as_json_and_refused_as_arrow(own_home):
    with serving(own_home) as served:
        sql = "SELECT name FROM curated.person"
        told = served.ask(sql, "benefits", "zhao").json()
        assert told["no_export"] is True
        assert [row[0] for row in told["rows"]] == ["王小明", "李HIDDEN"]
        refused = served.ask(sql, "benefits", "zhao", Accept=ARROW)
        assert (refused.status_code, refused.json()["code"]) == (403, "no_export")
        assert not [canary for canary in CANARIES if canary in refused.text]
        assert (
            served.ask("SELECT unnest([1, 2, 3]) FROM curated.person", "benefits", "zhao").json()["code"]
            == "too_many_rows"
        )
        last = ledger(own_home, "access_refused")[-1]
        assert last["facts"]["reason"] == "no export"
        assert ledger(own_home, "grant_revoked")[-1]["facts"]["grant"] == last["facts"]["grant"]


def test_the_access_is_in_the_ledger_under_the_login_s_subject(own_home):
    with serving(own_home) as served:
        key, _ = served.key()
        own = {"X-API-Key": key}
        assert served.client.post("/v1/query", json={"sql": COUNT, "purpose": "statistics"}, headers=own).json()[
            "rows"
        ] == [[4]]
        assert served.ask(COUNT).json()["rows"] == [[4]]
        served.ask("SELECT 1 FROM curated.nothing")
        assert [entry["actor"]["subject"] for entry in ledger(own_home, "access")] == ["service:bi", "user:li"]
        assert [entry["actor"]["subject"] for entry in ledger(own_home, "access_refused")] == ["user:li"]


def test_the_tables_that_a_caller_sees_are_told_field_by_field(served):
    assert served.get("/v1/tables").json() == {
        "tables": [{"table": "curated.person", "purposes": ["statistics", "research"]}]
    }
    assert served.get("/v1/tables?purpose=benefits").json() == {"tables": []}
    assert served.get("/v1/tables", "idle").json() == served.get("/v1/tables", "nobody").json() == {"tables": []}
    (sight,) = served.get("/v1/tables/curated.person?purpose=statistics").json()["purposes"]
    outcomes = {field["field"]: field["outcome"] for field in sight["fields"]}
    assert outcomes["name"] == "mask:chinese-name"
    assert outcomes["income"] == "aggregate_only(10)"
    assert "id_number__token" not in outcomes
    (own,) = served.get("/v1/tables/curated.person", "zhao").json()["purposes"]
    assert (own["purpose"], own["filtered"], own["max_rows"], own["no_export"]) == ("benefits", True, 2, True)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b"[]", 422),
        (b'{"sql": 1, "purpose": "statistics"}', 422),
        (b'{"sql": "SELECT 1"}', 422),
        (b'{"sql": "SELECT 1", "purpose": "statistics", "as": "user:zhao"}', 422),
        (b'{"sql": "\\ud800", "purpose": "statistics"}', 422),
        (b'{"sql": "SELECT 1", "purpose": "\\ud800"}', 422),
        (b'{"sql": "SELECT 1", "purpose": "\\u0000"}', 422),
        (json.dumps({"sql": " " * 300_000, "purpose": "statistics"}).encode(), 413),
        (b"\xff\xfe", 422),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_is_told_so_without_being_repeated(served, body, status):
    headers = {**bearer(token()), "Content-Type": "application/json"}
    answer = served.client.post("/v1/query", content=body, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "do"}
    assert "user:zhao" not in answer.text


def test_a_long_body_without_a_length_is_cut_off(served):
    def parts():
        for _ in range(400):
            yield b" " * 1024

    headers = {**bearer(token()), "Content-Type": "application/json"}
    answer = served.client.post("/v1/query", content=parts(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_other_paths_methods_and_forms_are_refused_in_the_same_shape(served):
    assert served.get("/v1/nothing").json()["code"] == "not_there"
    assert served.get("/v1/query").json()["code"] == "method"
    assert served.ask("SELECT 1", Accept="text/csv").json()["code"] == "not_acceptable"
    assert served.get("/v1/tables/").json()["code"] == "not_there"


@pytest.mark.parametrize(("subject", "purpose"), [("li", "statistics"), ("li", "research"), ("zhao", "benefits")])
def test_what_a_caller_is_told_of_a_table_is_what_the_steward_is_told_of_the_caller(served, subject, purpose):
    common = {"catalogue": served.home.catalogue, "database": served.home.database, "lake": served.home.lake}
    whole = explain("curated.person", subject=f"user:{subject}", purpose=purpose, **common)
    (told,) = served.get(f"/v1/tables/curated.person?purpose={purpose}", subject).json()["purposes"]
    own = {field["field"]: (field["outcome"], field["rules"]) for field in told["fields"]}
    opened = [sight for sight in whole if not sight.outcome.startswith("none")]
    assert own == {sight.field: (sight.outcome, list(sight.rules)) for sight in opened}
    assert {sight.field for sight in whole} - set(own)
    assert told["filtered"] == any(sight.filtered for sight in whole)


def test_an_aggregate_only_field_is_no_column_of_rows(served):
    answer = served.ask("SELECT income FROM curated.person")
    assert (answer.status_code, answer.json()["code"]) == (422, "aggregate_only")
    assert "income" not in [column["name"] for column in served.ask("SELECT * FROM curated.person").json()["columns"]]
