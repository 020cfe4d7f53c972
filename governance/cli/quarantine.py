"""`gov quarantine`: what a steward does with rows that were set aside."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.sequenced import at_the_end
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.context import Context
    from governance.pipeline.quarantine import Repaired, Selection

SHOWN_ROWS = 200

_AS = click.option(
    "--as", "subject", required=True, help="Who decides, e.g. user:li: a steward of the department, or an approver."
)
_BECAUSE = click.option("--because", required=True, help="Why; kept in the ledger. Write no value of the data into it.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
_ROWS = click.option(
    "--rows", multiple=True, help="BATCH:ROW[,ROW...] as `list` shows them; may be given several times."
)
_RULE = click.option("--rule", "rules", multiple=True, help="Rule id; may be given several times.")


@click.group("quarantine")
def command() -> None:
    """List, export, correct, release or reject rows that the rules set aside.

    Example: gov quarantine list tax.invoices && gov quarantine release tax.invoices --rule range:amount --as user:li --because "credit notes"
    """


@command.command("list")
@click.argument("dataset")
@click.option("--rule", help="Only rows that broke this rule.")
@click.option("--batch", help="Only this batch; also one that was stopped or replaced.")
@click.option("--all", "every", is_flag=True, help="Rejected rows too.")
@_JSON
@click.pass_obj
def list_command(
    home: Path | None, dataset: str, rule: str | None, batch: str | None, every: bool, as_json: bool
) -> None:
    """Open items by batch and row with what they broke: clear columns only, no key is used.

    Example: gov quarantine list tax.invoices --rule range:amount
    """
    from governance.cli.query import as_text
    from governance.manage.items import Wanted, items, key_text
    from governance.pipeline.quarantine import dataset_of

    context = _context(home)
    wanted = Wanted(batch=batch, rule=rule, open_only=not (every or batch))
    found = items(dataset_of(context, dataset), wanted, lake=context.lake, database=context.database)
    shown = found if as_json else found.slice(0, SHOWN_ROWS)
    rows = [{**row, "key": key_text(row["key"])} for row in shown.to_pylist()]
    if as_json:
        answer = [{"row" if name == "key" else name: value for name, value in row.items()} for row in rows]
        click.echo(json.dumps(answer, ensure_ascii=False))
        return
    lines = [(r["batch"], r["key"], r["state"], r["rules_hash"][:12], ", ".join(r["reasons"])) for r in rows]
    click.echo(as_text(["batch", "row", "state", "rules", "reasons"], lines))
    more = f", the first {SHOWN_ROWS} shown" if found.num_rows > SHOWN_ROWS else ""
    stopped = "" if found.num_rows or batch else " of live batches; --batch BATCH lists those of a stopped one"
    click.echo(f"{found.num_rows:,} rows{more}{stopped}")


@command.command("export")
@click.argument("dataset")
@click.option(
    "--to", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The CSV file to write."
)
@click.option("--as", "subject", required=True, help="Who asks, e.g. user:li.")
@click.option("--purpose", required=True, help="What for: one of the purposes of access.yaml.")
@_JSON
@click.pass_obj
def export_command(home: Path | None, dataset: str, file: Path, subject: str, purpose: str, as_json: bool) -> None:
    """Write the open rows as a patch file, with the fields that policy opens to you; masked ones are marked so.

    Example: gov quarantine export tax.invoices --to patch.csv --as user:li --purpose data_quality
    """
    from governance.pipeline.quarantine_export import export

    done = export(_context(home), dataset, file, subject=subject, purpose=purpose)
    if as_json:
        click.echo(json.dumps(asdict(done), ensure_ascii=False))
        return
    click.echo(f"{done.rows:,} rows in {file}; decision {done.decision_hash[:16]}")
    for name, outcome in done.fields.items():
        click.echo(f"  {name}: {outcome}")
    if done.closed:
        click.echo(f"  closed to you: {', '.join(done.closed)}")


@command.command("correct")
@click.argument("dataset")
@click.option(
    "--patch", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, help="The CSV file."
)
@_AS
@_BECAUSE
@_JSON
@click.pass_obj
def correct_command(home: Path | None, dataset: str, patch: Path, subject: str, because: str, as_json: bool) -> None:
    """Judge rows again with the values of a patch file: those that pass are let in, the others stay with their new reasons.

    Example: gov quarantine correct tax.invoices --patch patch.csv --as user:li --because "read from the paper files"
    """
    from governance.pipeline.quarantine import correct

    done = correct(_context(home), dataset, patch, subject=subject, because=because)
    _say(done, as_json, already="already let in")


@command.command("release")
@click.argument("dataset")
@_ROWS
@_RULE
@_AS
@_BECAUSE
@_JSON
@click.pass_obj
def release_command(
    home: Path | None,
    dataset: str,
    rows: tuple[str, ...],
    rules: tuple[str, ...],
    subject: str,
    because: str,
    as_json: bool,
) -> None:
    """Let rows in as they are. By rule: rows that broke no other rule than those named.

    Example: gov quarantine release tax.invoices --rows tax.invoices@20260101T000000Z.1:17 --as user:li --because "a credit note"
    """
    from governance.pipeline.quarantine import release

    done = release(_context(home), dataset, selection_of(rows, rules), subject=subject, because=because)
    _say(done, as_json, already="already let in")


@command.command("reject")
@click.argument("dataset")
@_ROWS
@_RULE
@_AS
@_BECAUSE
@_JSON
@click.pass_obj
def reject_command(
    home: Path | None,
    dataset: str,
    rows: tuple[str, ...],
    rules: tuple[str, ...],
    subject: str,
    because: str,
    as_json: bool,
) -> None:
    """Close rows for good: they stay where they are and count as rejected. By rule: every row that broke it.

    Example: gov quarantine reject tax.invoices --rule unparsed --as user:li --because "totals under the table"
    """
    from governance.pipeline.quarantine import reject

    done = reject(_context(home), dataset, selection_of(rows, rules), subject=subject, because=because)
    _say(done, as_json, already="already rejected")


def selection_of(rows: tuple[str, ...], rules: tuple[str, ...]) -> Selection:
    """What the options name; click.UsageError when that is both, nothing, or no position."""
    from governance.manage.items import parse_key
    from governance.pipeline.quarantine import Selection

    if bool(rows) == bool(rules):
        raise click.UsageError("give either --rows or --rule")
    found = []
    for text in rows:
        batch, _, numbers = text.rpartition(":")
        for number in numbers.split(","):
            key = parse_key(number.strip())
            if not batch or key is None:
                raise click.UsageError("--rows takes BATCH:ROW[,ROW...], e.g. tax.invoices@20260101T000000Z.1:17,L3")
            found.append((batch, key))
    return Selection(rows=tuple(found), rules=rules)


def _context(home: Path | None) -> Context:
    from governance.pipeline.context import open_context

    return at_the_end(open_context(load_settings(home)))


def _say(done: Repaired, as_json: bool, *, already: str) -> None:
    if as_json:
        click.echo(json.dumps(asdict(done), ensure_ascii=False))
        return
    parts = {
        "let in": done.passed,
        "rejected": done.rejected,
        "still held": done.held,
        already: done.already,
        "left, since they broke other rules too": done.others,
    }
    click.echo("; ".join(f"{rows:,} {what}" for what, rows in parts.items() if rows) or "nothing to do")
