"""A request of access under Airflow: put before the approvers once, opened by nothing but a true signature over what is given."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.config import load_settings
from governance.demo.steward import demo_key
from governance.pipeline.access_requests import described, waiting
from governance.pipeline.context import Context, open_context
from governance.policy.lattice import Outcome
from governance.state.values import Actor
from governance.use.request_state import find
from governance.use.requests import Narrowing, approval, document_hash, refusal
from governance.use.requests import ask as ask_for
from governance.use.signatures import APPROVES, DECLINES, REVIEWS, sign
from tests.orchestrate.airflow_process import ask
from tests.orchestrate.conftest import make_home

pytestmark = [pytest.mark.airflow, pytest.mark.xdist_group("airflow")]

REASON = "cohort study of the ward"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return open_context(load_settings(make_home(tmp_path)))


def asked(context: Context) -> str:
    return ask_for(
        subject="user:he",
        purpose="research",
        fields=["curated.person.name", "curated.person.birth_date"],
        action=Outcome.parse("mask:replace-with-null"),
        valid_to=datetime.now(UTC) + timedelta(days=2),
        because=REASON,
        catalogue=context.catalogue,
        database=context.database,
        actor=Actor("user:he", "use.access", "run"),
    )


def signed(context: Context, request: str, words: str = APPROVES, **narrowing: tuple[str, ...]) -> str:
    with context.database.read() as connection:
        document = approval(find(connection, request), Narrowing(**narrowing))
    return sign(words, document_hash(document), demo_key())


def test_an_approver_answers_in_airflow_and_only_a_true_signature_approves(context: Context) -> None:
    request = asked(context)
    assert waiting(context) == (request,)
    name = "curated.person.name"
    true = {"signature": signed(context, request, fields=(name,)), "only": name}
    answers = [
        ("steward", "Approve", {}),
        ("steward", "Approve", {"signature": "00" * 64, "only": name}),
        ("steward", "Approve", {"signature": signed(context, request, REVIEWS), "only": ""}),
        ("steward", "Approve", {"signature": true["signature"]}),  # over less than is given here
        ("steward", "Approve", {**true, "until": "soon"}),
        ("engineer", "Approve", true),
        ("steward", "Anything", true),
        ("steward", "Decline", {}),  # without a reason
        ("engineer", "Decline", {"because": "no"}),
        ("steward", "Decline", {"because": "no"}),  # unsigned
        ("steward", "Approve", true),
        ("steward", "Approve", true),
        ("steward", "Decline", {"because": "too late"}),
    ]
    context.database.close()
    found = ask("put", context.settings.home, *map(json.dumps, answers))
    assert found["runs"] == [request]
    assert found["states"] == [{"waiting": "success", "put": "success"}, {"waiting": "success", "put": "skipped"}]
    refused = ["AirflowFailException", "asked"]
    approved = ["success", "approved"]
    assert found["outcomes"] == [refused] * 10 + [approved, approved, ["AirflowFailException", "approved"]]
    assert name in found["shown"]
    assert request in found["shown"]


def test_what_is_shown_in_airflow_names_no_reason_and_what_was_decided_waits_no_more(context: Context) -> None:
    from governance.pipeline.access_requests import decide

    request = asked(context)
    assert REASON not in described(context, request)
    because = "years are enough"
    with context.database.read() as connection:
        document = refusal(find(connection, request), because=because)
    answer = {"because": because, "signature": sign(DECLINES, document_hash(document), demo_key())}
    assert decide(context, request, subject="user:steward", chosen="Decline", answer=answer) == "declined"
    assert waiting(context) == ()
    context.database.close()
