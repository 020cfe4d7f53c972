"""The portal over HTTP: the report's pages and the catalogue; nothing outside them, no cell value."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest

from governance.portal.app import FRESH_SECONDS, portal
from tests.pipeline.home import Home, month, utility_home

with warnings.catch_warnings():  # Starlette recommends another client
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

pytestmark = pytest.mark.pipeline
CANARIES = ("11010119900307001X", "110101199003070028", "张三甲", "李四乙", "王五丙")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = utility_home(tmp_path_factory.mktemp("portal") / "home")
    assert home.run(month(1)).failed == ()
    return home


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[TestClient]:
    with home.opened() as context, TestClient(portal(context)) as client:
        yield client


def test_every_page_of_the_report_is_served(client: TestClient, home: Home) -> None:
    assert client.get("/health").json() == {"status": "well"}
    first = client.get("/")
    assert first.status_code == 200
    assert "治理报告" in first.text
    folder = home.folder / "var" / "reports" / "portal"
    pages = [path.relative_to(folder).as_posix() for path in folder.rglob("*.html")]
    assert len(pages) == 10
    for page in pages:
        answer = client.get(f"/{page}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")
        assert not [value for value in CANARIES if value in answer.text]


@pytest.mark.parametrize(
    "path",
    [
        "/../../../gov.toml",
        "/%2e%2e/%2e%2e/%2e%2e/gov.toml",
        "/tables/..%2f..%2f..%2f..%2fgov.toml",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/..%5c..%5cgov.toml",
        "/tables",
        "/tables/nobody.html",
        "/index.html%00.png",
        "/" + "a" * 5000,
    ],
)
def test_nothing_outside_the_report_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "[engine]" not in answer.text
    assert "root:" not in answer.text


def test_a_link_out_of_the_folder_is_not_followed(client: TestClient, home: Home) -> None:
    client.get("/")
    link = home.folder / "var" / "reports" / "portal" / "out.html"
    link.symlink_to(home.folder / "gov.toml")
    try:
        assert client.get("/out.html").status_code == 404
    finally:
        link.unlink()


def test_only_reading_is_offered(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/").status_code == 405


def test_the_catalogue_answers_names_levels_and_sharing_alone(client: TestClient) -> None:
    catalogue = client.get("/api/v1/catalogue").json()
    assert set(catalogue) == {"water.meters", "power.accounts", "curated.supply"}
    holder = next(f for f in catalogue["water.meters"]["fields"] if f["name"] == "holder")
    assert holder == {
        "name": "holder",
        "type": "VARCHAR",
        "classification": "L3",
        "tags": [],
        "sharing": holder["sharing"],
    }


def test_a_stale_page_is_made_again(client: TestClient, home: Home) -> None:
    client.get("/")
    index = home.folder / "var" / "reports" / "portal" / "index.html"
    made = index.read_text(encoding="utf-8")
    index.write_text("old", encoding="utf-8")
    assert client.get("/").text == "old"
    past = index.stat().st_mtime - 2 * FRESH_SECONDS
    os.utime(index, (past, past))
    assert "治理报告" in client.get("/").text
    assert len(made) > 1000
