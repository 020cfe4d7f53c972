"""`gov access` by its commands: from asking to approved, and a broken glass to its review, on a home of files."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import delete

from governance.catalog.load import load_catalogue
from governance.cli.access_consent import _require_identifiers
from governance.cli.main import group, main
from governance.config import load_settings
from governance.errors import Refused
from governance.ledger.entry import canonical
from governance.policy.access import parse_access
from governance.state.database import Database
from governance.state.tables_use import access_request
from governance.state.values import Actor
from governance.use.break_glass import break_glass
from governance.use.signatures import signer
from governance.use.signed_entries import check
from tests.use.conftest import PEOPLE, STEWARD_KEY, fields, open_home
from tests.use.test_break_glass import GLASS, LI_KEY, with_key
from tests.use.test_cli import write_home
from tests.use.test_consents import COHORT

TO = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
ASK = ("access", "ask", "--as", "user:zhao", "--purpose", "research", "--to", TO, "--because", "a cohort study")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("access")
    write_home(folder, fields())
    rules = folder / "catalog" / "access.yaml"
    rules.write_text(with_key(rules.read_text()) + COHORT + GLASS)
    home = open_home(folder, load_catalogue(load_settings(folder)))
    home.fill(PEOPLE)
    home.release()
    home.database.close()
    for name, key in (("wang", STEWARD_KEY), ("li", LI_KEY)):
        (folder / f"{name}.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder


@pytest.fixture
def gov(folder: Path, capfd: pytest.CaptureFixture[str]):
    """(exit code, standard output, error output)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["--home", str(folder), *words])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        told = capfd.readouterr()
        return code, told.out, told.err

    return run


def explained(gov, field: str, *who: str) -> dict[str, object]:
    _, text, _ = gov("explain", "--as", who[0], "--purpose", who[1], "curated.person", "--json")
    return next(row for row in json.loads(text) if row["field"] == field)


def test_a_request_goes_from_asking_to_its_end_by_command(folder: Path, gov) -> None:
    key = ("--key", str(folder / "wang.pem"))
    code, request, _ = gov(*ASK, "--field", "curated.person.born")
    request = request.strip()
    assert (code, len(request)) == (0, 64)
    assert explained(gov, "born", "user:zhao", "research")["outcome"] == "none"
    less = ("--action", "mask:truncate-to-year", "--until", TO)
    code, signature, _ = gov("access", "sign", request[:12], *less, *key)
    assert code == 0
    code, _, told = gov("access", "approve", request, "--as", "user:wang", "--signature", signature.strip())
    assert (code, "not that of an approver" in told) == (1, True)
    approve = ("access", "approve", request, "--as", "user:wang", *less)
    assert gov(*approve, "--signature", signature.strip())[:2] == (0, "approved by user:wang\n")
    assert json.loads(gov(*approve, *key, "--json")[1])["approved_by"] == "user:wang"
    row = explained(gov, "born", "user:zhao", "research")
    assert (row["outcome"], row["rules"]) == ("mask:truncate-to-year", [f"request:{request[:16]}"])
    seen = json.loads(gov("who-sees", "curated.person.born", "--json")[1])
    assert [s["rules"] for s in seen if (s["subject"], s["purpose"]) == ("user:zhao", "research")] == [row["rules"]]
    _, text, _ = gov("access", "list")
    assert "approved" in text
    assert gov("access", "withdraw", request, "--as", "user:zhao")[0] == 0
    assert explained(gov, "born", "user:zhao", "research")["outcome"] == "none"


def test_a_request_may_be_declined(folder: Path, gov) -> None:
    request = json.loads(gov(*ASK, "--table", "curated.person", "--json")[1])["request"]
    words = ("access", "decline", request, "--because", "ask for less")
    signature = gov(
        "access", "sign", request, "--decline", "--because", "ask for less", "--key", str(folder / "wang.pem")
    )[1].strip()
    assert gov(*words, "--as", "user:wang")[0] == 2
    assert gov(*words, "--as", "user:li", "--signature", signature)[0] == 1
    assert gov(*words, "--as", "user:wang", "--signature", signature)[:2] == (0, "declined by user:wang\n")
    assert gov(*words, "--as", "user:wang", "--key", str(folder / "wang.pem"))[0] == 0
    told = {entry["request"]: entry for entry in json.loads(gov("access", "list", "--json")[1])}[request]
    assert (told["status"], told["steps"][0]["document"]["because"]) == ("declined", "ask for less")


