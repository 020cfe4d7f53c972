"""Who is let in: tokens of the issuer that hold, API keys that hold, and nobody else. Every wrong login reads alike."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import http.server
import json
import os
import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from jwt.algorithms import OKPAlgorithm
from sqlalchemy import select, update

from governance.config import ServiceSettings
from governance.errors import Refused, SourceUnavailable
from governance.service import api_keys
from governance.service.issuer import REMEMBERED_SECONDS, Issuer, KeySet, usable
from governance.service.login import Login
from governance.state.database import Database
from governance.state.tables_use import service_key
from governance.state.values import Actor
from tests.service.conftest import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    ISSUER,
    OTHER_KEY,
    RSA_KEY,
    SHORT_KEY,
    bearer,
    key_set,
    released,
    serving,
    token,
)
from tests.use.asking import ledger

PATH = "/v1/tables"
PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed_with_public_key():
    """HS256 with the issuer's public key as its secret (PyJWT itself refuses to make one)."""
    claims = jwt.decode(token(), options={"verify_signature": False})
    text = f"{part({'alg': 'HS256', 'kid': 'rsa', 'typ': 'JWT'})}.{part(claims)}"
    mac = hmac.new(PEM, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def unsigned():
    claims = jwt.decode(token(), options={"verify_signature": False})
    return f"{part({'alg': 'none', 'kid': 'ed'})}.{part(claims)}."


GOOD = {
    "RS256": lambda: token(RSA_KEY, "RS256", "rsa"),
    "ES256": lambda: token(EC_KEY, "ES256", "ec"),
    "EdDSA": lambda: token(),
    "one audience of several": lambda: token(aud=["other", "gov-test"]),
}
NOW = time.time
WRONG = {
    "expired": lambda: token(exp=int(NOW()) - 1),
    "without an end": lambda: token(exp=None),
    "with an end that is no number": lambda: token(exp="soon"),
    "with an end at infinity": lambda: token(exp=float("inf")),
    "not yet valid": lambda: token(nbf=int(NOW()) + 100),
    "of the future": lambda: token(iat=int(NOW()) + 1000),
    "for another audience": lambda: token(aud="other"),
    "for nobody": lambda: token(aud=None),
    "of another issuer": lambda: token(iss="https://evil.example"),
    "of no issuer": lambda: token(iss=None),
    "without a subject": lambda: token(sub=None),
    "with an empty subject": lambda: token(sub=""),
    "with a subject of lines": lambda: token(sub="li\nuser:zhao"),
    "with a long subject": lambda: token(sub="l" * 300),
    "alg none": unsigned,
    "HS256 with the public key as secret": signed_with_public_key,
    "HS256 with a symmetric key of the set": lambda: token("secretsecretsecretsecret", "HS256", "oct"),
    "RS512": lambda: token(RSA_KEY, "RS512", "rsa"),
    "of an unknown key": lambda: token(kid="nobody"),
    "of no key": lambda: token(headers={"kid": ""}),
    "of another key under a known name": lambda: token(OTHER_KEY),
    "under the name of a key of another kind": lambda: token(EC_KEY, "ES256", "rsa"),
    "of a short RSA key": lambda: token(SHORT_KEY, "RS256", "short"),
    "with a critical header": lambda: token(headers={"crit": ["b64"], "b64": True}),
    "changed": lambda: token()[:-6] + "AAAAAA",
    "nested deeply": lambda: f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.e30.x",
    "too long": lambda: token(more="x" * 20_000),
    "nothing": lambda: ".",
    "no token": lambda: "a.b.c",
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", GOOD)
def test_a_token_of_the_issuer_is_believed(served, name):
    answer = served.client.get(PATH, headers=bearer(GOOD[name]()))
    assert answer.status_code == 200
    assert answer.json()["tables"]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("name", WRONG)
def test_a_token_that_is_wrong_is_refused_and_all_such_refusals_read_alike(served, name):
    answer = served.client.get(PATH, headers=bearer(WRONG[name]()))
    nobody = served.client.get(PATH)
    assert (answer.status_code, answer.text) == (nobody.status_code, nobody.text)
    assert (answer.status_code, answer.json()["code"], answer.headers["www-authenticate"]) == (401, "login", "Bearer")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic dXNlcjpsaQ=="},
        {"Authorization": "Bearer"},
        {"X-API-Key": "gov_000000000000_" + "A" * 43},
        {"X-API-Key": ""},
        {"X-Forwarded-User": "user:li"},
        {"Authorization": f"Bearer {token()}", "X-API-Key": "x"},
    ],
    ids=["none", "basic", "bare", "key of nobody", "empty key", "proxy", "two"],  # a token is another in each process
)
def test_nobody_is_let_in_without_exactly_one_login(served, headers):
    for path in (PATH, "/v1/tables/curated.person", "/v1/nothing", "/"):
        assert served.client.get(path, headers=headers).json()["code"] == "login"
    assert served.client.post("/v1/query", content=b"{", headers=headers).status_code == 401


