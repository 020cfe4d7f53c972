"""Requests made from the service's own OpenAPI document: every response is one that the document knows, none is a failure of the service.

Half of the values fit their schema and half are anything; paths, methods, headers and bodies too. (Schemathesis cannot be in the lock
beside our jsonschema-rs; this does what it would.)
"""

from __future__ import annotations

import json
import string
from collections import Counter
from urllib.parse import quote

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.client import ARROW
from tests.service.conftest import bearer, token
from tests.use.conftest import CANARIES

ANY_TEXT = st.text(max_size=60) | st.sampled_from(
    ["", "\x00", "../..", "%00", "curated.person", "statistics", "'--", "𠮷"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
SQL = st.sampled_from(
    [
        "SELECT 1",
        "SELECT name FROM curated.person",
        "SELECT 'infinity'::DATE, INTERVAL 1 DAY, 'x'::BLOB, MAP {1: 2}",
        "SELECT TIMESTAMP '290000-01-01', 1e400, -0.0, uuid()",
        "SELECT * FROM curated.person, curated.person",
        "SELECT sum(income) FROM curated.person",
    ]
)
KNOWN = {
    "sql": SQL,
    "purpose": st.sampled_from(["statistics"] * 6 + ["", "gossip", "\0"]),
    "table": st.sampled_from(["curated.person", "curated.nothing", "\0"]),
    "keys": st.lists(st.sampled_from(["110101199003074514", "", "\0", "𠮷"]), max_size=3),
    "by": st.sampled_from(["id_number", "name", None]),
    "fields": st.none() | st.lists(st.sampled_from(["name", "rank", "nowhere"]), max_size=3),
    "question": st.sampled_from(["kinship", "age", "\0"]),
    "claim": st.sampled_from(["mother", "18", ""]),
    "person": st.sampled_from(["110101199003074514"] * 3 + ["\0"]),
    "relative": st.none() | ANY_TEXT,
    "nonce": st.sampled_from(["ab" * 16] * 3 + ["ab", ""]),
}
"""What fits each property of a request, or nearly."""
ACCEPT = st.sampled_from(["application/json", ARROW, "*/*", "text/html", "", "application/json;q=0, */*", ",,;"])
HEADER = st.text(string.ascii_letters + string.digits + " ._=/-+", max_size=40)
LOGIN = st.sampled_from(["good"] * 9 + ["none", "other"])


@pytest.fixture(scope="module")
def document(served):
    return served.client.get("/v1/openapi.json").json()


def _resolved(document, schema):
    """The schema with the document's components at hand."""
    return {**schema, "components": document["components"]}


def _values(document, schema):
    """Values of a request schema of ours, and values that do not fit it."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    fitting = st.fixed_dictionaries({name: KNOWN[name] for name in schema["properties"]})
    return (
        fitting
        | fitting
        | fitting
        | st.dictionaries(st.sampled_from([*schema["properties"], "more"]), ANYTHING, max_size=3)
        | ANYTHING
    )


def _requests(document):
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    operations += [each for each in operations if each[1] == "post"] * 2  # most can go wrong there

    @st.composite
    def one(draw):
        path, method, operation = draw(st.sampled_from(operations))
        parameters = operation.get("parameters", [])
        for parameter in (each for each in parameters if each["in"] == "path"):
            value = draw(st.just("curated.person") | ANY_TEXT)
            path = path.replace("{" + parameter["name"] + "}", quote(value.encode("utf-8", "replace"), safe=""))
        query = {each["name"]: draw(ANY_TEXT) for each in parameters if each["in"] == "query" and draw(st.booleans())}
        content = operation.get("requestBody", {}).get("content", {})
        body = b""
        if content:
            value = draw(_values(document, content["application/json"]["schema"]))
            body = draw(st.sampled_from([json.dumps(value).encode()] * 7 + [b"", b"\xff{", b"[" * 5000]))
        kind = draw(st.sampled_from(["application/json"] * 6 + ["text/plain", "multipart/form-data", ""]))
        wrong = draw(st.sampled_from([False] * 9 + [True]))
        method = (
            draw(st.sampled_from(["PUT", "DELETE", "PATCH", "OPTIONS", "GET", "POST"])) if wrong else method.upper()
        )
        headers = {"Content-Type": kind, "Accept": draw(ACCEPT)}
        login = draw(LOGIN)
        if login == "good":
            headers |= bearer(token())
        elif login == "other":
            headers |= {"Authorization": draw(HEADER).strip()}
        return operation, method, path, query, headers, body

    return one()


def test_the_document_is_openapi_and_names_every_code_that_can_leave(document):
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        "/v1/query",
        "/v1/lookup",
        "/v1/attest",
        "/v1/tables",
        "/v1/tables/{name}",
        "/health",
    }
    asked = [document["paths"][f"/v1/{name}"]["post"] for name in ("query", "lookup", "attest")]
    for operation in (*asked, document["paths"]["/v1/tables"]["get"]):
        assert [{name} for name in ("HTTPBearer", "APIKeyHeader")] == [set(each) for each in operation["security"]]
    assert ARROW in document["paths"]["/v1/query"]["post"]["responses"]["200"]["content"]


def test_no_request_makes_the_service_fail_or_answer_what_its_document_does_not_know(served, document):
    told = jsonschema_rs.validator_for(_resolved(document, {"$ref": "#/components/schemas/Told"}))
    seen = Counter()

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(_requests(document))
    def hold(request):
        operation, method, path, query, headers, body = request
        answer = served.client.request(method, path, params=query, headers=headers, content=body)
        seen[path if method == "POST" else "", answer.status_code] += 1
        assert answer.status_code != 500, answer.text
        assert answer.headers["content-type"] in ("application/json", ARROW)
        assert not [canary for canary in CANARIES if canary.encode() in answer.content]
        if answer.status_code != 200:
            assert told.is_valid(answer.json())
        elif answer.headers["content-type"] != ARROW and method in ("GET", "POST"):
            content = operation["responses"]["200"]["content"]["application/json"]
            assert jsonschema_rs.is_valid(_resolved(document, content["schema"]), answer.json())
        if method == "GET" or path in ("/v1/query", "/v1/lookup", "/v1/attest"):
            assert answer.status_code == 405 or str(answer.status_code) in operation["responses"] or path == "/health"

    hold()
    wanted = {("/v1/query", 200), ("/v1/query", 422), ("/v1/query", 401), ("", 200), ("", 404)}
    wanted |= {("/v1/lookup", 403), ("/v1/lookup", 422), ("/v1/attest", 404), ("/v1/attest", 422)}
    assert wanted <= set(seen), seen