def test_a_file_with_lines_that_are_no_identifiers_is_refused_by_their_numbers(tmp_path: Path) -> None:
    """Nobody would be found under such a token, and whoever recorded it would believe that they consented."""
    catalogue, names = load_catalogue(load_settings(Path(__file__).parents[2])), tmp_path / "cohort.txt"
    names.write_text(
        "110101199003074514\n\nabc\n１１０１０１１９９００３０７７８５４\n110101199003077854x\n", encoding="utf-8"
    )
    with pytest.raises(Refused, match="2 of its lines are no identifiers of the domain person: 3, 5") as told:
        _require_identifiers(names, "person", catalogue)
    assert "abc" not in str(told.value)
    names.write_text(" 110101199003077854\n\n", encoding="utf-8")
    _require_identifiers(names, "person", catalogue)
    _require_identifiers(names, "nobody's", catalogue)


def test_consents_are_recorded_from_a_file_and_nothing_of_it_is_kept(folder: Path, gov) -> None:
    assert gov("access", "consent")[:2] == (0, "nobody consented to anything yet\n")
    names = folder / "cohort.txt"
    names.write_text(
        "110101199003074514\n\n１１０１０２１９８００１０１００２２\n110101199003074514\n", encoding="utf-8"
    )
    wang = ("--as", "user:wang", "--key", str(folder / "wang.pem"))
    [told] = json.loads(gov("access", "consent", "--give", str(names), "--scope", "cohort", *wang, "--json")[1])
    assert (told["scope"], told["domain"], told["persons"], told["signed"]) == ("cohort", "person", 2, True)
    assert gov("access", "consent", "--give", str(names), "--scope", "cohort", "--as", "user:wang")[0] == 2
    li = ("--as", "user:li", "--key", str(folder / "li.pem"))
    assert "not that of an approver" in gov("access", "consent", "--confirm", "--scope", "cohort", *li)[2]
    assert gov("access", "consent", "--confirm", "--scope", "cohort", *wang)[0] == 0
    names.write_text("110102198001010022\n", encoding="utf-8")
    code, text, _ = gov("access", "consent", "--withdraw", str(names), "--scope", "cohort", *wang)
    assert (code, text) == (0, "cohort: 1 of the domain person consent\n")
    assert "no rule asks consent" in gov("access", "consent", "--give", str(names), "--scope", "cohorts", *wang)[2]
    assert gov("access", "consent", "--give", str(names))[0] == 2
    names.write_bytes(b"110101199003074514\xff\n")
    code, _, told = gov("access", "consent", "--give", str(names), "--scope", "cohort", *wang)
    assert (code, "1101" in told) == (1, False)
    names.unlink()
    kept = b"".join(path.read_bytes() for path in (folder / "var").glob("state.sqlite*"))
    assert b"110101199003074514" not in kept
    assert b"110102198001010022" not in kept


def test_a_broken_glass_stands_first_in_the_list_and_fails_it_while_its_review_is_late(folder: Path, gov) -> None:
    words = ("--field", "curated.person.name", "--because", "a flood", "--key", str(folder / "li.pem"))
    code, out, told = gov("access", "break-glass", "--as", "user:li", *words)
    assert (code, "to be reviewed" in told) == (0, True)
    assert explained(gov, "name", "user:li", "statistics")["outcome"] == "raw"
    request = out.strip()
    assert gov(*ASK, "--field", "curated.person.name")[0] == 0
    code, text, _ = gov("access", "list")
    assert (code, "BREAK-GLASS" in text.splitlines()[1]) == (0, True)
    review = ("access", "review", request, "--as", "user:wang", "--verdict", "justified", "--because", "a flood it was")
    assert gov(*review, "--key", str(folder / "wang.pem"))[0] == 1
    late = _three_days_ago(folder)
    code, text, told = gov("access", "list")
    assert (code, "REVIEW IS LATE" in text, "never reviewed" in told) == (1, True, True)
    assert "it was not reviewed" in gov("access", "break-glass", "--as", "user:li", *words)[2]
    review = ("access", "review", late, *review[3:])
    assert gov(*review, "--key", str(folder / "wang.pem"))[:2] == (0, "justified, says user:wang\n")
    code, text, _ = gov("access", "list")
    assert (code, any(late[:16] in line and "justified" in line for line in text.splitlines())) == (0, True)