def test_health_and_the_openapi_document_need_no_login_and_name_nothing_of_the_home(served):
    assert served.client.get("/health").json() == {"status": "well"}
    document = served.client.get("/v1/openapi.json")
    assert document.status_code == 200
    assert "curated.person" not in json.dumps(document.json()["paths"])


def test_a_one_time_token_is_good_once(tmp_path):
    home = released(tmp_path)
    with serving(home, one_time=True) as served:
        used, other = bearer(token()), bearer(token())
        assert served.client.get(PATH, headers=used).status_code == 200
        assert served.client.get(PATH, headers=used).json()["code"] == "login"
        assert served.client.get(PATH, headers=other).status_code == 200
        assert served.client.get(PATH, headers=bearer(token(jti=None))).status_code == 401
        wrong, right = token(OTHER_KEY, jti="same"), token(jti="same")
        assert served.client.get(PATH, headers=bearer(wrong)).status_code == 401
        assert served.client.get(PATH, headers=bearer(right)).status_code == 200
    home.database.close()


def test_of_many_uses_of_a_one_time_token_at_once_one_is_let_in(tmp_path):
    home = released(tmp_path)
    with serving(home, one_time=True) as served:
        used, codes = bearer(token()), []
        threads = [
            threading.Thread(target=lambda: codes.append(served.client.get(PATH, headers=used).status_code))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(codes) == [200, 401, 401, 401, 401, 401]
    home.database.close()


def _settings(folder, **given):
    keys = folder / "jwks.json"
    keys.write_text(key_set(), encoding="utf-8")
    return ServiceSettings(**{"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(keys), **given})


def test_a_token_is_believed_without_a_look_for_half_a_second_and_never_past_its_end(tmp_path):
    login = Login(_settings(tmp_path), Database(f"sqlite:///{tmp_path / 'state.sqlite'}"))
    lasting = [(b"authorization", f"Bearer {token()}".encode())]
    ending = [(b"authorization", f"Bearer {token(exp=int(NOW()) + 1)}".encode())]
    assert login.known(lasting) is None
    caller = login.caller(lasting)
    login.caller(ending)
    ends = time.monotonic() + 1
    assert login.known(lasting) == caller
    assert login.known([*lasting, (b"x-api-key", b"gov_0")]) is None
    assert login.known([(b"authorization", lasting[0][1].replace(b"Bearer", b"Basic"))]) is None
    assert login.known([(b"authorization", lasting[0][1] + b"x")]) is None
    time.sleep(max(REMEMBERED_SECONDS, ends - time.monotonic()))
    assert (login.known(lasting), login.known(ending)) == (None, None)


def test_a_one_time_token_is_never_remembered(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'state.sqlite'}")
    database.create()
    issuer, given = Issuer(_settings(tmp_path, one_time=True), database), token()
    assert issuer.subject(given) == "user:li"
    assert issuer.remembered(given) is None
    database.close()


def test_without_an_issuer_no_token_is_believed(tmp_path):
    home = released(tmp_path)
    with serving(home, issuer="", audience="", jwks="") as served:
        assert served.client.get(PATH, headers=bearer(token())).status_code == 401
        assert served.client.get(PATH, headers={"X-API-Key": served.key()[0]}).status_code == 200
    home.database.close()


def test_the_key_set_is_read_again_when_the_issuer_changes_its_keys(tmp_path):
    home = released(tmp_path)
    with serving(home) as served:
        file = home.settings.home / "jwks.json"
        assert served.client.get(PATH, headers=bearer(token())).status_code == 200
        keys = [key for key in json.loads(key_set())["keys"] if key["kid"] != "ed"]
        file.write_text(json.dumps({"keys": keys}), encoding="utf-8")
        os.utime(file, ns=(time.time_ns(), time.time_ns() + 10_000_000))
        assert served.client.get(PATH, headers=bearer(token())).status_code == 401
        assert served.client.get(PATH, headers=bearer(GOOD["ES256"]())).status_code == 200
        file.unlink()
        answer = served.client.get(PATH, headers=bearer(GOOD["ES256"]()))
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    home.database.close()


@contextmanager
def _issuer():
    """An issuer's address; gives it, what it was asked for, and the status that it answers with (to be changed)."""
    asked, status = [], [200]

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = key_set().encode()
            self.send_response(status[0])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/keys", asked, status
        server.shutdown()


def test_keys_from_an_address_are_fetched_and_asked_for_again_only_now_and_then(tmp_path):
    home = released(tmp_path)
    with _issuer() as (address, asked, _), serving(home, jwks=address) as served:
        assert served.client.get(PATH, headers=bearer(token())).status_code == 200
        for _ in range(5):
            assert served.client.get(PATH, headers=bearer(token(kid="nobody"))).status_code == 401
        assert asked == ["/keys"]
    home.database.close()


def test_keys_hold_a_while_when_the_address_does_not_answer_and_then_no_more():
    with _issuer() as (address, asked, status):
        keys = KeySet(address, fresh=0.0, again=0.0, oldest=0.6)
        assert keys.find("ed", "EdDSA") is not None
        status[0] = 503
        assert keys.find("ed", "EdDSA") is not None
        assert len(asked) == 2
        time.sleep(0.7)
        with pytest.raises(SourceUnavailable):
            keys.find("ed", "EdDSA")
        status[0] = 200
        assert keys.find("ed", "EdDSA") is not None


def test_many_first_logins_at_once_ask_the_address_once_and_are_all_let_in():
    with _issuer() as (address, asked, _):
        keys, found = KeySet(address), []
        threads = [threading.Thread(target=lambda: found.append(keys.find("ed", "EdDSA"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert None not in found
        assert asked == ["/keys"]


def test_an_api_key_is_kept_as_a_hash_ends_when_revoked_or_over_and_is_in_the_ledger(tmp_path):
    home = released(tmp_path)
    with serving(home) as served:
        key, made = served.key()
        assert served.client.get(PATH, headers={"X-API-Key": key}).json()["tables"]
        with home.database.read() as connection:
            kept = str(connection.execute(select(service_key)).all())
            (listed,) = api_keys.listed(connection)
        assert key not in kept
        assert key.rpartition("_")[2] not in kept
        assert (listed.id, listed.subject, listed.created_by) == (made.id, "service:bi", "user:wang")
        actor = Actor("user:wang", "service.keys", "run-2")
        api_keys.revoke(made.id, actor=actor, database=home.database)
        api_keys.revoke(made.id, actor=actor, database=home.database)
        assert served.client.get(PATH, headers={"X-API-Key": key}).status_code == 401
        created, revoked = ledger(home, "service_key_created"), ledger(home, "service_key_revoked")
        assert [entry["facts"]["key"] for entry in (*created, *revoked)] == [made.id, made.id]
        assert key not in json.dumps(created)
        old = dataclasses.replace(made, expires_at=made.created_at)
        assert not old.holds(made.created_at)
    home.database.close()


def test_a_key_that_is_over_is_refused(tmp_path):
    home = released(tmp_path)
    with serving(home) as served:
        key, _ = served.key()
        with home.database.unit_of_work() as tx:
            tx.execute(update(service_key).values(expires_at=home.database.clock() - timedelta(seconds=1)))
        assert served.client.get(PATH, headers={"X-API-Key": key}).status_code == 401
    home.database.close()


@pytest.mark.parametrize(
    ("subject", "days"), [("user:li", 1), ("service:a@b", 1), ("service:", 1), ("service:a", 0), ("service:a", 400)]
)
def test_only_services_have_keys_and_never_without_end(served, subject, days):
    with pytest.raises(Refused, match="allowed"):
        served.key(subject, days)


def test_the_key_that_signs_is_never_believed_when_it_is_published_by_mistake():
    private = {**OKPAlgorithm.to_jwk(ED_KEY, as_dict=True), "kid": "ed"}
    assert usable(json.dumps({"keys": [private, 7, {}]}).encode()) == {}
