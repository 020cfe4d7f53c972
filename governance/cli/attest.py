"""`gov attest`: ask a declared question, verify an answer, list the questions."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click

from governance.config import load_settings
from governance.errors import GovernanceError


@click.group("attest")
def command() -> None:
    """Yes or no, signed, and nothing else: facts about people without their records.

    Example: gov attest ask kinship mother --as user:wang --purpose benefits --key-file both.txt > answer.json
    """


@command.command("ask")
@click.argument("question")
@click.argument("claim")
@click.option("--as", "subject", required=True, help="Who asks, e.g. user:wang.")
@click.option("--purpose", required=True, help="What for: the question's purpose.")
@click.option(
    "--key-file",
    type=click.File("r", encoding="utf-8"),
    required=True,
    help="Identifiers, one a line; - reads the input.",
)
@click.option("--nonce", help="16 to 64 bytes in hex of your own; default: made here.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON; it always is.")
@click.pass_obj
def ask_command(
    home: Path | None,
    question: str,
    claim: str,
    subject: str,
    purpose: str,
    key_file: TextIO,
    nonce: str | None,
    as_json: bool,
) -> None:
    """Ask whether CLAIM (a relation, an age) holds; prints the signed answer.

    The first line of the file is the person, the second, for a relation, the relative: `kinship mother` asks whether
    the second is the mother of the first.

    Example: gov attest ask kinship mother --as user:wang --purpose benefits --key-file both.txt > answer.json
    """
    from governance.cli.sequenced import at_the_end
    from governance.pipeline.context import open_context
    from governance.use.attest import Asked, attest

    people = [line.strip() for line in key_file.read().splitlines() if line.strip()]
    if not 1 <= len(people) <= 2:
        raise click.UsageError("the file names one person, or two of a relation, one a line")
    context = at_the_end(open_context(load_settings(home)))
    document = attest(
        Asked(question, claim, people[0], people[1] if len(people) == 2 else None),
        nonce=nonce or secrets.token_hex(16),
        subject=subject,
        purpose=purpose,
        settings=context.settings,
        catalogue=context.catalogue,
        database=context.database,
        lake=context.lake,
    )
    click.echo(document)


@command.command("verify")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The attester's public key (PEM); default: the home's.",
)
@click.option("--nonce", help="The nonce that you asked with: the answer must be to it.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def verify_command(home: Path | None, file: TextIO, key: Path | None, nonce: str | None, as_json: bool) -> None:
    """Verify a signed answer: signature, time, nonce. Needs no database, and with --key no home.

    Example: gov attest verify answer.json --key attest.pub.pem --nonce 9f86d081884c7d659a2feaa0c55ad015
    """
    from governance.use.attestation import PUBLIC_KEY, read_public_key, verify

    public_key = read_public_key(key or load_settings(home).keyring / PUBLIC_KEY)
    made = verify(file.read(), public_key, at=datetime.now(UTC), nonce=nonce)
    if as_json:
        click.echo(json.dumps(made.body, ensure_ascii=False))
        return
    click.echo(f"{made.question} {made.claim}: {made.answer}")
    click.echo(
        f"asked by {made.asked_by} for {made.purpose} at {made.at.isoformat()}; stands until {made.expires.isoformat()}"
    )
    if nonce is None:
        click.echo("whose answer it is was not looked at: give the nonce that you asked with")


@command.command("questions")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def questions_command(home: Path | None, as_json: bool) -> None:
    """List the questions that the home declares, and who may ask them for what.

    Example: gov attest questions
    """
    from governance.catalog.load import load_catalogue
    from governance.use.questions import read_questions

    settings = load_settings(home)
    questions = read_questions(settings, load_catalogue(settings)).questions
    if as_json:
        click.echo(json.dumps([question.model_dump(mode="json") for question in questions], ensure_ascii=False))
        return
    if not questions:
        raise GovernanceError("no question is declared", do="write catalog/attestations.yaml")
    for question in questions:
        may = ", ".join((*question.roles, *question.subjects))
        click.echo(f"{question.id} {'|'.join(question.claims)}: {question.table}, {may} for {question.purpose}")
        if question.description:
            click.echo(f"    {question.description}")
