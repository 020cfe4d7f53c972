"""The key service keeps the newest entry about access itself: the state does not go back behind it, over restarts too."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from governance.catalog.load import load_catalogue
from governance.config import load_settings
from governance.errors import Damaged, Refused
from governance.keys.custody import FILE, CustodyLedger, newest, verify
from governance.keys.keyring import Keyring
from governance.pipeline.custody import HomeRules
from governance.state.database import Database
from governance.state.tables import ledger_entry
from governance.state.tables_use import access_step
from governance.use.request_state import find
from governance.use.requests import approval, approve, ask, document_hash, withdraw
from governance.use.signatures import APPROVES, sign
from tests.use.conftest import PEOPLE, STEWARD_KEY, Home, fields, open_home
from tests.use.test_cli import write_home

ZHAO = ("user:zhao", "research", ["curated.person"])
L3 = "curated/curated.person/L3"


class Service:
    """What `gov keys serve` decides by, with a ledger of its own; closed as a process ends."""

    def __init__(self, folder: Path) -> None:
        settings = load_settings(folder)
        self.database = Database(settings.database_url)
        self.ledger = CustodyLedger(folder / "service")
        self.rules = HomeRules(settings, self.database, Keyring(settings.keyring, self.database), self.ledger)

    def shows(self) -> frozenset[str]:
        return self.rules.shows(*ZHAO, datetime.now(UTC))

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
        self.database.close()


@pytest.fixture
def home(tmp_path: Path):
    write_home(tmp_path, fields())
    made = open_home(tmp_path, load_catalogue(load_settings(tmp_path)))
    made.fill(PEOPLE)
    made.release()
    yield made
    made.database.close()


def opened(home: Home) -> str:
    """A request that an approver signed."""
    own = {"catalogue": home.catalogue, "database": home.database, "actor": home.actor()}
    to = datetime.now(UTC) + timedelta(hours=1)
    request = ask(
        subject="user:zhao", purpose="research", fields=["curated.person.born"], valid_to=to, because="why", **own
    )
    with home.database.read() as connection:
        signed = document_hash(approval(find(connection, request)))
    approve(request, subject="user:wang", signature=sign(APPROVES, signed, STEWARD_KEY), **own)
    return request


def end(home: Home, request: str) -> None:
    own = {"catalogue": home.catalogue, "database": home.database, "actor": home.actor()}
    withdraw(request, subject="user:zhao", **own)


def hide(home: Home) -> None:
    """Somebody who writes the state takes the withdrawal out of it, and its entry, the last one about access, out of the ledger."""
    with home.database.unit_of_work() as tx:
        tx.execute(delete(access_step).where(access_step.c.step == "withdrawn"))
        tx.execute(delete(ledger_entry).where(ledger_entry.c.kind == "access_withdrawn"))


def test_a_withdrawal_that_the_service_saw_stays_one_though_the_state_forgets_it(home: Home, tmp_path: Path) -> None:
    request = opened(home)
    with Service(tmp_path) as service:
        assert L3 in service.shows()
        end(home, request)
        assert L3 not in service.shows()
        hide(home)
        with pytest.raises(Refused, match="not the one that was there before"):
            service.shows()
    with Service(tmp_path) as again, pytest.raises(Damaged, match="ends before what was kept"):
        again.shows()
    opened(home)
    with Service(tmp_path) as again, pytest.raises(Damaged, match="not the one that was kept"):
        again.shows()


def test_the_service_notes_what_ended_within_a_second_though_nobody_asks_for_a_key(home: Home, tmp_path: Path) -> None:
    end(home, opened(home))
    stop = threading.Event()
    with Service(tmp_path) as service:
        following = threading.Thread(target=service.rules.follow, args=(stop,))
        following.start()
        began = time.monotonic()
        while newest(tmp_path / "service" / FILE, "history") is None and time.monotonic() - began < 5:
            time.sleep(0.05)
        stop.set()
        following.join()
    noted = newest(tmp_path / "service" / FILE, "history")
    assert noted is not None
    assert noted["events"] == 3
    lines, _ = verify(tmp_path / "service" / FILE)
    assert lines == len((tmp_path / "service" / FILE).read_text().splitlines())
    hide(home)
    with Service(tmp_path) as again, pytest.raises(Damaged, match="ends before what was kept"):
        again.shows()


def test_what_it_notes_is_a_number_and_a_hash(home: Home, tmp_path: Path) -> None:
    opened(home)
    with Service(tmp_path) as service:
        service.shows()
        service.shows()
    [line] = [json.loads(x) for x in (tmp_path / "service" / FILE).read_text().splitlines() if '"history"' in x]
    assert sorted(line) == ["at", "events", "head", "kind", "n", "prev"]
