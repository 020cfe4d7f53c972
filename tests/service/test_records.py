"""Records by identifiers and signed facts over HTTP, to an unmodified client of ours and to plain HTTP."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pyarrow as pa
import pytest

from governance.client import ARROW, ServiceError, connect
from governance.service.app import service
from governance.service.problems import CODES
from governance.use.attestation import open_attester, verify
from tests.service.conftest import Served, bearer, context_of, running, token
from tests.use.asking import ledger
from tests.use.lookup_home import ROOT, Home, number

NONCE = "ab" * 16
WANG, LI, HE = ("wang", "benefits"), ("li", "statistics"), ("he", "research")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The demo's policy over a few people; tests only ask it."""
    home = Home(tmp_path_factory.mktemp("records"))
    for table in ("curated.person", "curated.family", "curated.enterprise"):
        home.fill(table, 60)
    home.release("curated.person", "curated.family", "curated.enterprise")
    home.settings.catalog.mkdir()
    questions = (ROOT / "catalog" / "attestations.yaml").read_text(encoding="utf-8")
    (home.settings.catalog / "attestations.yaml").write_text(questions, encoding="utf-8")
    context = context_of(home, concurrent=4, seconds=60)
    with running(service(context)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Served(home, context, url, client)
    home.database.close()


def post(served, path, who=WANG, accept="application/json", **body):
    headers = {**bearer(token(sub=who[0])), "Accept": accept}
    return served.client.post(path, json={"purpose": who[1], **body}, headers=headers)


def look(served, *keys, who=WANG, table="curated.person", **given):
    return post(served, "/v1/lookup", who, table=table, keys=keys, **given)


def asked(served, **given):
    body = {"question": "kinship", "claim": "mother", "person": number(2), "relative": number(202), "nonce": NONCE}
    return post(served, "/v1/attest", given.pop("who", WANG), given.pop("accept", "*/*"), **{**body, **given})


def test_records_come_as_json_in_the_order_of_their_keys_with_what_they_stand_under(records):
    answer = look(records, number(2), number(7), number(1), fields=["phone", "name"])
    assert answer.status_code == 200
    told = answer.json()
    assert told["columns"] == [
        {"name": n, "type": t} for n, t in (("_key", "int32"), ("phone", "string"), ("name", "string"))
    ]
    assert told["rows"] == [[1, "138****0002", "王" + chr(20002)], [3, "138****0001", "王" + chr(20001)]]
    assert told["fields"] == {"phone": "mask:phone", "name": "raw"}
    assert (len(told["decision_hash"]), len(told["release"]), told["no_export"]) == (64, 64, True)
    entry = ledger(records.home, "access")[-1]
    assert (entry["actor"]["subject"], entry["facts"]["keys"]) == ("user:wang", 3)
    assert entry["facts"]["tables"]["curated.person"]["decision_hash"] == told["decision_hash"]


def test_records_come_as_arrow_unless_they_may_not_be_exported(records):
    answer = look(records, f"9144{3:014d}", who=LI, table="curated.enterprise", accept=ARROW)
    assert answer.headers["content-type"] == ARROW
    assert len(answer.headers["x-gov-decision"]) == 64
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table["credit_code"].to_pylist() == [f"9144{3:014d}"]
    refused = look(records, number(1), accept=ARROW)
    assert (refused.status_code, refused.json()["code"]) == (403, "no_export")
    assert ledger(records.home, "access_refused")[-1]["facts"]["reason"] == "this may not be exported"


def test_the_python_client_looks_up_and_asks(records):
    with connect(records.url, token=lambda: token(sub="wang")) as service:
        found = service.lookup("curated.person", [number(1)], purpose="benefits", by="resident_no", fields=["address"])
        assert (found.columns, found.rows) == (("_key", "address"), [[1, "广东省广州市天河区农林路1号"]])
        document = service.attest(
            "kinship", "mother", purpose="benefits", person=number(2), relative=number(202), nonce=NONCE
        )
        public_key = open_attester(records.home.settings.keyring).public_key
        made = verify(json.dumps(document), public_key, at=datetime.now(UTC) + timedelta(seconds=1), nonce=NONCE)
        assert (made.answer, made.asked_by) == ("yes", "user:wang")
        with pytest.raises(ServiceError) as caught:
            service.lookup_arrow("curated.person", [number(1)], purpose="benefits")
        assert caught.value.code == "no_export"
    with connect(records.url, token=lambda: token(sub="li")) as service:
        found = service.lookup_arrow("curated.enterprise", [f"9144{3:014d}"], purpose="statistics")
        assert found.arrow().num_rows == 1


def test_many_callers_at_once_share_a_scanner_and_each_has_an_entry(records):
    before = len(ledger(records.home, "access"))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda i: look(records, number(i), fields=["address"]).json()["rows"], range(1, 40)))
    assert answers == [[[1, f"广东省广州市天河区农林路{i}号"]] if i % 7 else [] for i in range(1, 40)]
    entries = ledger(records.home, "access")[before:]
    assert len({entry["actor"]["run"] for entry in entries}) == 39
    assert len({entry["facts"]["grant"] for entry in entries}) == 1


