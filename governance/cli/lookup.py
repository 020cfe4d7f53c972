"""`gov lookup`: records by key, under policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TextIO

import click

from governance.cli.key_source import key_options, key_source
from governance.cli.query import SHOWN_ROWS, as_text
from governance.config import load_settings


@click.command("lookup")
@click.argument("table")
@click.option("--as", "subject", required=True, help="Who asks, e.g. user:wang.")
@click.option("--purpose", required=True, help="What for: one of the purposes of access.yaml.")
@key_options
@click.option("--by", help="The identifier that the keys are of; default the table's own.")
@click.option("--field", "fields", multiple=True, help="Only this field; give it again for more.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, all rows.")
@click.pass_obj
def command(
    home: Path | None,
    table: str,
    subject: str,
    purpose: str,
    key_file: TextIO | None,
    from_input: str | None,
    by: str | None,
    fields: tuple[str, ...],
    as_json: bool,
) -> None:
    """Records of a published TABLE by their identifier, as SUBJECT may see them for PURPOSE; every access is in the ledger.

    Keys come from a file or the input, never from the command line, which the shell keeps. `_key` is the line of the key.

    Example: gov lookup curated.person --as user:wang --purpose benefits --key-file numbers.txt
    """
    from governance.cli.sequenced import at_the_end
    from governance.pipeline.context import open_context
    from governance.use.json_values import json_values
    from governance.use.lookup import Lookups

    keys = [line.strip() for line in key_source(key_file, from_input).read().splitlines()]
    context = at_the_end(open_context(load_settings(home)))
    service = Lookups(
        settings=context.settings, catalogue=context.catalogue, database=context.database, lake=context.lake
    )
    with service:
        found = service.lookup(table, keys, subject=subject, purpose=purpose, fields=fields or None, by=by)
    rows = found.table
    shown = rows if as_json else rows.slice(0, SHOWN_ROWS)
    values = list(zip(*map(json_values, shown.columns), strict=True))
    if as_json:
        whole = {
            "columns": rows.column_names,
            "rows": [dict(zip(rows.column_names, row, strict=True)) for row in values],
            "decision_hash": found.decision_hash,
            "release": found.release,
            "fields": found.fields,
            "no_export": found.no_export,
        }
        click.echo(json.dumps(whole, ensure_ascii=False, allow_nan=False))
        return
    click.echo(as_text(rows.column_names, values))
    more = f", the first {SHOWN_ROWS} shown" if rows.num_rows > SHOWN_ROWS else ""
    records = f"{rows.num_rows} records by {len(keys)} keys{more}"
    click.echo(f"{records}; decision {found.decision_hash[:16]}, release {found.release[:16]}")
