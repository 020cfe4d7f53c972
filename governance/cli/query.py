"""`gov query`: one SELECT, answered under policy."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from governance.cli.instant import INSTANT
from governance.config import load_settings

SHOWN_ROWS = 100


@click.command("query")
@click.argument("sql")
@click.option("--as", "subject", required=True, help="Who asks, e.g. user:li.")
@click.option("--purpose", required=True, help="What for: one of the purposes of access.yaml.")
@click.option("--as-of", "as_of", type=INSTANT, help="Tables as they were published then, under the policy of now.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON, all rows.")
@click.pass_obj
def command(home: Path | None, sql: str, subject: str, purpose: str, as_of: datetime | None, as_json: bool) -> None:
    """Answer one SELECT over published tables, as SUBJECT may see them for PURPOSE; every access is in the ledger.

    Example: gov query --as user:li --purpose statistics "SELECT count(*) FROM curated.person"
    """
    from governance.cli.sequenced import at_the_end
    from governance.pipeline.context import open_context
    from governance.use.json_values import json_values
    from governance.use.query import query

    context = at_the_end(open_context(load_settings(home)))
    answer = query(
        sql,
        subject=subject,
        purpose=purpose,
        settings=context.settings,
        catalogue=context.catalogue,
        database=context.database,
        lake=context.lake,
        keystore=context.keystore,
        as_of=as_of,
    )
    with answer:
        table = answer.table()
    names = _distinct(table.column_names)
    shown = table if as_json else table.slice(0, SHOWN_ROWS)
    rows = list(zip(*map(json_values, shown.columns), strict=True))
    if as_json:
        whole = {
            "columns": names,
            "rows": [dict(zip(names, row, strict=True)) for row in rows],
            "decision_hash": answer.decision_hash,
            "release": answer.release,
            "fields": answer.fields,
            "no_export": answer.no_export,
        }
        click.echo(json.dumps(whole, ensure_ascii=False, allow_nan=False))
        return
    click.echo(as_text(names, rows))
    more = f", the first {SHOWN_ROWS} shown" if table.num_rows > SHOWN_ROWS else ""
    counted = f"{table.num_rows} row{'' if table.num_rows == 1 else 's'}"
    click.echo(f"{counted}{more}; decision {answer.decision_hash[:16]}, release {answer.release[:16]}")


def as_text(columns: list[str], rows: list[tuple[Any, ...]]) -> str:
    """A table of text, columns aligned (a Chinese character is two wide).

    >>> print(as_text(["name", "n"], [("王", 1), (None, 22)]))
    name  n
    王    1
          22
    """
    cells = [columns, *([_text(value) for value in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)] if columns else []
    lines = [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)) for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _distinct(names: list[str]) -> list[str]:
    """The names, the later of two equal ones numbered: an object of JSON holds each once.

    >>> _distinct(["c", "c", "c_2", "d"])
    ['c', 'c_3', 'c_2', 'd']
    """
    made: list[str] = []
    for name in names:
        free, count = name, 1
        while free in made or (count > 1 and free in names):
            count += 1
            free = f"{name}_{count}"
        made.append(free)
    return made


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _width(text: str) -> int:
    return sum(2 if ord(character) >= 0x1100 else 1 for character in text)
