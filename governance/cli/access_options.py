"""What the commands of `gov access` share: options, and how their words are read."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.sequenced import at_the_end
from governance.cli.signing import private_key
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.context import Context
    from governance.policy.lattice import Outcome
    from governance.state.values import Actor
    from governance.use.requests import Narrowing
    from governance.use.signatures import Sign

KEY_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
own_key_option = click.option(
    "--key", type=KEY_FILE, required=True, help="Their own Ed25519 key (PEM), as access.yaml has its public_key."
)
as_option = click.option("--as", "subject", required=True, help="Who does it, as access.yaml names them.")
json_option = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
because_option = click.option("--because", required=True, help="The reason, in a sentence.")
fields_option = click.option(
    "--field", "fields", multiple=True, help="<schema>.<table>.<field>; may be given several times."
)
tables_option = click.option("--table", "tables", multiple=True, help="Every field of this table that can be given.")


def narrowing_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--until", help="Give it for a shorter time: day (00:00 UTC) or instant on which it is over."),
        click.option("--only", "fields", multiple=True, help="Give only this field of those asked for."),
        click.option("--action", help="Give less: mask:<mask> or aggregate_only(k) instead of what was asked for."),
    ):
        function = option(function)
    return function


def sign_with(key: Path) -> Sign:
    """Signs with the key of this file."""
    from governance.use.signatures import signer

    return signer(private_key(key))


def open_home(home: Path | None) -> Context:
    from governance.pipeline.context import open_context

    return at_the_end(open_context(load_settings(home)))


def actor_of(subject: str) -> Actor:
    from governance.state.values import Actor

    return Actor(subject, "use.access", uuid.uuid4().hex)


def outcome(text: str) -> Outcome:
    """An action in the words of access.yaml."""
    from governance.policy.lattice import Outcome

    try:
        return Outcome.parse(text)
    except ValueError as error:
        raise click.UsageError(f"--action: {error}") from None


def needed_instant(option: str, text: str) -> datetime:
    """A day (00:00 UTC), or an instant with its zone."""
    from governance.policy.access import instant

    try:
        return instant(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from None


def instant_of(option: str, text: str | None) -> datetime | None:
    return None if text is None else needed_instant(option, text)


def narrowing_of(action: str | None, fields: tuple[str, ...], until: str | None) -> Narrowing:
    from governance.use.requests import Narrowing

    return Narrowing(None if action is None else outcome(action), fields, instant_of("--until", until))
