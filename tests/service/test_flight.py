"""An unmodified ADBC driver, and PyArrow's own client, over Flight SQL: the answers and refusals of the query service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.flight as flight
import pytest
from adbc_driver_flightsql import DatabaseOptions, dbapi
from sqlalchemy import select

from governance.service import flight_sql
from governance.service.flight import PURPOSE, FlightService
from governance.state.tables import ledger_entry
from tests.service.conftest import COUNT, SLOW, context_of, port_that_is_free, released, token


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = released(tmp_path_factory.mktemp("flight"))
    yield made
    made.database.close()


@contextmanager
def flying(home, **settings) -> Iterator[str]:
    port = port_that_is_free()
    server = FlightService(context_of(home, **settings), "127.0.0.1", port)
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def address(home):
    with flying(home, concurrent=2, seconds=60) as found:
        yield found


@contextmanager
def connected(address, subject="li", purpose="statistics", **headers):
    headers = {"authorization": f"Bearer {token(sub=subject)}", PURPOSE: purpose, **headers}
    options = {
        f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}{name}": value for name, value in headers.items() if value
    }
    with dbapi.connect(address, db_kwargs=options, autocommit=True) as connection:
        yield connection


def asked(address, sql, **caller):
    with connected(address, **caller) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetch_arrow_table()


def refused(address, sql, **caller) -> str:
    with pytest.raises(dbapi.Error) as raised:
        asked(address, sql, **caller)
    return str(raised.value)


def entries(home, kind):
    with home.database.read() as connection:
        return len(connection.execute(select(ledger_entry.c.id).where(ledger_entry.c.kind == kind)).all())


def test_a_driver_gets_the_rows_and_types_of_the_answer_and_the_ledger_its_entry(home, address):
    before = entries(home, "access")
    found = asked(address, COUNT)
    assert found.schema.field("n").type == pa.int64()
    assert found.to_pydict() == {"n": [4]}
    assert entries(home, "access") == before + 1


def test_a_service_logs_in_with_its_key(home, address):
    from governance.service import api_keys
    from governance.state.values import Actor

    actor = Actor("user:wang", "service.keys", "run-1")
    key, _ = api_keys.create("service:bi", days=1, actor=actor, database=home.database)
    login = {"authorization": "", "x-api-key": key}
    assert asked(address, COUNT, **login).num_rows == 1
    assert "login" in refused(address, COUNT, **{**login, "x-api-key": key[:-1] + "0"})


def test_nobody_and_a_stranger_are_told_alike_and_see_nothing(address):
    assert "login" in refused(address, COUNT, authorization="")
    assert "login" in refused(address, COUNT, authorization="Bearer nonsense")
    assert "no_access" in refused(address, COUNT, purpose="nothing")
    hidden, absent = (
        refused(address, sql, subject="idle")
        for sql in ("SELECT 1 FROM curated.person", "SELECT 1 FROM curated.nothing")
    )
    assert hidden == absent


def test_an_engine_says_nothing_of_its_own(address):
    told = refused(address, "SELECT CAST('x' || name AS INTEGER) FROM curated.person")
    assert "conversion" in told
    assert "Could not convert" not in told
    assert "statement" in refused(address, "DELETE FROM curated.person")


def test_a_driver_finds_schemas_and_tables_and_what_is_closed_is_not_there(address):
    with connected(address) as connection:
        objects = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        (schema,) = objects[0]["catalog_db_schemas"]
        assert schema["db_schema_name"] == "curated"
        tables = {t["table_name"]: [c["column_name"] for c in t["table_columns"]] for t in schema["db_schema_tables"]}
        assert set(tables) == {"person"}
        assert connection.adbc_get_info()["vendor_name"] == "gov query service"
    visible = set(asked(address, "SELECT * FROM curated.person").schema.names)
    assert set(tables["person"]) == visible
    with connected(address, subject="idle") as connection:
        assert connection.adbc_get_objects(depth="tables").read_all().to_pylist() in (
            [],
            [{"catalog_name": None, "catalog_db_schemas": []}],
            [{"catalog_name": "", "catalog_db_schemas": []}],
        )


def test_there_are_no_more_answers_at_once_than_seats_and_each_seat_comes_back(home):
    with flying(home, concurrent=1, seconds=60) as address:
        client = flight.connect(address)
        options = flight.FlightCallOptions(
            headers=[(b"authorization", f"Bearer {token(sub='li')}".encode()), (PURPOSE.encode(), b"statistics")],
            timeout=8,
        )
        ticket = flight.Ticket(flight_sql.written("TicketStatementQuery", SLOW.encode()))
        thread = threading.Thread(target=lambda: _given_up(client, ticket, options), daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while "busy" not in (told := _outcome(address)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "busy" in told
        thread.join(60)
        while _outcome(address) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert _outcome(address) == ""


def test_what_is_no_command_is_refused_without_a_trace(address):
    client = flight.connect(address)
    options = flight.FlightCallOptions(
        headers=[(b"authorization", f"Bearer {token(sub='li')}".encode()), (PURPOSE.encode(), b"statistics")]
    )
    for body in (b"", b"\xff\xff", b"SELECT 1", flight_sql.written("CommandStatementUpdate", b"DELETE FROM x")):
        with pytest.raises(flight.FlightError, match=r"invalid_request|not_supported") as raised:
            client.get_flight_info(flight.FlightDescriptor.for_command(body), options)
        assert "Traceback" not in str(raised.value)


def _outcome(address) -> str:
    try:
        asked(address, COUNT)
    except dbapi.Error as error:
        return str(error)
    return ""


def _given_up(client, ticket, options) -> None:
    """Ask until the one seat is had, and leave before the answer comes."""
    while True:
        try:
            client.do_get(ticket, options).read_all()
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            if "busy" not in str(error):
                return
