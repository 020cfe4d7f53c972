"""What README and the pages of docs/ say is so: paths exist, commands parse, generated pages are current, the key table is what runs do."""

from __future__ import annotations

import importlib.util
import inspect
import json
import pydoc
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from governance.cli.main import group
from governance.state import tables
from governance.state.values import Actor
from governance.use.query import query
from governance.use.release import approve, propose, publish, sign
from tests.pipeline.home import FIRST, METERS, SUPPLY, SUPPLY_SQL, Home, month, utility_home

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
_MADE = {"build", "var"}
_TOP = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - _MADE


def _paths(text: str) -> set[str]:
    """What stands in backticks and looks like a path of this repository."""
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = {span for span in spans if "/" in span and not re.search(r"[\s<>*{}$=:…]", span)}
    return {path.rstrip("/") for path in found if path.partition("/")[0] in _TOP}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    missing = [path for path in _paths(text) if not (ROOT / path).exists() and not (page.parent / path).exists()]
    assert not missing
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_shows_parses(page: Path) -> None:
    for line in _commands(page.read_text(encoding="utf-8")):
        _parse(group, shlex.split(line, comments=True)[1:], line)


def test_the_map_has_ten_tasks_and_more_each_with_a_path() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \|$", readme.partition("## Where do I change")[2].partition("\n## ")[0], re.M
    )[2:]
    assert len(rows) >= 10
    for task, where in rows:
        assert _paths(where), task


def test_the_readme_names_make_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        for target in re.findall(r"^\s*make ([a-z]+)", page.read_text(encoding="utf-8"), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page.name}: make {target}"


def _pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["EXPECTATIONS.md", "CONTRACTS.md"])
def test_a_generated_page_is_current(name: str) -> None:
    made = _pages().PAGES[name]()
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == made, "run python docs/pages.py"


def test_the_key_table_is_what_a_run_was_granted(tmp_path: Path) -> None:
    granted = _granted(_finished_home(tmp_path / "home"))
    told = _key_table()
    assert set(granted) <= set(told)
    for step, kinds in told.items():
        assert granted.get(step, set()) == kinds, step


def _key_table() -> dict[str, set[str]]:
    """Step -> kinds of keys, as docs/KEYS.md has them."""
    table: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "KEYS.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] not in ("step", "---"):
            table.setdefault(cells[0], set()).update(k for k in cells[2].split(", ") if k != "nothing")
    return table


def _granted(home: Home) -> dict[str, set[str]]:
    """Step -> kinds of keys that grants of it named; asserts that each grant stays with the tables it may speak of."""
    found: dict[str, set[str]] = {}
    columns = tables.grant.c
    with home.opened() as context, context.database.read() as connection:
        rows = connection.execute(select(columns.subject, columns.purpose, columns["keys"])).all()
    for subject, purpose, keys in rows:
        step = purpose.removeprefix("pipeline.") if purpose.startswith("pipeline.") else "query"
        assert subject.startswith(("service:", "user:"))
        for key in json.loads(keys):
            if key.startswith("digest:"):
                found.setdefault(step, set()).add(key.removeprefix("digest:").partition("/")[0])
                continue
            owner, table, group_name, _ = key.split("/")
            kind = group_name if group_name in ("footer", "landed", "raw") else "field"
            found.setdefault(step, set()).add(kind)
            assert step != "store" or subject == f"service:store@{owner}", key
            assert step != "query" or table.startswith("curated."), key
    return found


