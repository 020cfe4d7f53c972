"""Events of real producers over HTTP: taken for good or refused by name, after the commit, by whoever may."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport
from sqlalchemy import func, select

from governance.config import Settings
from governance.lineage.index import Index
from governance.lineage.ingest import event_body
from governance.pipeline.context import Context
from governance.service import api_keys
from governance.service.app import service
from governance.service.lineage_in import MAX_BYTES, REMEMBERED_SECONDS
from governance.state.database import Database
from governance.state.tables import ledger_entry
from governance.state.tables_lineage import lineage_event, lineage_rejected
from governance.state.values import Actor
from tests.lineage.openlineage import dataset, numbered, run_event
from tests.service.conftest import bearer, port_that_is_free, running
from tests.use.conftest import catalogue_of, open_home

ONE, BATCH = "/api/v1/lineage", "/api/v1/lineage/batch"
WIDE = dataset("mart.wide", x_own={"_producer": "https://a", "_schemaURL": "https://a/b.json", "n": 1})


@dataclasses.dataclass
class Taking:
    url: str
    database: Database
    key: str
    other: str

    def post(self, path, content, key=None, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"X-API-Key": key or self.key, "Content-Type": "application/json", **headers}
        return httpx.post(self.url + path, content=body, headers=given, timeout=60)

    def kept(self):
        with self.database.read() as connection:
            return connection.execute(select(func.count()).select_from(lineage_event)).scalar_one()

    def last(self):
        with self.database.read() as connection:
            body = connection.execute(select(lineage_event.c.body).order_by(lineage_event.c.id.desc()).limit(1))
            return json.loads(event_body(body.scalar_one()))


@contextmanager
def taking(folder: Path) -> Iterator[Taking]:
    home = open_home(folder, catalogue_of())
    settings = dataclasses.replace(home.settings, openlineage={"producers": "service:etl, service:spark"})
    context = Context(settings, home.catalogue, home.database, home.keystore, home.lake)
    actor = Actor("user:wang", "service.keys", "run-1")
    keys = [
        api_keys.create(name, days=1, actor=actor, database=home.database)[0] for name in ("service:etl", "service:bi")
    ]
    with running(service(context)) as url:
        yield Taking(url, home.database, *keys)
    home.database.close()


@pytest.fixture(scope="module")
def lineage(tmp_path_factory) -> Iterator[Taking]:
    with taking(tmp_path_factory.mktemp("lineage")) as found:
        yield found


def test_one_event_is_kept_then_known_then_refused_when_it_breaks_the_standard(lineage: Taking) -> None:
    event = run_event("one", [dataset("a")], [WIDE])
    assert lineage.post(ONE, event).status_code == 201
    assert lineage.last() == event
    again = lineage.post(ONE, event)
    assert (again.status_code, again.json()) == (200, {"status": "known"})
    refused = lineage.post(ONE, {**event, "eventTime": "SECRET"})
    assert refused.status_code == 422
    assert refused.json()["reason"] == "/eventTime: eventTime/format"
    assert "SECRET" not in refused.text


def test_a_batch_says_of_each_event_what_became_of_it(lineage: Taking) -> None:
    good = [run_event(f"batch {n}", [], [WIDE]) for n in range(3)]
    mixed = lineage.post(BATCH, [good[0], {"bad": 1}, good[1], good[0]])
    assert mixed.status_code == 207
    assert [one["status"] for one in mixed.json()["events"]] == ["kept", "rejected", "kept", "known"]
    assert {name: mixed.json()[name] for name in ("received", "kept", "known", "rejected")} == {
        "received": 4,
        "kept": 2,
        "known": 1,
        "rejected": 1,
    }
    with lineage.database.read() as connection:
        own = select(ledger_entry.c.body).where(ledger_entry.c.kind == "lineage_received")
        entry = json.loads(connection.execute(own.order_by(ledger_entry.c.id.desc()).limit(1)).scalar_one())
    assert (entry["facts"]["events"], entry["actor"]["subject"]) == (2, "service:etl")
    assert lineage.post(BATCH, good).status_code == 200
    assert lineage.post(BATCH, [{"bad": 1}]).status_code == 422
    assert lineage.post(BATCH, []).json()["received"] == 0
    with lineage.database.read() as connection:
        assert connection.execute(select(func.sum(lineage_rejected.c.events))).scalar_one() >= 2


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP], ids=["plain", "gzip"])
def test_the_standards_own_client_posts_its_events(lineage: Taking, compression) -> None:
    provider = ApiKeyTokenProvider({"apiKey": lineage.key})
    transport = HttpTransport(HttpConfig(url=lineage.url, auth=provider, compression=compression))
    client = OpenLineageClient(transport=transport)
    sources = [column_lineage_dataset.InputField("warehouse", "raw.orders", "price")]
    facets = {
        "schema": schema_dataset.SchemaDatasetFacet([schema_dataset.SchemaDatasetFacetFields("total", "int")]),
        "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(
            {"total": column_lineage_dataset.Fields(sources)}
        ),
    }
    before = lineage.kept()
    name = f"mart.{compression}"
    for state in (RunState.START, RunState.COMPLETE):
        client.emit(
            RunEvent(
                eventTime="2026-01-02T03:04:05.123456+00:00",
                run=Run("0b0f6f3e-3c0f-4b8f-9d8a-6a1c2f6c7b10"),
                job=Job("airflow", "dag.task"),
                eventType=state,
                inputs=[InputDataset("warehouse", "raw.orders")],
                outputs=[OutputDataset("warehouse", name, facets=facets)],
                producer="https://airflow.apache.org",
            )
        )
    client.close()
    assert lineage.kept() == before + 2
    with lineage.database.read() as connection:
        nodes = Index().upstream(connection, f"warehouse:{name}", "total").nodes
    assert "warehouse:raw.orders.price" in {str(n) for n in nodes}


def test_only_producers_may_post_and_none_without_a_login(lineage: Taking) -> None:
    event = run_event("whose", [], [WIDE])
    assert httpx.post(lineage.url + ONE, json=event).status_code == 401
    assert lineage.post(ONE, event, key="gov_000000000000_" + "a" * 43).status_code == 401
    assert httpx.post(lineage.url + ONE, json=event, headers=bearer("gov_x")).status_code == 401
    denied = lineage.post(ONE, event, key=lineage.other)
    assert (denied.status_code, denied.json()["code"]) == (403, "no_access")
    assert httpx.post(lineage.url + ONE, json=event, headers=bearer(lineage.key)).status_code == 201


def test_many_that_come_at_once_share_one_look_at_their_login(lineage: Taking) -> None:
    actor = Actor("user:wang", "service.keys", "run-1")
    key, made = api_keys.create("service:spark", days=1, actor=actor, database=lineage.database)

    def statuses(name: str) -> set[int]:
        with ThreadPoolExecutor(12) as pool:
            return set(pool.map(lambda n: lineage.post(ONE, run_event(f"{name} {n}"), key=key).status_code, range(24)))

    assert statuses("now") == {201}
    api_keys.revoke(made.id, actor=actor, database=lineage.database)
    time.sleep(REMEMBERED_SECONDS + 0.1)
    assert statuses("ended") == {401}
    assert statuses("ended still") == {401}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 422),
        (b'{"a": NaN}', {}, 422),
        (b"[" * 200_000, {}, 422),
        (b'{"dataset": {"namespace": "a", "name": "\\ud800"}}', {}, 422),
        (b"x" * (MAX_BYTES + 1), {}, 413),
        (gzip.compress(b"[" + b" " * (MAX_BYTES + 1) + b"]"), {"Content-Encoding": "gzip"}, 413),
        (gzip.compress(b"[]") + b"[]", {"Content-Encoding": "gzip"}, 422),
        (b"no gzip", {"Content-Encoding": "gzip"}, 422),
        (b"{}", {"Content-Encoding": "br"}, 415),
    ],
    ids=["half", "nan", "deep", "surrogate", "long", "bomb", "more", "not-gzip", "coding"],
)
def test_what_cannot_be_read_is_refused(lineage: Taking, content, headers, status) -> None:
    assert lineage.post(ONE, content, **headers).status_code == status
    assert lineage.post(BATCH, content, **headers).status_code == status


def test_other_methods_and_paths_are_as_they_were(lineage: Taking) -> None:
    assert httpx.get(lineage.url + ONE, headers={"X-API-Key": lineage.key}).status_code == 405
    assert httpx.get(lineage.url + "/health").json() == {"status": "well"}
    assert httpx.get(lineage.url + ONE + "/", headers={"X-API-Key": lineage.key}).status_code == 404


SERVER = """
import sys, uvicorn
from pathlib import Path
from tests.service.test_lineage_in import taking_app
uvicorn.run(taking_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="critical")
"""


def taking_app(folder: Path):
    """The middleware alone over the database of a folder, in a process of its own."""
    from governance.config import ServiceSettings
    from governance.service.lineage_in import LineageIn
    from governance.service.login import Login

    database = Database(f"sqlite:///{folder / 'state.sqlite'}")
    settings = Settings(folder, folder, folder, folder, folder, database.url, openlineage={"producers": "service:etl"})

    async def nothing(scope, receive, send):
        await send({"type": f"{scope['type']}.startup.complete"})

    return LineageIn(nothing, settings=settings, database=database, login=Login(ServiceSettings(), database))


@contextmanager
def process(folder: Path, environment=None):
    port = port_that_is_free()
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder), str(port)], cwd=root, env={**os.environ, **(environment or {})}
    )
    try:
        for _ in range(300):
            try:
                httpx.get(f"http://127.0.0.1:{port}{ONE}", timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield child, f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("crash", ["lineage.in_receive", None], ids=["before", "any"])
def test_a_kill_in_the_middle_loses_no_event_that_was_answered(tmp_path: Path, crash) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    key, _ = api_keys.create("service:etl", days=1, actor=Actor("user:w", "p", "r"), database=database)
    events, answered = [numbered(n) for n in range(60)], 0
    with process(tmp_path, {"GOV_CRASH_AT": crash} if crash else None) as (child, url), httpx.Client() as client:
        for number, event in enumerate(events):
            if number == 30 and crash is None:
                os.kill(child.pid, signal.SIGKILL)
            try:
                answered += (
                    client.post(url + ONE, json=event, headers={"X-API-Key": key}, timeout=10).status_code == 201
                )
            except httpx.TransportError:
                break
    with database.read() as connection:
        kept = connection.execute(select(func.count()).select_from(lineage_event)).scalar_one()
    assert kept >= answered == (30 if crash is None else 0)
    assert kept == {"lineage.in_receive": 0, None: 30}[crash]
    database.close()
