"""`gov lookup`, `gov attest` and `gov serving`, on a home of files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from governance.cli.main import group
from governance.config import load_settings
from governance.errors import Damaged, DeclarationError, Refused
from governance.pipeline.check import check
from governance.use.attestation import PUBLIC_KEY
from tests.use.lookup_home import ROOT, Home, number

WANG = ("--as", "user:wang", "--purpose", "benefits")
NONCE = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    for name in ("catalog", "expectations"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "gov.toml").write_text("[engine]\nthreads = 1\nmemory_limit_mb = 512\n")
    home = Home(folder)
    for table in ("curated.person", "curated.family"):
        home.fill(table, 40)
    home.release("curated.person", "curated.family")
    home.database.close()
    return folder


@pytest.fixture
def gov(folder, tmp_path):
    """A command's output; `lines` are its input, and the file `keys`."""
    (tmp_path / "keys").write_text("")

    def run(*words, lines=(), home=folder):
        text = "".join(line + "\n" for line in lines)
        (tmp_path / "keys").write_text(text, encoding="utf-8")
        words = [str(tmp_path / "keys") if word == "KEYS" else word for word in words]
        start = ["--home", str(home)] if home else []
        return (
            CliRunner()
            .invoke(group, [*start, *words], input=text, catch_exceptions=False, standalone_mode=False)
            .output
        )

    return run


def test_a_lookup_takes_keys_from_a_file_or_the_input(gov):
    keys = [number(1), number(7), "nobody"]
    told = gov("lookup", "curated.person", *WANG, "--key-file", "KEYS", lines=keys)
    assert "广东省广州市天河区农林路1号" in told
    assert "1 records by 3 keys" in told
    answer = json.loads(gov("lookup", "curated.person", *WANG, "--key", "-", "--field", "phone", "--json", lines=keys))
    whole = json.loads(gov("lookup", "curated.person", *WANG, "--key", "-", "--json", lines=keys))
    assert {type(value) for row in whole["rows"] for value in row.values()} <= {
        str,
        int,
        type(None),
    }  # no date, no decimal
    assert answer["rows"] == [{"_key": 1, "phone": "138****0001"}]
    assert answer["fields"] == {"phone": "mask:phone"}
    assert answer["no_export"]
    for words in ((), ("--key-file", "KEYS", "--key", "-"), ("--key", number(1))):
        with pytest.raises(click.UsageError):
            gov("lookup", "curated.person", *WANG, *words)


def test_copies_are_made_before_the_first_lookup(gov, folder):
    made = json.loads(gov("serving", "--json"))
    assert [(copy["table"], copy["by"]) for copy in made] == [
        ("curated.family", "resident_no"),
        ("curated.person", "resident_no"),
    ]
    assert "curated.person by resident_no" in gov("serving")
    assert len(list((folder / "var" / "lake" / "_serving").glob("*/*/*"))) == 2


def test_my_mother_is_my_mother_from_the_question_to_its_proof(gov, folder, tmp_path):
    assert "kinship mother|father|parent|child|spouse: curated.family, caseworker for benefits" in gov(
        "attest", "questions"
    )
    words = ("attest", "ask", "kinship", "mother", *WANG, "--nonce", NONCE, "--key-file", "KEYS")
    (tmp_path / "answer.json").write_text(gov(*words, lines=[number(2), number(202)]), encoding="utf-8")
    answer, key = str(tmp_path / "answer.json"), str(folder / "var" / "keys" / PUBLIC_KEY)
    told = gov("attest", "verify", answer, "--key", key, "--nonce", NONCE, home=None)
    assert told.startswith("kinship mother: yes\n")
    assert "whose answer" not in told
    assert "whose answer it is was not looked at" in gov("attest", "verify", answer)
    assert json.loads(gov("attest", "verify", answer, "--json"))["answer"] == "yes"
    with pytest.raises(Refused, match="another nonce"):
        gov("attest", "verify", answer, "--nonce", "00" * 16)
    (tmp_path / "answer.json").write_text((tmp_path / "answer.json").read_text().replace('"yes"', '"no"'))
    with pytest.raises(Damaged):
        gov("attest", "verify", answer)
    for people in ([], [number(1)] * 3):
        with pytest.raises(click.UsageError):
            gov(*words, lines=people)


def test_a_fault_of_the_questions_is_one_of_gov_check(folder, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(folder, home, ignore=shutil.ignore_patterns("var"))
    check(load_settings(home))
    file = home / "catalog" / "attestations.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("valid_minutes: 60", "valid_hours: 1"), encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"catalog/attestations.yaml:\d+: .*valid_hours: unknown key"):
        check(load_settings(home))


def test_serving_stays_and_makes_the_copies_of_what_is_published(gov, folder):
    words = [sys.executable, "-m", "governance.cli.main", "--home", str(folder), "serving", "--follow", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as follower:
        try:
            told = json.loads(follower.stdout.readline())
        finally:
            follower.terminate()
    assert [(copy["table"], copy["by"]) for copy in told] == [
        ("curated.family", "resident_no"),
        ("curated.person", "resident_no"),
    ]
    assert json.loads(gov("serving", "--json")) == told