def _finished_home(folder: Path) -> Home:
    """Two months with versions, a build that carries a sensitive column, a release, and a query that is given purpose tokens."""
    home = utility_home(folder, mode="snapshot_diff")
    person = {**METERS["person_no"], "tags": ["number"]}
    home.declare(
        "curated.supply",
        {**SUPPLY, "person_no": person},
        sql=SUPPLY_SQL.replace("m.holder", "m.holder, m.person_no, m.person_no__token"),
    )
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw().hex()
    (folder / "catalog" / "access.yaml").write_text(ACCESS.format(public=public), encoding="utf-8")
    assert home.run(month(1)).failed == ()
    home.deliver("water.meters", [FIRST[0], "2,110101199003070028,李四丁,21"])
    assert home.run(month(2)).failed == ()
    with home.opened() as context:
        c, database, lake = context.catalogue, context.database, context.lake
        actor = Actor("service:use@curated", "pipeline.use", "release")
        release = propose(c, database=database, lake=lake, actor=actor)
        approve(release, subject="user:wang", signature=sign(release, key), catalogue=c, database=database, actor=actor)
        publish(release, catalogue=c, settings=context.settings, database=database, lake=lake, actor=actor)
        common = {"settings": context.settings, "catalogue": c, "database": database, "lake": lake}
        sql = "SELECT holder, person_no FROM curated.supply"
        with query(sql, subject="user:li", purpose="care", keystore=context.keystore, **common) as answer:
            assert answer.table().num_rows == 2
    return home


ACCESS = """\
version: 1
roles: [{{id: nurse}}]
purposes: [{{id: care}}]
subjects: [{{name: "user:li", roles: [nurse], clearance: L4}}, {{name: "user:wang"}}]
approvers: [{{subject: "user:wang", public_key: {public}}}]
rules:
  - {{id: clear, roles: [nurse], purposes: [care], where: {{levels: [L1, L2, L3]}}, action: raw}}
  - {{id: tokens, roles: [nurse], purposes: [care], where: {{levels: [L4], tags: [number]}}, action: "mask:token"}}
"""


def _commands(text: str) -> list[str]:
    """Lines of code blocks, and spans, that are a `gov` command without a placeholder for several things."""
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, flags=re.DOTALL)
    blocks += ["\n".join(re.findall(r"(?m)^ {4}(gov .*)$", text))]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in re.split(r" && |; ", line)]
    spans = re.findall(r"(?<!`)`(gov [^`\n]+)`(?!`)", text)
    return [line for line in [*parts, *spans] if line.startswith("gov ")]


def _parse(command: click.Command, words: list[str], line: str) -> None:
    """Parse as click would, down to the command that the words name, without running it; a group alone names itself."""
    words = [word for word in words if word not in ("…", "...")]
    context = click.Context(command, info_name="gov", resilient_parsing=False)
    if isinstance(command, click.Group):
        rest = words
        while rest and rest[0].startswith("-"):
            rest = rest[2:] if rest[0] in ("--home",) else rest[1:]
        if rest:
            found = command.get_command(context, rest[0])
            assert found is not None, line
            _parse(found, rest[1:], line)
        return
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    for word in words:
        assert not word.startswith("--") or word.partition("=")[0] in options, f"{line}: {word}"


def test_the_signatures_of_the_architecture_are_those_of_the_code() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    lines = re.findall(
        r"^([a-z_]+(?:\.\w+)+)\((.*?)\)(?= |$)", text.partition("```python")[2].partition("```")[0], re.M
    )
    assert len(lines) > 30
    for name, told in lines:
        found = inspect.signature(pydoc.locate(f"governance.{name}")).parameters.values()
        names = [parameter.name for parameter in found if parameter.name != "self"]
        assert [word.strip() for word in told.split(",") if word.strip() not in ("*", "")] == names, name
        keyword_only = [p.name for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY]
        assert [w.strip() for w in told.partition("*")[2].split(",") if w.strip()] == keyword_only, name


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert re.findall(r"^ {4}(\S.*)$", text.partition("\n## ")[0], re.M) == layers["layers"]


def test_every_crash_point_that_the_architecture_names_is_in_the_code() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Commit")[2].partition("\n## ")[0]
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "governance").rglob("*.py"))
    for point in re.findall(r"`((?:collect|store|lake|manage|develop|ledger)\.\w+)`", text):
        assert f'crash_point("{point}")' in code
