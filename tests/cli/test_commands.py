"""Every `gov` command: help with an example, an answer as JSON, and one clear message for wrong input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from governance.cli.main import COMMANDS, group, main
from tests.pipeline.home import Home, month, utility_home

SERVE = {("keys", "serve"), ("portal",), ("serve", "flight")}
"""Commands that run until they are stopped: they answer nothing."""
JSON_ALWAYS = {("ledger", "prove")}
"""Commands whose one answer is a JSON document."""


def _walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from _walk(found, (*path, name))


ALL = dict(_walk(group))
LEAVES = {path: command for path, command in ALL.items() if not isinstance(command, click.Group)}


def test_every_command_of_the_table_is_there() -> None:
    assert {path[0] for path in ALL if path} == set(COMMANDS)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_has_help_and_every_command_an_example(path: tuple[str, ...]) -> None:
    text = ALL[path].help or ""
    example = text.partition("Example: ")[2]
    assert "gov " in example
    assert set(path) <= set(example.split()) or isinstance(ALL[path], click.Group)
    for option in ALL[path].params:
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize("path", sorted(LEAVES.keys() - SERVE - JSON_ALWAYS), ids=" ".join)
def test_every_command_that_answers_also_answers_as_json(path: tuple[str, ...]) -> None:
    assert any("--json" in option.opts for option in LEAVES[path].params)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = utility_home(tmp_path_factory.mktemp("commands") / "home")
    assert home.run(month(1)).failed == ()
    return home


@pytest.fixture
def gov(home: Home, capfd: pytest.CaptureFixture[str]):
    """`gov` in the finished home: (exit code, standard output, error output)."""

    def run(*words: str, folder: Path | None = None) -> tuple[int, str, str]:
        code = 0
        try:
            main(["--home", str(folder or home.folder), *words])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        told = capfd.readouterr()
        return code, told.out, told.err

    return run


ANSWERS = [
    ("check",),
    ("report",),
    ("keys", "list"),
    ("serve", "key", "list"),
    ("serve", "key", "new", "--subject", "service:bi", "--days", "1"),
    ("release", "list"),
    ("release", "propose"),
    ("lineage", "curated.supply.holder"),
    ("lineage", "water.meters.holder", "--downstream"),
    ("ledger", "sequence"),
    ("ledger", "verify"),
    ("ledger", "checkpoint"),
    ("run", "--from", "2026-01-01", "--to", "2026-02-01"),
]


@pytest.mark.pipeline
@pytest.mark.parametrize("words", ANSWERS, ids=" ".join)
def test_an_answer_is_text_and_the_same_command_gives_one_json_document(gov, words: tuple[str, ...]) -> None:
    code, text, _ = gov(*words)
    assert code == 0
    assert text.strip()
    code, document, _ = gov(*words, "--json")
    assert code == 0
    json.loads(document)


WRONG = [
    (1, ("lineage", "curated.nothing.x"), "no such table"),
    (1, ("lineage", "curated.supply.nothing"), "no such column"),
    (2, ("lineage", "nothing"), "is not a column"),
    (2, ("lineage", "curated.supply.holder", "--depth", "0"), "--depth"),
    (1, ("query", "--as", "user:li", "--purpose", "p", "SELECT 1"), "nothing is published"),
    (2, ("query", "SELECT 1"), "--as"),
    (1, ("explain", "--as", "user:li", "--purpose", "p", "curated.supply"), "nothing is published"),
    (1, ("who-sees", "curated.supply.holder"), "nothing is published"),
    (2, ("who-sees", "supply"), "is not a field"),
    (1, ("release", "propose", "--table", "curated.nothing"), "no curated table"),
    (1, ("release", "publish", "0" * 64), "no such release"),
    (2, ("release", "approve", "0" * 64, "--as", "user:li"), "exactly one of"),
    (2, ("release", "nothing"), "No such command"),
    (1, ("ledger", "prove", "99999999"), "no such entry"),
    (2, ("run", "--dataset", "water.nothing"), "no such dataset"),
    (2, ("run", "--from", "yesterday"), "ISO 8601"),
    (2, ("run", "--from", "2026-02-01", "--to", "2026-01-01"), "before"),
    (1, ("demo", "score"), "no answer key"),
    (1, ("demo", "generate", "--people", "3"), "from 500"),
    (1, ("demo", "generate", "--month", "2025-13"), "not a month"),
    (2, ("portal", "--port", "99999"), "--port"),
    (2, ("check", "--nothing"), "No such option"),
    (2, ("nothing",), "No such command"),
    (1, ("init", "/proc/nothing"), "/proc/nothing"),
]


@pytest.mark.pipeline
@pytest.mark.parametrize(("code", "words", "message"), WRONG, ids=[" ".join(words) for _, words, _ in WRONG])
def test_wrong_input_gives_one_message_and_an_exit_code(gov, code: int, words: tuple[str, ...], message: str) -> None:
    found, text, told = gov(*words)
    assert found == code
    assert message in told
    assert "Traceback" not in told
    assert not text


NEED_A_HOME = sorted(
    LEAVES.keys() - {("init",), ("release", "sign"), ("release", "keygen"), ("ledger", "witness"), ("demo", "generate")}
)


@pytest.mark.parametrize("path", NEED_A_HOME, ids=" ".join)
def test_without_a_home_every_command_says_how_to_make_one(gov, tmp_path: Path, path: tuple[str, ...]) -> None:
    (tmp_path / "x").write_text("", encoding="utf-8")
    words = [*path]
    for option in LEAVES[path].params:
        if option.required:
            fitting = {"field": "curated.supply.holder", "release": "0" * 64}.get(
                option.name or "", str(tmp_path / "x")
            )
            words += [fitting] if isinstance(option, click.Argument) else [option.opts[0], fitting]
    if path == ("release", "approve"):
        words += ["--signature", "00"]
    code, _, told = gov(*words, folder=tmp_path)
    assert (code, "gov init" in told) == (1, True) or (code, "Error: " in told) == (2, True), told


def test_wrong_settings_are_faults_with_what_is_allowed(gov, tmp_path: Path) -> None:
    (tmp_path / "gov.toml").write_text("[engine]\nthreads = 'many'\n[airflow]\nscheduled = 'yes'\n", encoding="utf-8")
    code, text, told = gov("report", folder=tmp_path)
    assert (code, text) == (1, "")
    assert "engine.threads: 'many' does not fit; allowed: a whole number from 1" in told
    assert "airflow.scheduled" in told
    (tmp_path / "gov.toml").write_text("[[[", encoding="utf-8")
    assert gov("check", folder=tmp_path)[0] == 1


def test_a_state_that_cannot_be_read_is_named_without_its_content(gov, tmp_path: Path) -> None:
    home = utility_home(tmp_path / "home")
    (home.folder / "var").mkdir()
    (home.folder / "var" / "state.sqlite").write_bytes(b"110101199003070028 is no database" * 100)
    code, _, told = gov("report", folder=home.folder)
    assert code == 1
    assert told.startswith("the state database: ")
    assert "1101" not in told


def test_help_is_quick_because_no_engine_is_imported() -> None:
    program = "import sys; from governance.cli.main import main; main(['--help'])\n"
    program = f"{program}print(sorted(m for m in ('duckdb', 'pyarrow', 'sqlalchemy', 'airflow') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
