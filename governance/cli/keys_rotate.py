"""`gov keys rotate`: plan new epochs of master keys, open them once two people have signed, wrap landed originals anew."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import click

from governance.cli.keys_shred import signatures
from governance.cli.sequenced import at_the_end
from governance.config import load_settings


@click.command("rotate")
@click.option("--department", "departments", multiple=True, help="Keys of this department; `curated` for its tables.")
@click.option("--dataset", "datasets", multiple=True, help="Keys of this dataset or curated table.")
@click.option("--group", "groups", multiple=True, help="Only this group: L3, L4, landed, raw, footer, ...")
@click.option("--plan", "plan_hash", help="Open the epochs that this plan names, with two --approve.")
@click.option(
    "--approve", "approvals", multiple=True, metavar="SUBJECT=SIGNATURE", help="An approver's signature (hex)."
)
@click.option("--rewrap", is_flag=True, help="Then wrap the keys of landed originals under the new epoch.")
@click.option("--as", "subject", default="user:security", show_default=True, help="Who carries it out.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def rotate_command(
    home: Path | None,
    departments: tuple[str, ...],
    datasets: tuple[str, ...],
    groups: tuple[str, ...],
    plan_hash: str | None,
    approvals: tuple[str, ...],
    rewrap: bool,
    subject: str,
    as_json: bool,
) -> None:
    """Open a new epoch of master keys: new files come under it, old ones stay readable under theirs; nothing is
    rewritten.

    First without --plan: prints the keys and the plan's hash. Two approvers of access.yaml sign it with `gov keys sign`.
    Then with --plan HASH and both signatures. --rewrap wraps the data keys of landed originals anew; those of Parquet files
    lie in their footers and stay under the old epoch until the file is replaced. Digest keys (tokens) are not rotated:
    docs/CUSTODY.md says why, and what to do when one is feared lost.

    Example: gov keys rotate --dataset tax.invoices
    """
    from governance.keys.names import KeyName
    from governance.pipeline import rotate as rotation
    from governance.pipeline.context import open_context
    from governance.state.values import Actor

    if bool(departments or datasets) == (plan_hash is not None):
        raise click.UsageError("give --department or --dataset to make a plan, or --plan to carry one out")
    if rewrap and plan_hash is None:
        raise click.UsageError("--rewrap goes with --plan")
    context = at_the_end(open_context(load_settings(home)))
    if plan_hash is None:
        made = rotation.plan_rotation(context, rotation.Rotation(departments, datasets, groups))
        rotation.keep_rotation(context, made)
        lines = [*(f"opens {key}" for key in made.opens), f"plan {made.hash}"]
        click.echo(json.dumps({"plan": made.hash, **made.document}) if as_json else "\n".join(lines))
        return
    actor = Actor(subject, "keys.rotate", uuid.uuid4().hex)
    opened = rotation.rotate(context, plan_hash, signatures(approvals), actor=actor)
    landed = [key.table for key in map(KeyName.parse, opened) if key.group == "landed"] if rewrap else []
    batches = rotation.rewrap(context, landed, actor=actor)
    if as_json:
        click.echo(json.dumps({"plan": plan_hash, "opened": list(opened), "rewrapped": batches}))
    else:
        click.echo("\n".join(f"opened {key}" for key in opened))
        if rewrap:
            click.echo(f"wrapped anew: {sum(batches.values())} originals of {len(batches)} batches")
