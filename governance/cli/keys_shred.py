"""`gov keys shred` and `gov keys sign`: plan what is destroyed, sign the plan by two people, destroy."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.sequenced import at_the_end
from governance.cli.signing import private_key
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.context import Context
    from governance.pipeline.shred_plan import Plan

_File = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("shred")
@click.option(
    "--department", "departments", multiple=True, help="Everything of this department; `curated` for its tables."
)
@click.option("--tag", "tags", multiple=True, help="Every field with this tag.")
@click.option("--dataset", "datasets", multiple=True, help="This dataset or curated table.")
@click.option("--epoch", type=click.IntRange(1), help="Only keys of this epoch.")
@click.option("--only", is_flag=True, help="Leave the keys of copies alone; the plan says what stays readable.")
@click.option("--dry-run", is_flag=True, help="Show the plan; keep nothing for signing.")
@click.option("--plan", "plan_hash", help="Destroy what this plan names, with --yes and two --approve.")
@click.option("--yes", is_flag=True, help="Really destroy; there is no way back.")
@click.option(
    "--approve", "approvals", multiple=True, metavar="SUBJECT=SIGNATURE", help="An approver's signature (hex)."
)
@click.option("--as", "subject", default="user:security", show_default=True, help="Who carries it out.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def shred_command(
    home: Path | None,
    departments: tuple[str, ...],
    tags: tuple[str, ...],
    datasets: tuple[str, ...],
    epoch: int | None,
    only: bool,
    dry_run: bool,
    plan_hash: str | None,
    yes: bool,
    approvals: tuple[str, ...],
    subject: str,
    as_json: bool,
) -> None:
    """Destroy the keys of a department, tag or dataset and every other key under which copies lie; or say what stays
    readable.

    First without --plan: shows what will be destroyed and prints the plan's hash. Two approvers of access.yaml sign it with
    `gov keys sign`. Then with --plan HASH --yes and both signatures.

    Example: gov keys shred --dataset tax.invoices
    """
    from governance.pipeline.context import open_context
    from governance.pipeline.shred import destroy, keep
    from governance.pipeline.shred_plan import Selection, plan
    from governance.state.values import Actor

    selects = bool(departments or tags or datasets)
    if selects == (plan_hash is not None):
        raise click.UsageError("give --department, --tag or --dataset to make a plan, or --plan to carry one out")
    if plan_hash is not None and not yes:
        raise click.UsageError("--plan destroys keys for good: add --yes")
    context: Context = at_the_end(open_context(load_settings(home)))
    if plan_hash is not None:
        actor = Actor(subject, "keys.shred", uuid.uuid4().hex)
        keys = destroy(context, plan_hash, signatures(approvals), actor=actor)
        answer = {"plan": plan_hash, "destroyed": list(keys)}
        click.echo(json.dumps(answer) if as_json else "\n".join([*(f"destroyed {key}" for key in keys), _count(keys)]))
        return
    made = plan(context, Selection(departments, tags, datasets, epoch, only))
    if not dry_run:
        keep(context, made)
    if as_json:
        whole = {"plan": made.hash, "kept": not dry_run, **made.document}
        click.echo(json.dumps(whole, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(made)))
        click.echo(f"plan {made.hash}" + (" (not kept)" if dry_run else ""))


@click.command("sign")
@click.argument("plan_hash", metavar="PLAN")
@click.option("--key", required=True, type=_File, help="Ed25519 key (PEM).")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def sign_command(plan_hash: str, key: Path, as_json: bool) -> None:
    """Sign the hash of a plan of `gov keys shred` or `gov keys rotate` with an approver's private key; prints the signature (hex).

    Example: gov keys sign HASH --key wang.pem
    """
    from governance.pipeline.shred import sign

    signature = sign(plan_hash, private_key(key))
    click.echo(json.dumps({"plan": plan_hash, "signature": signature}) if as_json else signature)


def _lines(made: Plan) -> Iterable[str]:
    from governance.pipeline.shred_plan import OUTSIDE

    for key in made.destroys:
        why = "" if key in made.selected else f" (copies: {', '.join(made.copies[key])})"
        yield f"destroys {key}{why}"
        yield from (f"  and with it {name}" for name in made.together.get(key, ()))
    yield from (f"stays readable: {text}" for text in made.readable)
    yield from (f"cannot be written any more: {name}" for name in made.stopped)
    yield from (f"not reached: {text}" for text in OUTSIDE)
    yield _count(made.destroys)


def _count(keys: Iterable[str]) -> str:
    number = len(tuple(keys))
    return f"{number} key{'' if number == 1 else 's'}"


def signatures(approvals: Iterable[str]) -> Mapping[str, str]:
    """Signature by subject, of `SUBJECT=SIGNATURE`."""
    found = {}
    for approval in approvals:
        subject, equals, signature = approval.partition("=")
        if not equals:
            raise click.UsageError("--approve: SUBJECT=SIGNATURE")
        found[subject] = signature
    return found
