"""`gov serve` as a person runs it: a process of its own over a home, with TLS, and keys made on the command line."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance.client import ServiceError, connect
from tests.pipeline.home import utility_home
from tests.service.conftest import port_that_is_free

GOV = [sys.executable, "-m", "governance.cli.main"]


def certificate(folder):
    """A certificate of 127.0.0.1 that is its own authority, and its key: two files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gov")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def home(tmp_path):
    return utility_home(tmp_path / "home").folder


def gov(home, *words):
    done = subprocess.run([*GOV, "--home", str(home), *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_served_home_answers_over_tls_to_a_key_made_and_ended_on_the_command_line(home, tmp_path):
    code, told, _ = gov(home, "serve", "key", "new", "--subject", "service:bi", "--days", "1", "--json")
    assert code == 0
    key = json.loads(told)
    (home / "catalog" / "water" / "broken.odcs.yaml").write_text("{{{", encoding="utf-8")
    cert, private = certificate(tmp_path)
    port = port_that_is_free()
    words = ["serve", f"--port={port}", "--certificate", cert, "--private-key", private]
    told_left_out = tmp_path / "stderr"
    with told_left_out.open("w") as stderr:
        server = subprocess.Popen([*GOV, "--home", str(home), *words], stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == f"the query service is at https://127.0.0.1:{port}\n"
        with connect(f"https://127.0.0.1:{port}", key=key["key"], authority=cert) as service:
            assert _code(service, tries=100) == "not_ready"
            assert gov(home, "serve", "key", "revoke", key["id"])[0] == 0
            assert _code(service) == "login"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=20)
        server.stdout.close()
    assert told_left_out.read_text(encoding="utf-8").startswith("left out: catalog/water/broken.odcs.yaml:")
    code, told, _ = gov(home, "serve", "key", "list", "--json")
    assert [(each["id"], each["state"]) for each in json.loads(told)] == [(key["id"], "revoked")]
    assert key["key"] not in told


def _code(service, tries=1):
    for _ in range(tries):
        with pytest.raises(ServiceError) as caught:
            service.tables()
        if caught.value.code != "unreachable":
            break
        time.sleep(0.1)
    return caught.value.code


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--host", "0.0.0.0"), 2, "in the clear"),  # the refusal is what is tested
        (("--certificate", "gov.toml"), 2, "go together"),
        (("key", "new", "--subject", "user:li", "--days", "1"), 1, "not a service"),
        (("key", "new", "--subject", "service:bi", "--days", "0"), 2, "--days"),
        (("key", "revoke", "nothing"), 1, "no such API key"),
    ],
)
def test_what_would_not_be_safe_or_is_wrong_is_refused_with_one_message(home, words, code, told):
    words = [str(home / word) if word == "gov.toml" else word for word in words]
    found = gov(home, "serve", *words)
    assert found[0] == code
    assert told in found[2]
    assert "Traceback" not in found[2]


def test_other_commands_load_no_web_server(home):
    code = (
        "import sys\nfrom governance.cli.main import main\n"
        "try:\n    main(['serve', '--help'])\nexcept SystemExit:\n    pass\n"
        "import governance.service\n"
        "loaded = {'fastapi', 'uvicorn', 'starlette', 'jwt'} & set(sys.modules)\nassert not loaded, loaded"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "GOV_HOME": str(home)}
    )
