"""Before a key service: the caller's own token is carried through to it, and nothing sensitive is opened without one."""

from __future__ import annotations

import dataclasses
import threading

import httpx

from governance.keys.authority import Authority, Facts
from governance.keys.consumers import Issuers
from governance.keys.custody import CustodyLedger
from governance.keys.open import open_keystore
from governance.keys.service import Custody, server
from governance.pipeline.context import Context
from governance.service.app import service
from tests.service.conftest import AUDIENCE, ED_KEY, ISSUER, Served, context_of, running, token

SQL = "SELECT name FROM curated.person ORDER BY rank"


class Rules:
    """What the key service knows by itself: the names are li's, for statistics."""

    def facts(self):
        return Facts({}, {}, frozenset())

    def shows(self, subject, purpose, tables, at):
        mine = subject in ("user:li", "service:bi") and purpose == "statistics"
        return frozenset({"curated/curated.person/L3", "curated/curated.person/footer"} if mine else ())


def test_a_caller_s_token_opens_at_the_key_service_what_its_rules_show_and_an_api_key_opens_nothing(own_home):
    ledger = CustodyLedger(own_home.settings.keyring)
    issuers = Issuers("gov-keys", {ISSUER: (ED_KEY.public_key(),)})
    custody = Custody(own_home.keystore, own_home.database, Authority(Rules()), issuers, ledger)
    keys = server(own_home.settings.home / "keys.sock", custody)
    thread = threading.Thread(target=keys.serve_forever)
    thread.start()
    context = context_of(own_home)
    settings = dataclasses.replace(context.settings, key_socket=own_home.settings.home / "keys.sock")
    context = Context(
        settings, context.catalogue, context.database, open_keystore(settings, context.database), context.lake
    )
    try:
        with running(service(context)) as url, httpx.Client(base_url=url, timeout=60) as client:
            served = Served(own_home, context, url, client)
            body = {"sql": SQL, "purpose": "statistics"}

            def asked(**headers):
                return client.post("/v1/query", json=body, headers=headers)

            both = token(aud=[AUDIENCE, "gov-keys"])
            assert asked(Authorization=f"Bearer {both}").json()["rows"][0] == ["王**"]
            only_here = asked(Authorization=f"Bearer {token()}")
            assert (only_here.status_code, only_here.json()["code"]) == (403, "refused")
            by_key = asked(**{"X-API-Key": served.key()[0]})
            assert (by_key.status_code, by_key.json()["code"]) == (403, "refused")
            assert "key" not in by_key.json()["message"]
            body["sql"] = "SELECT rank FROM curated.person ORDER BY rank"
            assert asked(**{"X-API-Key": served.key()[0]}).json()["rows"] == [[1], [2], [3], [4]]
    finally:
        keys.shutdown()
        keys.server_close()
        thread.join()
        ledger.close()
