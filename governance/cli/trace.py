"""`gov trace`: the landed records behind a row, or a value, of a published table."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from governance.cli.instant import INSTANT
from governance.cli.key_source import key_options, key_source
from governance.cli.query import as_text
from governance.config import load_settings

if TYPE_CHECKING:
    from governance.pipeline.landed_files import Position
    from governance.pipeline.trace_answer import Record, RecordTrace, SourceRow, WholeTable

NULL = "\\N"
"""A part of a key that is NULL, as PostgreSQL's COPY and our patch files have it."""


@click.command("trace")
@click.argument("table")
@click.option("--as", "subject", required=True, help="Who asks, e.g. user:auditor.")
@click.option("--purpose", required=True, help="What for: one of the purposes of access.yaml.")
@key_options
@click.option(
    "--by", multiple=True, help="A field that the keys are of, default the table's identifier; again for more."
)
@click.option("--column", help="Only what produced the value of this column.")
@click.option("--lines", is_flag=True, help="Open the landed files to tell the line of each record.")
@click.option("--as-of", "as_of", type=INSTANT, help="Rows as they were published then, under the policy of now.")
@click.option(
    "--most",
    type=click.IntRange(0, 10_000),
    default=100,
    help="Of a table that is given as a whole, rows to list (100).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def command(
    home: Path | None,
    table: str,
    subject: str,
    purpose: str,
    key_file: TextIO | None,
    from_input: str | None,
    by: tuple[str, ...],
    column: str | None,
    lines: bool,
    as_of: datetime | None,
    most: int,
    as_json: bool,
) -> None:
    """The landed records (file, record) that rows of a published TABLE were made from; positions, never a value.

    Keys come from a file or the input, never from the command line: a value as SUBJECT may see it, or the token that they
    see; the parts of a key of several fields stand between tabs, \\N is NULL. Every trace is in the ledger.

    Example: gov trace curated.enterprise --as user:auditor --purpose audit --key-file tokens.txt --column invoiced_amount
    """
    from governance.cli.sequenced import at_the_end
    from governance.pipeline.context import open_context
    from governance.pipeline.record_trace import record_trace

    lines_of_keys = [line.rstrip("\r\n") for line in key_source(key_file, from_input) if line.strip()]
    keys = [[None if part == NULL else part for part in line.split("\t")] for line in lines_of_keys]
    context = at_the_end(open_context(load_settings(home)))
    found = record_trace(
        context,
        table,
        keys,
        subject=subject,
        purpose=purpose,
        column=column,
        by=by,
        lines=lines,
        as_of=as_of,
        most=most,
    )
    if as_json:
        said = {"superset": found.superset, "exact": found.exact, "complete": found.complete}
        click.echo(json.dumps({**asdict(found), **said}, ensure_ascii=False))
        return
    titles = ["key", "row", "made", "table", "file", "record", "line", "batch"]
    click.echo(as_text(titles, [_cells(row) for row in found.rows]))
    for whole in found.whole:
        click.echo(_superset(whole))
        if whole.records:
            click.echo(
                as_text(["table", "file", "record", "line", "batch"], [_listed(whole, r) for r in whole.records])
            )
    for line in _said(found):
        click.echo(line)


def _cells(row: SourceRow) -> tuple[object, ...]:
    at = row.position
    made = "value" if row.value else "row"
    if not row.batch:
        return row.key, row.target, made, row.table, "any", "any", "", ""
    if at is None:
        return row.key, row.target, made, row.table, "", row.row, "", row.batch
    return row.key, row.target, made, row.table, at.file, at.record or "", at.line or "", row.batch


def _superset(whole: WholeTable) -> str:
    said = f"superset: {whole.reason}: any of the "
    if whole.rows is None:
        return said + f"rows of {whole.table}, neither counted nor listed: a row filter holds for this subject"
    rest = whole.rows - len(whole.records)
    return said + f"{whole.rows:,} rows of {whole.table}, {f'{rest:,} not listed' if rest else 'all listed'}"


def _listed(whole: WholeTable, record: Record) -> tuple[object, ...]:
    at = record.position
    if at is None:
        return whole.table, "", record.row, "", record.batch
    return whole.table, at.file, at.record or "", at.line or "", record.batch


def _positions(found: RecordTrace) -> list[Position]:
    """Of each record that is told, once."""
    rows = {(r.table, r.batch, r.row): r.position for r in found.rows if r.position is not None}
    rows |= {
        (one.table, r.batch, r.row): r.position for one in found.whole for r in one.records if r.position is not None
    }
    return [*rows.values()]


def _said(found: RecordTrace) -> list[str]:
    landed = [row for row in found.rows if row.batch]
    said = [f"{found.targets:,} rows of {found.table}, {len(landed):,} landed records"]
    if not found.targets:
        return [*said, "no such row is there for this subject"]
    given = {p.corrected for p in _positions(found) if p.corrected is not None}
    for one in sorted(given, key=lambda correction: correction.at):
        number = sum(p.corrected == one for p in _positions(found))
        said.append(
            f"values of {number:,} records are not the file's: corrected by {one.subject} at {one.at}, run {one.run}"
        )
    said += ["exact"] if found.exact else [f"not exact: a superset of {len(found.whole)} tables"]
    if found.hidden:
        said.append(f"not complete: {found.hidden} sources are not for this subject")
    return said
