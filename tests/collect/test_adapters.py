"""What every adapter promises, tried on each of them with a real source."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
import sqlalchemy as sa

from governance.catalog.types import DatabaseSource, Dataset, FileSource, HttpSource
from governance.collect.adapters import adapter_for
from governance.errors import GovernanceError, SourceContentError, SourceUnavailable
from tests.collect.home import Home, day, meters
from tests.collect.postgres import PASSWORD
from tests.collect.servers import Web, sends

ENVIRON = {"SECRET": "hush/hush@2"}


@dataclass(frozen=True)
class Case:
    """A source with two records, and how to take it away."""

    dataset: Dataset
    missing: Dataset
    remove: Callable[[], object]
    environ: dict[str, str]


@pytest.fixture(params=["file", "http", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def case(request: pytest.FixtureRequest, home: Home) -> Iterator[Case]:
    folder = home.settings.home / "in"
    folder.mkdir(parents=True)
    match request.param:
        case "file":
            path = folder / "a.csv"
            path.write_bytes(b"Meter\n1\n2\n")
            source = FileSource("in/a.csv", "csv")
            yield Case(meters(source), meters(FileSource("in/b.csv", "csv")), path.unlink, ENVIRON)
        case "http":
            with Web().running() as web:
                web.answer = sends(b"Meter\n1\n2\n")
                address = f"http://reader:${{SECRET}}@{web.host}/a.csv?key=${{SECRET}}"
                gone = meters(HttpSource(address.replace(web.host, "127.0.0.1:9"), "csv"))

                def remove() -> None:
                    web.answer = sends(b"", 500)

                yield Case(meters(HttpSource(address, "csv")), gone, remove, ENVIRON)
        case "sqlite":
            path = folder / "a.db"
            with closing(sqlite3.connect(path)) as connection:
                connection.executescript(
                    "CREATE TABLE meters (Meter INTEGER PRIMARY KEY); INSERT INTO meters VALUES (1), (2)"
                )
            source = DatabaseSource("sqlite:///in/a.db", "meters")
            yield Case(meters(source), meters(replace(source, table="none")), path.unlink, ENVIRON)
        case _:
            url = request.getfixturevalue("postgres")
            engine = sa.create_engine(url, poolclass=sa.NullPool)
            with engine.begin() as connection:
                connection.exec_driver_sql("DROP TABLE IF EXISTS meters")
                connection.exec_driver_sql('CREATE TABLE meters AS SELECT * FROM (VALUES (1), (2)) AS v("Meter")')
            location = f"postgresql+psycopg://governor:${{SECRET}}@{url.host}:{url.port}/{url.database}"
            source = DatabaseSource(location, "meters")

            def drop() -> None:
                with engine.begin() as connection:
                    connection.exec_driver_sql("DROP TABLE meters")

            yield Case(meters(source), meters(replace(source, table="none")), drop, {"SECRET": PASSWORD})


def test_reading_twice_gives_the_same_bytes(home: Home, case: Case) -> None:
    digests = set()
    for _ in range(2):
        adapter = adapter_for(case.dataset, home.settings, case.environ)
        with closing(adapter.originals(day(0))) as originals:
            digests.add(tuple((o.name, hashlib.file_digest(o.stream, "sha256").hexdigest()) for o in originals))
    assert len(digests) == 1
    assert len(digests.pop()) == 1


def test_the_manifest_tells_the_digest_size_and_format_of_what_lies_there(home: Home, case: Case) -> None:
    landed = home.collect(case.dataset, environ=case.environ)
    adapter = adapter_for(case.dataset, home.settings, case.environ)
    (file,) = landed.files
    data = home.bytes_of(file)
    assert (file.sha256, file.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (landed.format, landed.source) == (adapter.format, adapter.shown)
    assert file.rows == (2 if landed.format == "arrow" else None)


def test_a_retry_does_not_need_the_source_any_more(home: Home, case: Case) -> None:
    landed = home.collect(case.dataset, run="r", environ=case.environ)
    case.remove()
    assert home.collect(case.dataset, run="r", environ=case.environ) == landed
    assert home.collect(case.dataset, environ=case.environ) == landed


def test_again_reads_anew_and_a_source_that_is_gone_leaves_what_has_landed(home: Home, case: Case) -> None:
    first = home.collect(case.dataset, environ=case.environ)
    second = home.collect(case.dataset, environ=case.environ, again=True)
    assert (second.batch, second.files[0].sha256) == (first.batch.removesuffix("1") + "2", first.files[0].sha256)
    case.remove()
    before = home.landed_files()
    with pytest.raises((SourceUnavailable, SourceContentError)):
        home.collect(case.dataset, environ=case.environ, again=True)
    assert home.landed_files() == before


def test_errors_and_manifests_name_the_place_and_no_secret(home: Home, case: Case) -> None:
    landed = home.collect(case.dataset, environ=case.environ)
    with pytest.raises(GovernanceError) as raised:
        home.collect(case.missing, environ=case.environ, again=True)
    assert raised.value.where == adapter_for(case.missing, home.settings, case.environ).shown
    for text in (str(landed), str(raised.value)):
        assert not any(secret in text for secret in case.environ.values())
