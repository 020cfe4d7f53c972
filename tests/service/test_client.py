"""The Python client against a real service."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from governance.client import ServiceError, connect
from tests.service.conftest import COUNT, serving, token

PEOPLE = "SELECT name, born, rank FROM curated.person ORDER BY rank"


@pytest.fixture
def own(served):
    with connect(served.url, token=lambda: token()) as found:
        yield found


def test_an_answer_is_given_as_arrow_pandas_and_polars(own):
    table = own.query(PEOPLE, purpose="statistics").arrow()
    assert isinstance(table, pa.Table)
    assert table["name"].to_pylist() == ["王**", "李**", "张**", None]
    frame = own.query(PEOPLE, purpose="statistics").pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["rank"].tolist() == [1, 2, 3, 4]
    polar = own.query(PEOPLE, purpose="statistics").polars()
    assert isinstance(polar, pl.DataFrame)
    assert polar["rank"].to_list() == [1, 2, 3, 4]


def test_an_answer_without_rows_has_its_columns(own):
    answer = own.query("SELECT name FROM curated.person WHERE rank > 9", purpose="statistics")
    assert (len(answer.release), len(answer.decision_hash)) == (64, 64)
    assert answer.arrow().schema.names == ["name"]


def test_rows_and_what_may_be_seen(own):
    rows = own.rows(COUNT, purpose="statistics")
    assert (rows.columns, rows.types, rows.rows, rows.no_export) == (("n",), ("int64",), [[4]], False)
    assert own.tables() == [{"table": "curated.person", "purposes": ["statistics", "research"]}]
    assert own.tables("benefits") == []
    (sight,) = own.explain("curated.person", "research")
    assert {field["field"] for field in sight["fields"]} == {"id_number", "district", "rank"}


@pytest.mark.parametrize(
    ("sql", "purpose", "code"),
    [
        ("SELECT nowhere FROM curated.person", "statistics", "names_or_types"),
        ("SELECT 1 FROM curated.nothing", "statistics", "not_there"),
        ("SELECT 1", "gossip", "no_access"),
        ("DROP TABLE curated.person", "statistics", "statement"),
    ],
)
def test_a_failure_is_one_exception_with_the_code(own, sql, purpose, code):
    for ask in (own.query, own.rows):
        with pytest.raises(ServiceError) as caught:
            ask(sql, purpose=purpose)
        assert caught.value.code == code
        assert caught.value.status >= 400
        assert str(caught.value).startswith(f"{code}: ")


def test_a_key_works_like_a_token_and_a_wrong_one_is_told(own_home):
    with serving(own_home) as served:
        with connect(served.url, key=served.key()[0]) as own:
            assert own.query(COUNT, purpose="statistics").arrow()["n"].to_pylist() == [4]
        with connect(served.url, key="wrong") as own, pytest.raises(ServiceError, match="login"):
            own.tables()
    with connect(served.url, key="any") as own, pytest.raises(ServiceError, match="unreachable"):
        own.tables()


def test_a_login_is_never_sent_in_the_clear_to_another_machine_by_accident():
    for url, given, code in [
        ("http://data.example", {"key": "k"}, "plain_http"),
        ("ftp://data.example", {"key": "k"}, "bad_url"),
        ("https://data.example", {}, "no_login"),
        ("https://data.example", {"key": "k", "token": "t"}, "no_login"),
    ]:
        with pytest.raises(ServiceError) as caught:
            connect(url, **given)
        assert caught.value.code == code
    connect("http://data.example", key="k", plain=True).close()


def test_importing_the_client_loads_nothing_of_the_server_and_nothing_heavy():
    code = (
        "import sys, governance.client\n"
        "loaded = {name for name in sys.modules if name.startswith('governance.') and name != 'governance.client'}\n"
        "loaded |= {'pandas', 'polars', 'pyarrow', 'httpx', 'duckdb', 'fastapi', 'sqlalchemy'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