def test_forbidden_and_absent_give_the_same_answer(records):
    def shown(answer):
        return answer.status_code, {n: v for n, v in answer.headers.items() if n != "date"}, answer.text

    pairs = [
        (look(records, number(1), table="curated.family"), look(records, number(1), table="curated.nothing")),
        (look(records, number(1), by="name"), look(records, number(1), by="nowhere")),
        (look(records, number(1), who=HE), look(records, number(1), who=HE, by="nowhere")),
        (look(records, number(7)), look(records, number(55_555))),
        (asked(records, who=LI), asked(records, question="nothing")),
    ]
    for forbidden, absent in pairs:
        assert shown(forbidden) == shown(absent)
    assert [forbidden.status_code for forbidden, _ in pairs] == [404, 403, 403, 200, 404]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"keys": []}, "invalid_request"),
        ({"keys": ["1"] * 10_001}, "invalid_request"),
        ({"keys": ["1" * 256]}, "invalid_request"),
        ({"keys": "44010619"}, "invalid_request"),
        ({"keys": [7]}, "invalid_request"),
        ({"keys": ["a\ud800"]}, "invalid_request"),
        ({"keys": [number(1)], "fields": []}, "invalid_request"),
        ({"keys": [number(1)], "sql": "SELECT 1"}, "invalid_request"),
        ({"keys": [number(1)], "table": "curated.person\n"}, "invalid_request"),
        ({"keys": [number(1)], "fields": ["nowhere"]}, "not_there"),
        ({"keys": [number(1)], "purpose": "gossip"}, "no_access"),
        ({"keys": [number(i) for i in range(60)] * 5}, "too_many_rows"),
    ],
    ids=["none", "many", "long", "text", "number", "surrogate", "fields", "more", "name", "field", "purpose", "rows"],
)
def test_wrong_lookups_are_refused_with_a_code_and_no_key_in_it(records, body, code):
    whole = json.dumps({"table": "curated.person", "purpose": "benefits", **body})
    headers = {**bearer(token(sub="wang")), "Content-Type": "application/json"}
    answer = records.client.post("/v1/lookup", content=whole, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (CODES[code], code)
    assert "44010619" not in answer.text


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"nonce": "ab"}, "invalid_request"),
        ({"nonce": "AB" * 16}, "invalid_request"),
        ({"person": None}, "invalid_request"),
        ({"claim": "sister"}, "not_there"),
        ({"relative": None}, "refused"),
        ({"purpose": "gossip"}, "not_there"),
        ({"accept": ARROW}, "not_acceptable"),
        ({"who": ("nobody", "benefits")}, "not_there"),
    ],
    ids=["short", "capitals", "person", "claim", "relative", "purpose", "arrow", "nobody"],
)
def test_wrong_questions_are_refused_with_a_code(records, given, code):
    answer = asked(records, **given)
    assert (answer.status_code, answer.json()["code"]) == (CODES[code], code)


def test_an_age_is_attested_and_nothing_else_is_said(records):
    answer = asked(records, question="age", claim="18", person=number(3), relative=None)
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert set(told) == {"attestation", "key", "signature"}
    assert told["attestation"]["answer"] == "yes"
    assert number(3) not in answer.text


def test_who_is_not_logged_in_asks_nothing(records):
    for path in ("/v1/lookup", "/v1/attest"):
        assert records.client.post(path, json={}).json()["code"] == "login"
