"""A PostgreSQL server for the tests of this folder, and a database of its own for each test that asks for one."""

from __future__ import annotations

import itertools

import psycopg
import pytest
from psycopg import sql

from tests.collect.postgres import binaries, server

_NUMBER = itertools.count()


@pytest.fixture(scope="session")
def postgres_url():
    if binaries() is None:
        pytest.skip("no PostgreSQL server is installed here")
    with server() as url:
        yield url


def connect(url, database, user=None):
    """As the superuser, or as `user`, who is given a password for it: a session of its own, with no superuser behind it."""
    password = url.password
    if user is not None:
        with connect(url, database) as admin:
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(password)))
    return psycopg.connect(
        host=url.host, port=url.port, user=user or url.username, password=password, dbname=database, autocommit=True
    )


@pytest.fixture
def database(postgres_url):
    """(url, name) of an empty database; roles are the server's, so tests name theirs apart."""
    name = f"gov_{next(_NUMBER)}"
    with connect(postgres_url, "postgres") as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    yield postgres_url, name
    with connect(postgres_url, "postgres") as admin:
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
