"""A ledger in a temporary home, with a few entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from governance.ledger.checkpoints import Checkpoint
from governance.ledger.entry import append
from governance.ledger.note import LOG, Note, verifier_key
from governance.ledger.sequencer import sequence
from governance.ledger.signer import KeySigner, open_signer
from governance.ledger.verify import verify
from governance.state.database import Database
from governance.state.values import Actor

AT = datetime(2026, 1, 2, tzinfo=UTC)
ACTOR = Actor("service:store@tax", "pipeline.store", "run")


@dataclass(frozen=True)
class Ledger:
    home: Path
    database: Database
    signer: KeySigner

    def append(self, entries: int, writer: str = "writer") -> None:
        with self.database.unit_of_work() as tx:
            for n in range(entries):
                append(tx, "stored", {"n": n}, actor=ACTOR, writer=writer, at=AT)

    def sequence(self) -> Checkpoint:
        made = sequence(self.database, self.signer)
        assert made is not None
        return made

    def problems(self, *kept: Note) -> tuple[str, ...]:
        with self.database.read() as connection:
            return verify(connection, kept=kept).problems

    @property
    def key(self) -> str:
        """The log's verifier key."""
        public = self.signer.public_key
        return verifier_key(f"gov-ledger-{public.hex()[:16]}", LOG, public)


def open_ledger(home: Path, url: str | None = None) -> Ledger:
    home.mkdir(parents=True, exist_ok=True)
    (home / "gov.toml").write_text(f'[database]\nurl = "{url}"\n' if url else "", encoding="utf-8")
    database = Database(url or f"sqlite:///{home / 'var' / 'state.sqlite'}")
    database.create()
    return Ledger(home, database, open_signer(home / "var" / "keys"))
