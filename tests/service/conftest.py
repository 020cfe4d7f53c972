"""A real uvicorn over a small published home, an issuer's keys, and logins of several callers."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jwt
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from governance.config import ServiceSettings
from governance.pipeline.context import Context
from governance.service import api_keys
from governance.service.app import SERVER, service
from governance.state.values import Actor
from tests.use.conftest import ACCESS, PEOPLE, catalogue_of, open_home

ISSUER, AUDIENCE = "https://id.example", "gov-test"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
OTHER_KEY = ed25519.Ed25519PrivateKey.generate()
SERVICE_ACCESS = ACCESS.replace(
    '  - {name: "user:idle"}', '  - {name: "user:idle"}\n  - {name: "service:bi", roles: [statistician], clearance: L3}'
)
COUNT = "SELECT count(*) AS n FROM curated.person"
SLOW = "SELECT count(*) FROM range(100000) a, range(100000) b, curated.person WHERE a.range * b.range = 7"


def key_set():
    """The issuer's public keys, with some that must not be believed."""
    keys = [
        {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
        {**RSAAlgorithm.to_jwk(SHORT_KEY.public_key(), as_dict=True), "kid": "short"},
        {**ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "ec"},
        {**OKPAlgorithm.to_jwk(ED_KEY.public_key(), as_dict=True), "kid": "ed"},
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "oct"},
    ]
    return json.dumps({"keys": keys})


def token(key=ED_KEY, algorithm="EdDSA", kid="ed", headers=None, **claims):
    """A token that is believed, but for what is given; a claim of None is left out."""
    now = int(time.time())
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "li", "exp": now + 300, "iat": now, "jti": uuid.uuid4().hex}
    whole = {name: value for name, value in {**whole, **claims}.items() if value is not None}
    return jwt.encode(whole, key, algorithm, headers={"kid": kid, **(headers or {})})


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def port_that_is_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def running(app) -> Iterator[str]:
    """The application under a uvicorn of its own; gives its address."""
    port = port_that_is_free()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, **{**SERVER, "log_level": "critical"})
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(200):
        if server.started:
            break
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def context_of(home, **settings):
    jwks = home.settings.home / "jwks.json"
    jwks.write_text(key_set(), encoding="utf-8")
    given = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": str(jwks), **settings}
    own = dataclasses.replace(home.settings, service=ServiceSettings(**given))
    return Context(own, home.catalogue, home.database, home.keystore, home.lake)


def released(folder: Path, people=PEOPLE, access=SERVICE_ACCESS):
    home = open_home(folder, catalogue_of(access))
    home.fill(people)
    home.release()
    return home


@dataclasses.dataclass
class Served:
    """A home, its address, and a client that is logged in as user:li."""

    home: object
    context: Context
    url: str
    client: httpx.Client

    def ask(self, sql, purpose="statistics", subject="li", **headers):
        login = bearer(token(sub=subject))
        return self.client.post("/v1/query", json={"sql": sql, "purpose": purpose}, headers={**login, **headers})

    def get(self, path, subject="li", **headers):
        return self.client.get(path, headers={**bearer(token(sub=subject)), **headers})

    def key(self, subject="service:bi", days=1):
        actor = Actor("user:wang", "service.keys", "run-1")
        return api_keys.create(subject, days=days, actor=actor, database=self.home.database)


@contextmanager
def serving(home, **settings) -> Iterator[Served]:
    context = context_of(home, **settings)
    with running(service(context)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Served(home, context, url, client)


@pytest.fixture(scope="package")
def served(tmp_path_factory):
    """A service over a home that tests only read."""
    home = released(tmp_path_factory.mktemp("served"))
    with serving(home, concurrent=4, seconds=60) as found:
        yield found
    home.database.close()


@pytest.fixture
def own_home(tmp_path):
    home = released(tmp_path)
    yield home
    home.database.close()