def test_the_list_tells_the_fields_that_were_given_not_those_that_were_asked_for(folder: Path, gov) -> None:
    request = gov(*ASK, "--field", "curated.person.born", "--field", "curated.person.name")[1].strip()
    less = ("--only", "curated.person.name", "--key", str(folder / "wang.pem"))
    assert gov("access", "approve", request, "--as", "user:wang", *less)[0] == 0
    line = next(line for line in gov("access", "list")[1].splitlines() if line.startswith(request[:16]))
    assert ("curated.person.name" in line, "more" in line, "born" in line) == (True, False, False)


def _three_days_ago(folder: Path) -> str:
    """A broken glass of three days ago, which nobody has reviewed."""
    settings = load_settings(folder)
    database = Database(settings.database_url, clock=lambda: datetime.now(UTC) - timedelta(days=3))
    made = break_glass(
        subject="user:li",
        fields=["curated.person.income"],
        because="a flood",
        sign=signer(LI_KEY),
        catalogue=load_catalogue(settings),
        database=database,
        actor=Actor("user:li", "use.access", "run"),
    )
    database.close()
    return made.id


def test_signatures_are_checked_on_another_machine_from_an_export_and_the_rules(
    folder: Path, gov, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules, other = folder / "catalog" / "access.yaml", tmp_path / "other.yaml"
    assert gov("ledger", "export", str(tmp_path / "export"))[0] == 0
    monkeypatch.chdir(tmp_path)

    def verify(file: Path) -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(group, ["access", "verify", str(tmp_path / "export"), "--rules", str(file), "--json"])
        return done.exit_code, json.loads(done.output)

    code, told = verify(rules)
    assert (code, told["unsigned"], told["problems"]) == (0, 1, [])
    wang = STEWARD_KEY.public_key().public_bytes_raw().hex()
    other.write_text(rules.read_text(encoding="utf-8").replace(wang, "00" * 31 + "01"), encoding="utf-8")
    code, wrong = verify(other)
    assert code == 1
    kinds = {problem.partition(": ")[2].partition(" ")[0] for problem in wrong["problems"]}
    assert kinds == {
        "access_approved",
        "access_declined",
        "break_glass_reviewed",
        "consent_given",
        "consent_withdrawn",
    }
    assert told["signed"] == wrong["signed"] + len(wrong["problems"])
    lines = (tmp_path / "export" / "entries.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(base64.b64decode(json.loads(line)["body"])) for line in lines]
    approved = next(said for said in told if said["kind"] == "access_approved")
    approved["facts"]["action"] = "raw"
    access = parse_access(rules.read_text(encoding="utf-8"), "access.yaml", load_catalogue(load_settings(folder)))
    assert check([("entry", canonical(approved))], [access]).problems == (
        "entry: access_approved is not signed by user:wang",
    )


def test_a_request_that_is_not_kept_as_the_ledger_has_it_fails_the_list(folder: Path, gov) -> None:
    request = gov(*ASK, "--field", "curated.person.income")[1].strip()
    database = Database(load_settings(folder).database_url)
    with database.unit_of_work() as tx:
        tx.execute(delete(access_request).where(access_request.c.id == request))
    database.close()
    code, _, told = gov("access", "list")
    assert (code, request[:16] in told, "gov ledger verify" in told) == (1, True, True)


WRONG = [
    (2, (*ASK[:-4], "--to", "soon", "--because", "x", "--field", "curated.person.born"), "not an instant"),
    (2, (*ASK, "--field", "curated.person.born", "--action", "show"), "not an action"),
    (1, (*ASK, "--field", "born"), "no curated table"),
    (1, ("access", "withdraw", "12345678", "--as", "user:li"), "no such request"),
    (1, ("access", "withdraw", "%", "--as", "user:li"), "not the id of a request"),
    (2, ("access", "approve", "0" * 64, "--as", "user:wang"), "exactly one of"),
]


@pytest.mark.parametrize(("code", "words", "message"), WRONG, ids=range(len(WRONG)))
def test_wrong_words_get_one_message(gov, code: int, words: tuple[str, ...], message: str) -> None:
    found, _, told = gov(*words)
    assert (found, message in told) == (code, True), told
