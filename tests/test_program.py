"""Which code runs: another byte of a source, another package or version gives another hash; the same gives the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import pytest

import governance
from governance.program import described, program, sources

FOLDER = Path(governance.__file__).parent


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two files, and a folder of installed packages beside it."""
    folder = tmp_path / "code" / "governance"
    (folder / "keys").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "keys" / "names.py").write_text("A = 1\n")
    for name in ("governance-0.1.0.dist-info", "some_thing-2.0.dist-info", "Other.Thing-1.0rc1.dist-info", "plain"):
        (tmp_path / "site" / name).mkdir(parents=True)
    return folder


def hashed(package: Path) -> str:
    return described(package, [str(package.parents[1] / "site")]).sha256


def test_a_changed_moved_or_added_source_gives_another_hash(package: Path) -> None:
    seen = [hashed(package)]
    names = package / "keys" / "names.py"
    names.write_text("A = 2\n")
    seen.append(hashed(package))
    names.rename(package / "names.py")
    seen.append(hashed(package))
    (package / "keys" / "more.py").write_text("")
    seen.append(hashed(package))
    assert len(set(seen)) == 4
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "names.cpython-311.pyc").write_bytes(b"x")
    assert hashed(package) == seen[-1]


def test_another_package_or_version_gives_another_hash(package: Path) -> None:
    site = package.parents[1] / "site"
    facts = json.loads(described(package, [str(site)]).text)
    assert (facts["version"], facts["packages"]) == (
        "0.1.0",
        ["governance==0.1.0", "other-thing==1.0rc1", "some-thing==2.0"],
    )
    before = hashed(package)
    (site / "some_thing-2.0.dist-info").rename(site / "some_thing-2.1.dist-info")
    assert hashed(package) != before


def test_the_first_of_two_packages_of_a_name_counts_as_for_import(package: Path, tmp_path: Path) -> None:
    (tmp_path / "first" / "some_thing-3.0.dist-info").mkdir(parents=True)
    search = [str(tmp_path / "absent"), str(tmp_path / "first"), str(tmp_path / "site")]
    assert "some-thing==3.0" in json.loads(described(package, search).text)["packages"]


def test_the_program_of_this_process_is_what_its_files_and_packages_say() -> None:
    facts = json.loads(program().text)
    assert program().sha256 == hashlib.sha256(program().text.encode()).hexdigest()
    assert facts["packages"] == sorted(
        {f"{d.metadata['Name'].lower().replace('_', '-').replace('.', '-')}=={d.version}" for d in distributions()},
        key=lambda one: one.partition("=="),
    )
    listed = subprocess.run(
        ["sh", "-c", "find governance -name '*.py' | LC_ALL=C sort | xargs sha256sum | sha256sum"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split()[0] == facts["sources"] == sources(FOLDER)


def test_to_describe_the_program_costs_little_cpu() -> None:
    began = time.process_time()
    described(FOLDER, tuple(sys.path))
    assert time.process_time() - began < 0.3  # 0.06 s; the rest is for what else a test machine does
