"""The same protocol with the state in PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from governance.errors import Conflict
from governance.keys.keyring import Keyring
from governance.lake.care import remove_unreferenced
from governance.lake.lake import Lake, TableChange
from governance.lake.specs import stored_spec
from governance.state.database import Database
from tests.collect import postgres
from tests.lake.conftest import Home, invoice_rows, invoices, open_home
from tests.lake.test_care import AT_ONCE

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(postgres.binaries() is None, reason="no PostgreSQL server that can be started here"),
]
SPEC = stored_spec(invoices())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with postgres.server() as url:
        local = open_home(tmp_path)
        local.database.close()
        settings = replace(local.settings, database_url=url.render_as_string(hide_password=False))
        database = Database(settings.database_url)
        database.create()
        keyring = Keyring(settings.keyring, database)
        yield Home(settings, database, keyring, Lake(settings, database, keyring))
        database.close()


def test_commits_conflicts_grants_and_care_are_the_same(home: Home) -> None:
    first = home.append(SPEC, invoice_rows(0, 3))
    files = home.write(SPEC, invoice_rows(3, 4))
    prepared = home.lake.prepare([TableChange(SPEC.name, files, base=first)])
    second = home.append(SPEC, invoice_rows(4, 5))
    with pytest.raises(Conflict), home.database.unit_of_work() as tx:
        home.lake.swap(tx, prepared)
    assert home.lake.snapshot(SPEC.name) == second
    assert [row["id"] for row in home.rows(SPEC.name, second, ["id", "name"])] == [0, 1, 2, 4]
    assert files[0].path in remove_unreferenced(home.lake, older_than=AT_ONCE)
    assert len(home.rows(SPEC.name, first, ["name"])) == 3


def test_a_file_that_is_in_the_table_already_is_refused(home: Home) -> None:
    files = home.write(SPEC, invoice_rows(0, 3))
    snapshot = home.commit(TableChange(SPEC.name, files))[SPEC.name]
    with pytest.raises(Conflict, match="already"):
        home.commit(TableChange(SPEC.name, files))
    assert home.lake.snapshot(SPEC.name) == snapshot
