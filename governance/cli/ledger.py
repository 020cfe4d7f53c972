"""`gov ledger`: sequence, verify, prove and export the record of what was done; checkpoints and their witnesses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from governance.config import load_settings
from governance.errors import Damaged

if TYPE_CHECKING:
    from governance.ledger.note import Note
    from governance.ledger.verify import Report
    from governance.state.database import Database

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group("ledger")
def command() -> None:
    """The append-only record of runs, verdicts, approvals, grants and accesses.

    Example: gov ledger sequence; gov ledger verify; gov ledger prove 7 > proof.json
    """


@command.command("sequence")
@click.option("--follow", is_flag=True, help="Go on until stopped, looking twice a second.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def sequence_command(home: Path | None, follow: bool, as_json: bool) -> None:
    """Give waiting entries their positions and sign a checkpoint. Any number of followers may run: one works.

    Example: gov ledger sequence --follow
    """
    import signal
    import threading

    from governance.ledger import sequencer
    from governance.ledger.signer import open_signer

    settings = load_settings(home)
    with _database(home) as database:
        signer = open_signer(settings.keyring)
        if not follow:
            made = sequencer.sequence(database, signer)
            waits = sequencer.anything_waits(database)
            done = [f"checkpoint of {made.size:,} entries"] if made else []
            done += ["entries wait: another process gives them their positions"] if waits else []
            told = json.dumps({"size": made.size if made else None, "waits": waits})
            click.echo(told if as_json else "; ".join(done) or "nothing waits")
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        click.echo("sequencing")
        click.echo(f"{sequencer.follow(database, signer, stop):,} checkpoints signed")


@command.command("verify")
@click.option("--export", "folder", type=_FOLDER, help="Verify an export; needs no home.")
@click.option("--kept", type=_FILE, multiple=True, help="A checkpoint that was kept elsewhere (repeatable).")
@click.option("--key", "keys", multiple=True, help="Verifier key that must have signed the checkpoints (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def verify_command(
    home: Path | None, folder: Path | None, kept: tuple[Path, ...], keys: tuple[str, ...], as_json: bool
) -> None:
    """Check every entry, position, counter and checkpoint; exit code 1 when something does not fit.

    Example: gov ledger verify --kept checkpoint.note --json
    """
    from governance.ledger.export import verify_export
    from governance.ledger.note import parse_verifier_key
    from governance.ledger.verify import verify

    notes = [_note(path) for path in kept]
    public_keys = [parse_verifier_key(key)[1] for key in keys]
    if folder is not None:
        report = verify_export(folder, kept=notes, keys=public_keys)
    else:
        with _database(home) as database, database.read() as connection:
            report = verify(connection, kept=notes, keys=public_keys)
    if as_json:
        click.echo(json.dumps({**asdict(report), "sound": report.sound}, ensure_ascii=False))
    else:
        _show(report)
    if not report.sound:
        raise Damaged(
            f"{report.broken:,} problems in the ledger", do="compare it with a checkpoint that was kept elsewhere"
        )


@command.command("prove")
@click.argument("entry")
@click.option("--kept", type=_FILE, help="A checkpoint that was kept: prove as well that the log only added to it.")
@click.option("--json", is_flag=True, expose_value=False, help="Answer as JSON, which it always does.")
@click.pass_obj
def prove_command(home: Path | None, entry: str, kept: Path | None) -> None:
    """Prove that ENTRY (position, leaf hash or writer:counter) is in the log; docs/verify_proof.py checks the answer.

    Example: gov ledger prove 7 > proof.json
    """
    from governance.ledger.prove import prove

    with _database(home) as database, database.read() as connection:
        proof = prove(connection, entry, kept=_note(kept) if kept else None)
    click.echo(json.dumps(proof.document(), ensure_ascii=False))


@command.command("export")
@click.argument("folder", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def export_command(home: Path | None, folder: Path, as_json: bool) -> None:
    """Write all entries and checkpoints to FOLDER, where `gov ledger verify --export` checks them without a home.

    Example: gov ledger export /mnt/audit/2026
    """
    from governance.ledger.export import export

    with _database(home) as database, database.read() as connection:
        entries, checkpoints = export(connection, folder)
    told = json.dumps({"entries": entries, "checkpoints": checkpoints, "folder": str(folder)})
    click.echo(told if as_json else f"{entries:,} entries, {checkpoints:,} checkpoints")


@command.command("checkpoint")
@click.option("--to", "target", help="Folder, http(s) address or mailto:ADDRESS?server=HOST:PORT to send it to.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_obj
def checkpoint_command(home: Path | None, target: str | None, as_json: bool) -> None:
    """Print the newest checkpoint, or send it where the operator cannot change it and bring home countersignatures.

    Example: gov ledger checkpoint --to /mnt/audit
    """
    from governance.ledger.checkpoints import latest
    from governance.ledger.publish import publish

    with _database(home) as database:
        if target is not None:
            done = publish(database, target)
            if as_json:
                told = {"size": done.checkpoint.size, "sent": done.sent, "countersigned": done.countersignatures}
                click.echo(json.dumps(told))
                return
            sent = "sent" if done.sent else "is there already"
            click.echo(f"checkpoint of {done.checkpoint.size:,} entries {sent}; {done.countersignatures} countersigned")
            return
        with database.read() as connection:
            newest = latest(connection)
    if as_json:
        told_note = {"size": newest.size, "note": str(newest.note)} if newest else {"size": None, "note": None}
        click.echo(json.dumps(told_note, ensure_ascii=False))
        return
    click.echo(str(newest.note) if newest else "nothing sequenced yet", nl=newest is None)


@command.command("witness")
@click.argument("folder", type=_FOLDER)
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The witness's key file; made when new.")
@click.option("--name", default="witness", show_default=True, help="What the witness is called.")
@click.option("--log", help="The log's verifier key; else the one seen before, else the folder's.")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def witness_command(folder: Path, key: Path, name: str, log: str | None, as_json: bool) -> None:
    """Countersign the checkpoints in FOLDER that continue what this witness has seen; needs no home.

    Example: gov ledger witness /mnt/audit --key /root/witness.pem --name court
    """
    from governance.ledger.witness import witness
    from governance.state.database import utc_now

    signed = witness(folder, key, name=name, at=utc_now(), log=log)
    if as_json:
        click.echo(json.dumps({"countersigned": list(signed)}))
        return
    click.echo(f"{len(signed)} checkpoints countersigned" + (f", the largest of {signed[-1]:,}" if signed else ""))


@contextmanager
def _database(home: Path | None) -> Iterator[Database]:
    from governance.state.database import Database

    database = Database(load_settings(home).database_url)
    database.create()
    try:
        yield database
    finally:
        database.close()


def _note(path: Path) -> Note:
    from governance.ledger.note import parse

    return parse(path.read_bytes().decode("utf-8", "replace"), path.name)


def _show(report: Report) -> None:
    click.echo(f"{report.entries:,} entries of {report.writers:,} writers, {report.sequenced:,} sequenced")
    if report.unsequenced:
        click.echo(f"{report.unsequenced:,} not yet sequenced, the oldest since {report.oldest_unsequenced}")
    click.echo(f"{report.checkpoints:,} checkpoints, {report.kept:,} kept ones compared; root {report.root}")
    for problem in report.problems:
        click.echo(problem)
