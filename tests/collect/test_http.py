"""Web addresses, against a real server: what may be tried again, what may not, and what stays secret."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator

import pytest

from governance.catalog.types import HttpSource
from governance.errors import GovernanceError, SourceContentError, SourceUnavailable
from tests.collect.home import Home, meters
from tests.collect.servers import Web, sends


@pytest.fixture
def web() -> Iterator[Web]:
    with Web().running() as running:
        yield running


def source(web: Web, rest: str = "/meters.csv") -> HttpSource:
    return HttpSource(f"http://{web.host}{rest}", "csv")


def test_an_answer_lands_byte_for_byte(home: Home, web: Web) -> None:
    body = gzip.compress(b"Meter\n" * 300_000, compresslevel=0)
    web.answer = sends(body)
    landed = home.collect(meters(source(web)))
    assert home.bytes_of(landed.files[0]) == body
    assert (landed.files[0].name, landed.source) == ("meters.csv", f"http://{web.host}/meters.csv")
    assert web.seen[0][1]["accept-encoding"] == "identity"


def test_a_transfer_encoded_by_gzip_is_landed_as_it_came(home: Home, web: Web) -> None:
    body = gzip.compress(b"Meter\n1\n")
    web.answer = sends(body, Content_Encoding="gzip")
    assert home.bytes_of(home.collect(meters(source(web))).files[0]) == body


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_what_passes_by_itself_may_be_tried_again(home: Home, web: Web, status: int) -> None:
    web.answer = sends(b"no", status)
    with pytest.raises(SourceUnavailable, match=f"it answered {status}") as raised:
        home.collect(meters(source(web)))
    assert raised.value.retry
    web.answer = sends(b"Meter\n1\n")
    assert home.collect(meters(source(web))).batch.endswith(".1")


@pytest.mark.parametrize("status", [401, 403, 404, 204])
def test_what_does_not_pass_fails_at_once(home: Home, web: Web, status: int) -> None:
    web.answer = sends(b"", status)
    with pytest.raises(SourceContentError, match=f"it answered {status}") as raised:
        home.collect(meters(source(web)))
    assert not raised.value.retry


def test_an_answer_that_breaks_off_may_be_tried_again_and_leaves_nothing(home: Home, web: Web) -> None:
    web.answer = sends(b"Meter\n1\n", claimed=5_000)
    with pytest.raises(SourceUnavailable, match="no whole answer: RemoteProtocolError") as raised:
        home.collect(meters(source(web)))
    assert raised.value.retry
    assert home.landed_files() == []


def test_a_server_that_is_not_there_may_be_tried_again(home: Home) -> None:
    gone = Web()
    with gone.running():
        pass
    with pytest.raises(SourceUnavailable, match="no whole answer: ConnectError"):
        home.collect(meters(source(gone)))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sends(b""), "it is empty"),
        (sends(b"<html>please log in</html>", Content_Type="text/html; charset=utf-8"), "it answered with a web page"),
        (sends(b"x", Content_Encoding="br"), "it sent content encoding 'br'"),
    ],
)
def test_answers_that_cannot_be_used_say_why(home: Home, web: Web, answer: object, said: str) -> None:
    web.answer = answer  # type: ignore[assignment]
    with pytest.raises(SourceContentError, match=said):
        home.collect(meters(source(web)))


def test_a_redirect_is_followed(home: Home, web: Web) -> None:
    def answer(request: object) -> None:
        first = len(web.seen) == 1
        (sends(b"", 302, Location="/there.csv") if first else sends(b"Meter\n1\n"))(request)  # type: ignore[arg-type]

    web.answer = answer
    assert home.collect(meters(source(web))).files[0].name == "there.csv"


@pytest.mark.parametrize("location", ["ftp://data.example/a.csv", "http://[broken/a.csv"])
def test_what_is_no_web_address_fails_at_once(home: Home, location: str) -> None:
    with pytest.raises(SourceContentError, match="not an address"):
        home.collect(meters(HttpSource(location, "csv")))


def test_credentials_reach_the_server_and_nobody_else(
    home: Home, web: Web, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"METERS_PASSWORD": "pass@word/1", "METERS_TOKEN": "to&ken=2"}
    location = f"http://reader:${{METERS_PASSWORD}}@{web.host}/m.csv?token=${{METERS_TOKEN}}&literal=hidden3"
    dataset = meters(HttpSource(location, "csv"))
    with caplog.at_level(logging.DEBUG):
        landed = home.collect(dataset, environ=environ)
        web.answer = sends(b"", 403)
        with pytest.raises(GovernanceError) as raised:
            home.collect(dataset, environ=environ, again=True)
    path, headers = web.seen[0]
    assert path == "/m.csv?token=to%26ken%3D2&literal=hidden3"
    assert headers["authorization"].startswith("Basic ")
    state = b"".join(p.read_bytes() for p in home.settings.var.glob("state.sqlite*"))
    everything = f"{landed} {raised.value} {caplog.text}".encode() + state
    for secret in (b"pass@word/1", b"pass%40word", b"to&ken", b"to%26ken", b"hidden3"):
        assert secret not in everything
