"""Whose command is it (三员分立): each command that administers belongs to one of the three administrators of access.yaml
(`governance/policy/administrators.py`), or it is a person's and everybody's.

A command of an office is refused to a system user that holds another, or none, wherever one of the office's system users
is known to the machine; `--as`, where it says who acts, has to name a holder too. A home of one user has nothing to tell
apart. Root is nobody's office: whoever is root takes the user's place and is seen to do so.
"""

from __future__ import annotations

import functools
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.config import load_settings
from governance.errors import GovernanceError, Refused

if TYPE_CHECKING:
    from governance.policy.administrators import Administrators, Office

OFFICES: Mapping[Office, tuple[str, ...]] = {
    "system": (
        "check",
        "collect",
        "demo generate",
        "demo score",
        "freshness",
        "init",
        "openlineage again",
        "openlineage send",
        "openlineage status",
        "portal",
        "reconcile",
        "report",
        "run",
        "scorecard",
        "serve",
        "serve flight",
        "serving",
    ),
    "security": (
        "keys ledger",
        "keys list",
        "keys rotate",
        "keys serve",
        "keys shred",
        "ledger sequence",
        "serve key list",
        "serve key new",
        "serve key revoke",
    ),
    "audit": ("ledger checkpoint", "ledger export", "ledger prove", "ledger verify", "ledger witness"),
}
"""The commands of each office. `gov keys sign` is an approver's, at a machine of their own."""

PEOPLE = frozenset(
    {
        "access approve",
        "access ask",
        "access break-glass",
        "access consent",
        "access decline",
        "access list",
        "access review",
        "access sign",
        "access verify",
        "access withdraw",
        "as-of",
        "attest ask",
        "attest questions",
        "attest verify",
        "blast-radius",
        "catalogue export",
        "diff",
        "explain",
        "impact",
        "incident assign",
        "incident list",
        "incident show",
        "judge",
        "keys sign",
        "lineage export",
        "lineage show",
        "lookup",
        "policy diff",
        "policy export",
        "policy test",
        "quarantine correct",
        "quarantine export",
        "quarantine list",
        "quarantine reject",
        "quarantine release",
        "query",
        "release approve",
        "release keygen",
        "release list",
        "release propose",
        "release publish",
        "release sign",
        "suggest",
        "trace",
        "who-sees",
    }
)
"""Commands of people who ask, steward or approve: what they may is asked of the rules and of their signatures."""

OF: Mapping[str, Office] = {command: office for office, own in OFFICES.items() for command in own}
_ALWAYS: Mapping[Office, tuple[str, ...]] = {"security": ("gov-keys",)}
"""System users of an office where access.yaml names none: whoever has the keys."""
Known = Callable[[str], int | None]


def guarded(command: click.Command, path: str) -> click.Command:
    """The command, its sub-commands too, asking who runs it before it does anything."""
    if isinstance(command, click.Group):
        for name, own in command.commands.items():
            guarded(own, f"{path} {name}")
    office, inner = OF.get(path), command.callback
    if office is None or inner is None or hasattr(inner, "guards"):
        return command

    @functools.wraps(inner)
    def asked(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            home = context.find_root().params.get("home")
            require(path, declared(home, path), acts_as=_acts_as(context))
        return inner(*args, **kwargs)

    asked.guards = path  # type: ignore[attr-defined]
    command.callback = asked
    return command


def declared(home: Path | None, path: str) -> Administrators | None:
    """The administrators of the home; None where there is no home yet. `gov check` reports a faulty file, so it may run."""
    from governance.policy.administrators import read_administrators

    try:
        file = load_settings(home).catalog / "access.yaml"
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except (GovernanceError, OSError):
        return None  # no home, or no rules: the command itself says what it lacks
    try:
        return read_administrators(text, "catalog/access.yaml")
    except GovernanceError:
        if path == "check":
            return None
        raise


def require(
    path: str,
    administrators: Administrators | None,
    *,
    acts_as: str | None = None,
    uid: int | None = None,
    known: Known | None = None,
) -> None:
    """Refused unless the command is this system user's to run and, with --as, a holder of its office is named."""
    office = OF[path]
    holders = administrators.holders(office) if administrators else ()
    if holders and acts_as is not None and acts_as not in holders:
        raise Refused(
            f"{acts_as} is not the {office} administrator",
            where=f"gov {path}",
            allowed=", ".join(holders),
            do=f"--as {holders[0]}",
        )
    users = [name.partition(":")[2] for name in holders] or list(_ALWAYS.get(office, ()))
    uids = {user: found for user in users if (found := (known or uid_of)(user)) is not None}
    if uids and (os.getuid() if uid is None else uid) not in uids.values():
        raise Refused(
            f"this user is not the {office} administrator",
            where=f"gov {path}",
            allowed=f"system user {' or '.join(uids)}",
            do=f"sudo -u {next(iter(uids))} gov {path}",
        )


def uid_of(user: str) -> int | None:
    """The uid of a system user; None when there is none."""
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _acts_as(context: click.Context) -> str | None:
    """What `--as` of this command says; None when it has none."""
    for option in context.command.params:
        if "--as" in option.opts and option.name is not None:
            value = context.params.get(option.name)
            return value if isinstance(value, str) else None
    return None
