"""Three administrators: each administrative command is one office's, and only its holders run it."""

from __future__ import annotations

import os

import click
import pytest
from click.testing import CliRunner

from governance.cli.administrators import OF, OFFICES, PEOPLE, declared, require
from governance.cli.main import group
from governance.errors import DeclarationError, Refused
from governance.keys.names import KeyCustody
from governance.policy.administrators import Administrators
from tests.cli.test_commands import LEAVES

NAMED = Administrators(
    system=("user:zhang", "service:gov-airflow"), security=("user:qian", "service:gov-keys"), audit=("user:sun",)
)
UIDS = {"zhang": 1001, "gov-airflow": 1002, "qian": 1003, "gov-keys": 1004, "sun": 1005}
HOLDERS = {"system": {1001, 1002}, "security": {1003, 1004}, "audit": {1005}}


def test_every_command_is_one_offices_or_everybodys() -> None:
    """Derived from the commands: a new one has to be put into the table."""
    leaves = {" ".join(path) for path in LEAVES} | {"serve"}  # which serves when nothing follows it
    listed = [command for own in OFFICES.values() for command in own]
    assert sorted(listed) == sorted(set(listed))
    assert set(OF) | PEOPLE == leaves
    assert not set(OF) & PEOPLE


@pytest.mark.parametrize("path", sorted(OF))
def test_every_command_of_an_office_asks_who_runs_it(path: str) -> None:
    command: click.Command | None = group
    with click.Context(group) as context:
        for name in path.split():
            assert isinstance(command, click.Group)
            command = command.get_command(context, name)
    assert command is not None
    assert getattr(command.callback, "guards", None) == path


@pytest.mark.parametrize("path", sorted(OF))
def test_only_holders_of_the_office_may_where_the_machine_knows_them(path: str) -> None:
    for uid in (0, 999, *UIDS.values()):
        if uid in HOLDERS[OF[path]]:
            require(path, NAMED, uid=uid, known=UIDS.get)
        else:
            with pytest.raises(Refused, match=f"not the {OF[path]} administrator") as refused:
                require(path, NAMED, uid=uid, known=UIDS.get)
            assert f" gov {path}" in str(refused.value)


def test_without_names_the_user_that_has_the_keys_runs_their_commands() -> None:
    require("keys shred", None, uid=1004, known=UIDS.get)
    for other in (0, 1001):
        with pytest.raises(Refused, match="sudo -u gov-keys gov keys shred"):
            require("keys shred", None, uid=other, known=UIDS.get)
    require("run", None, uid=1001, known=UIDS.get)


def test_a_home_of_one_user_tells_nobody_apart() -> None:
    for administrators in (None, NAMED):
        require("keys shred", administrators, uid=os.getuid(), known=lambda _: None)


def test_as_names_a_holder_of_the_office() -> None:
    require("keys rotate", NAMED, acts_as="user:qian", uid=0, known=lambda _: None)
    for other in ("user:security", "user:zhang", "user:sun"):
        with pytest.raises(Refused, match=f"{other} is not the security administrator.*--as user:qian"):
            require("keys rotate", NAMED, acts_as=other, uid=0, known=lambda _: None)


ACCESS = "administrators: {system: [user:zhang], security: [user:qian], audit: [user:sun]}\n"


def test_a_command_reads_who_holds_its_office_from_the_homes_rules(tmp_path) -> None:
    (tmp_path / "gov.toml").write_text("")
    (tmp_path / "catalog").mkdir()
    rules = tmp_path / "catalog" / "access.yaml"
    rules.write_text(ACCESS)
    assert declared(tmp_path, "run") == Administrators(
        system=("user:zhang",), security=("user:qian",), audit=("user:sun",)
    )
    shred = ["--home", str(tmp_path), "keys", "shred", "--dataset", "tax.invoices"]
    done = CliRunner().invoke(group, shred)
    assert isinstance(done.exception, Refused)
    assert "user:security is not the security administrator" in str(done.exception)
    for faulty in ("administrators: {system: [user:zhang]}\n", "administrators: everybody\n", "a: [\n"):
        rules.write_text(faulty)
        assert declared(tmp_path, "check") is None
        with pytest.raises(DeclarationError):
            declared(tmp_path, "run")
    assert declared(tmp_path / "nowhere", "init") is None


def test_nothing_gives_out_a_master_key() -> None:
    """So nothing of that kind needs two people: what destroys or rotates one does, with a plan that two approvers signed."""
    methods = {name for kind in KeyCustody.__mro__ for name in vars(kind) if not name.startswith("_")}
    assert methods == {"wrap", "require", "unwrap", "digest", "destroy", "names"}
    keys = {path[1:] for path in LEAVES if path[0] == "keys"}
    assert keys == {("serve",), ("ledger",), ("list",), ("shred",), ("sign",), ("rotate",)}
    for name in ("shred", "rotate"):
        assert "--approve" in {option for parameter in LEAVES["keys", name].params for option in parameter.opts}
