"""The service beside a pipeline that goes on: what is published after it started is served without starting it again."""

from __future__ import annotations

import dataclasses
import logging

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from governance.config import ServiceSettings, load_settings
from governance.pipeline.context import open_context
from governance.service.app import service
from governance.state.values import Actor
from governance.use.release import approve, propose, publish, sign
from tests.pipeline.home import METERS, month, utility_home
from tests.service.conftest import AUDIENCE, ISSUER, SLOW, Served, key_set, running, serving

STEWARD = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ACCESS = f"""\
version: 1
roles: [{{id: nurse}}]
purposes: [{{id: care}}]
subjects: [{{name: "user:li", roles: [nurse], clearance: L4}}, {{name: "user:wang"}}]
approvers: [{{subject: "user:wang", public_key: {STEWARD.public_key().public_bytes_raw().hex()}}}]
rules:
  - {{id: clear, roles: [nurse], purposes: [care], where: {{levels: [L1, L2, L3]}}, action: raw}}
"""


def _release(home):
    with home.opened() as c:
        actor = Actor("user:wang", "pipeline.use", "release")
        common = {"catalogue": c.catalogue, "database": c.database, "actor": actor}
        release = propose(c.catalogue, database=c.database, lake=c.lake, actor=actor)
        approve(release, subject="user:wang", signature=sign(release, STEWARD), **common)
        publish(release, settings=c.settings, lake=c.lake, **common)


def test_a_release_made_by_another_process_is_served_with_its_new_tables(tmp_path):
    home = utility_home(tmp_path / "home")
    (home.folder / "catalog" / "access.yaml").write_text(ACCESS, encoding="utf-8")
    (tmp_path / "jwks.json").write_text(key_set(), encoding="utf-8")
    own = ServiceSettings(issuer=ISSUER, audience=AUDIENCE, jwks=str(tmp_path / "jwks.json"))
    context = open_context(dataclasses.replace(load_settings(home.folder), service=own))
    with running(service(context)) as url, httpx.Client(base_url=url, timeout=60) as client:
        served = Served(home, context, url, client)
        assert served.get("/v1/tables").json()["code"] == "not_ready"
        assert served.ask("SELECT 1", "care").json()["code"] == "not_ready"
        assert home.run(month(1)).failed == ()
        _release(home)
        assert [each["table"] for each in served.get("/v1/tables").json()["tables"]] == ["curated.supply"]
        assert served.ask("SELECT holder FROM curated.supply ORDER BY meter", "care").json()["rows"][0] == ["张三甲"]
        fields = {"meter": METERS["meter"], "reading": METERS["reading"]}
        home.declare("curated.readings", fields, sql="SELECT m.meter, m.reading FROM water.meters AS m")
        assert home.run(month(2)).failed == ()
        assert served.ask("SELECT reading FROM curated.readings", "care").json()["code"] == "not_there"
        _release(home)
        assert served.ask("SELECT reading FROM curated.readings ORDER BY 1", "care").json()["rows"] == [
            [10],
            [20],
            [30],
        ]
    context.database.close()


def test_what_the_state_or_a_stranger_s_error_says_stays_in_the_log_without_its_text(own_home, caplog):
    with serving(own_home, seconds=2) as served:
        with own_home.database.engine.begin() as broken:
            broken.execute(text("ALTER TABLE release RENAME TO elsewhere"))
        answers = [served.get("/v1/tables"), served.ask("SELECT 1")]
        assert [answer.json()["code"] for answer in answers] == ["unavailable", "unavailable"]
        assert not [word for answer in answers for word in ("release", "sqlite", "SELECT") if word in answer.text]
        with own_home.database.engine.begin() as mended:
            mended.execute(text("ALTER TABLE elsewhere RENAME TO release"))
        assert served.ask(SLOW).json()["code"] == "time"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) >= 2
    assert not [line for line in said if "release" in line or "SELECT" in line]


@pytest.fixture(autouse=True)
def _errors(caplog):
    caplog.set_level(logging.INFO, "governance.service")
