"""`gov access consent`: record who consents to a scope, and who no more, from a file of identifiers; only tokens are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.cli.access_options import KEY_FILE, actor_of, json_option, open_home, sign_with

if TYPE_CHECKING:
    import pyarrow as pa

    from governance.catalog.types import Catalogue

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_BLOCK_BYTES = 16 << 20


@click.command("consent")
@click.option("--give", "given", type=_FILE, help="File of identifiers, one a line: these persons consent.")
@click.option("--withdraw", "withdrawn", type=_FILE, help="File of identifiers, one a line: these consent no more.")
@click.option("--scope", help="To what: a scope that a rule of access.yaml asks.")
@click.option("--domain", default="person", show_default=True, help="The identifier domain of the file's values.")
@click.option("--confirm", is_flag=True, help="Sign the set as it is again: its former signer is an approver no more.")
@click.option("--as", "subject", default="user:steward", show_default=True, help="Who records it: an approver.")
@click.option("--key", type=KEY_FILE, help="Their Ed25519 key (PEM): they sign what they record.")
@json_option
@click.pass_obj
def consent_command(
    home: Path | None,
    given: Path | None,
    withdrawn: Path | None,
    scope: str | None,
    domain: str,
    confirm: bool,
    subject: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Record consents or their withdrawal, which ends answers under way; without a file, count who consents to what.

    The values become tokens under a grant for as many as there are, and are kept nowhere.

    Example: gov access consent --give cohort.txt --scope cohort-2026 --as user:wang --key wang.pem
    """
    from governance.use import consents
    from governance.use.requests import access_of

    context = open_home(home)
    database = context.database
    if (given is not None) + (withdrawn is not None) + confirm > 1:
        raise click.UsageError("give one of --give, --withdraw and --confirm")
    file = given or withdrawn
    access = access_of(context.catalogue)
    if file is not None or confirm:
        if scope is None:
            raise click.UsageError("--scope is needed: to what they consent")
        if key is None:
            raise click.UsageError("--key is needed: whoever records consents signs them")
        actor, sign = actor_of(subject), sign_with(key)
        if confirm:
            consents.confirm(scope=scope, domain=domain, sign=sign, access=access, database=database, actor=actor)
        if given is not None:
            _require_identifiers(given, domain, context.catalogue)
        for values in _blocks(file) if file is not None else ():
            persons = consents.tokens_of(
                values, domain=domain, database=database, keystore=context.keystore, actor=actor
            )
            change = consents.give if given is not None else consents.withdraw
            change(persons, scope=scope, domain=domain, sign=sign, access=access, database=database, actor=actor)
    with database.read() as connection:
        counts, versions = consents.counted(connection), consents.versions(connection)
        standing = consents.standing(connection, [access])
    told = [
        {"scope": set_[0], "domain": set_[1], "persons": count, "version": versions[set_], "signed": set_ in standing}
        for set_, count in counts.items()
    ]
    if as_json:
        click.echo(json.dumps(told))
    else:
        lines = [
            f"{one['scope']}: {one['persons']} of the domain {one['domain']} consent"
            + ("" if one["signed"] else " (counts for nobody: an approver signs it with --confirm)")
            for one in told
        ]
        click.echo("\n".join(lines) or "nobody consented to anything yet")


def _require_identifiers(path: Path, domain: str, catalogue: Catalogue) -> None:
    """Raises Refused for a file with lines that the domain's own check (`gov.check` of its fields) does not take, by their numbers:
    nobody would ever be found under their tokens.
    """
    import duckdb
    import numpy as np
    import pyarrow as pa

    from governance.errors import Refused
    from governance.keys.tokens import sql_standard
    from governance.manage.semantics import wrong

    contracts = [*catalogue.datasets.values(), *(model.contract for model in catalogue.models.values())]
    fields = [f for c in contracts for f in c.fields if f.domain == domain and f.type.kind == "string"]
    conditions = {wrong(replace(field, name="value")) for field in fields} - {"FALSE"}
    if len(conditions) != 1:
        return
    found, before = list[int](), 0
    with duckdb.connect() as con:
        for values in _blocks(path):
            con.register("given", pa.table({"v": values}))
            standard = f"SELECT {sql_standard('v')} AS value FROM given"  # noqa: S608
            asked = f"SELECT coalesce({min(conditions)}, FALSE) AS w FROM ({standard})"  # noqa: S608
            at = np.flatnonzero(con.sql(asked).to_arrow_table().column("w").to_numpy())
            found += (at + before + 1).tolist()
            before += len(values)
    if found:
        shown = ", ".join(map(str, found[:10])) + (", ..." if len(found) > 10 else "")
        raise Refused(
            f"{len(found)} of its lines are no identifiers of the domain {domain}: {shown}",
            where=str(path),
            allowed="one identifier a line; blank lines count for nobody",
            do="correct these lines; nothing of the file was recorded",
        )


def _blocks(path: Path) -> Iterator[pa.Array]:
    """The lines of a file as strings, a block at a time. Nothing of a file that cannot be read is shown."""
    import pyarrow as pa
    from pyarrow import csv

    from governance.errors import Refused

    try:
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(column_names=["value"], block_size=_BLOCK_BYTES),
            parse_options=csv.ParseOptions(delimiter="\x1f", quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(column_types={"value": pa.string()}, strings_can_be_null=False),
        )
        for batch in reader:
            yield batch.column(0)
    except pa.ArrowInvalid:
        raise Refused("not a text file of one identifier a line, in UTF-8", where=str(path)) from None
