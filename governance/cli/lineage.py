"""`gov lineage`: where a column comes from, or what depends on it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TextIO

import click

from governance.cli.instant import INSTANT
from governance.config import Settings, load_settings
from governance.errors import GovernanceError

FORMS = ("json", "graphml", "prov", "openlineage")


class _Asked(click.Group):
    """A group whose first argument is a command or, as it has a dot, a column that `show` is asked for."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, "show" if "." in cmd_name else cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


@click.group("lineage", cls=_Asked, context_settings={"ignore_unknown_options": True})
def command() -> None:
    """Where a column comes from or what depends on it (`gov lineage TABLE.COLUMN`, options: gov lineage show --help); exports.

    Example: gov lineage curated.person.id_number
    """


@command.command("show")
@click.argument("field", metavar="TABLE.COLUMN")
@click.option("--downstream", "down", is_flag=True, help="What depends on the column, instead of where it comes from.")
@click.option("--depth", type=click.IntRange(min=1), default=50, show_default=True, help="Steps to follow at most.")
@click.option("--as-of", "as_of", type=INSTANT, help="As it was recorded at this instant.")
@click.option("--as", "subject", help="Only what this subject may know of; the rest is counted.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def show_command(
    home: Path | None,
    field: str,
    down: bool,
    depth: int,
    as_of: datetime | None,
    subject: str | None,
    as_json: bool,
) -> None:
    """Print the way of a column back to the source columns, each step with its kind, and whether the answer is
    complete.

    A table is <department>.<dataset>, curated.<model> or <system>:<source table>.

    Example: gov lineage show curated.person.id_number
    """
    table, _, column = field.rpartition(".")
    if not table or ("." not in table and ":" not in table):
        raise click.UsageError(
            f"{field!r} is not a column; allowed: <department>.<dataset>.<field>, curated.<model>.<field>"
        )
    from governance.lineage import tree
    from governance.lineage.index import Index
    from governance.state.database import Database

    settings = load_settings(home)
    database = Database(settings.database_url)
    database.create()
    index = Index(settings.lineage / "graph")
    try:
        with database.read() as connection:
            answer = (index.downstream if down else index.upstream)(connection, table, column, depth=depth, as_of=as_of)
            named = index.graph(connection).columns_of(table) if ":" in table and subject is None else ()
    finally:
        database.close()
    if subject is not None:
        from governance.catalog.load import load_catalogue
        from governance.pipeline.lineage_sight import narrowed, seen_by

        answer = narrowed(answer, seen_by(subject, load_catalogue(settings), at=database.clock()), subject)
    if as_of is None and not any(answer.root in (link.source, link.target) for link in answer.links):
        require_declared(settings, table, column, others=named)
    if as_json:
        click.echo(json.dumps(tree.as_json(answer), ensure_ascii=False))
    else:
        for line in tree.lines(answer):
            click.echo(line)


@command.command("export")
@click.option("--format", "form", type=click.Choice(FORMS), default="json", show_default=True, help="Which form.")
@click.option("--as-of", "as_of", type=INSTANT, help="As it was recorded at this instant (not of openlineage).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file; else it is printed.")
@click.option("--json", "as_json", is_flag=True, help="Say what was written as JSON (with --out).")
@click.pass_obj
def export_command(home: Path | None, form: str, as_of: datetime | None, out: Path | None, as_json: bool) -> None:
    """Write the whole lineage: the graph in force as json or graphml, every run as prov (PROV-O, JSON-LD), every event as openlineage.

    Example: gov lineage export --format graphml --out lineage.graphml
    """
    if as_of is not None and form == "openlineage":
        raise click.UsageError("openlineage has every event with its own time: --as-of does not go with it")
    from governance.lineage import export
    from governance.lineage.index import Index
    from governance.state.database import Database

    settings = load_settings(home)
    database = Database(settings.database_url)
    database.create()
    try:
        with database.read() as connection, _opened(out) as file:
            match form:
                case "prov":
                    number = export.prov(connection, file, as_of=as_of)
                case "openlineage":
                    number = export.openlineage(connection, file)
                case "graphml":
                    number = export.graphml(Index(settings.lineage / "graph").graph(connection), file, as_of=as_of)
                case _:
                    whole = Index(settings.lineage / "graph").graph(connection)
                    number = export.as_json(whole, file, connection, as_of=as_of)
    finally:
        database.close()
    if out is not None:
        told = {"file": str(out), "format": form, "items": number}
        click.echo(json.dumps(told) if as_json else f"{number:,} items as {form} in {out}")


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        yield file
    temporary.replace(out)


def require_declared(settings: Settings, table: str, column: str, *, others: Sequence[str] = ()) -> None:
    """Raises GovernanceError when no contract has the column: no lineage of it is then a wrong name, not an answer. `others` are the columns
    that events of others know of the table.
    """
    if others:
        raise GovernanceError(f"no such column is known: {column}", where=table, allowed=", ".join(others[:20]))
    from governance.catalog.load import load_catalogue

    catalogue = load_catalogue(settings)
    try:
        fields = catalogue.table(table).fields
    except KeyError:
        known = ", ".join(sorted([*catalogue.datasets, *catalogue.models])[:20])
        raise GovernanceError("no such table", where=table, allowed=known or "none is declared") from None
    names = [name for f in fields for name in (f.name, f.token_name) if name]
    if column not in names:
        raise GovernanceError(f"no such column: {column}", where=table, allowed=", ".join(names))
