"""`sequence`: gives entries their positions in the Merkle log and signs a checkpoint of what the log then is.

One sequencer at a time: whoever holds the lease. A sequencer that died is replaced when its lease has run out; one that
was only slow finds at its commit that the lease is another's, and nothing of it becomes visible. Positions, tiles and
checkpoint of up to 10,000 entries are one unit of work, so the newest checkpoint always speaks of exactly the entries
that have a position.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import timedelta

from sqlalchemy import Connection, bindparam, select, update

from governance.errors import Conflict, Damaged
from governance.ledger.checkpoints import Checkpoint, edge_tiles, insert_checkpoint, latest, write_tiles
from governance.ledger.note import Note, log_signature
from governance.ledger.signer import Signer
from governance.ledger.tiles import Edge
from governance.state.batches import acquire_lease, release_lease
from governance.state.crash import crash_point
from governance.state.database import Database
from governance.state.tables import lease, ledger_entry

LEASE = "ledger.sequencer"
LEASE_SECONDS = 3.0
ROWS = 10_000
_RETRY_SECONDS = 0.05


def sequence(database: Database, signer: Signer, *, wait_seconds: float = 2 * LEASE_SECONDS) -> Checkpoint | None:
    """The newest checkpoint after giving every entry that was committed before the call its position; None when it had
    nothing to do. What comes meanwhile may wait for the next call: where entries never end, this does.

    While another process holds the lease it waits for that one to be done with the entries, or to be found dead, up to
    `wait_seconds`. Costs what is new, not what is there: one query when nothing waits. Call it outside any unit of
    work.
    """
    holder, made = uuid.uuid4().hex, None
    give_up = time.monotonic() + wait_seconds
    while anything_waits(database):
        try:
            acquire_lease(database, LEASE, holder, LEASE_SECONDS)
            try:
                while (more := _batch(database, signer, holder)) is not None:
                    made, all_of_them = more
                    if all_of_them:
                        return made
            finally:
                release_lease(database, LEASE, holder)
        except Conflict:
            if time.monotonic() >= give_up:
                break
            time.sleep(_RETRY_SECONDS)
    return made


def follow(database: Database, signer: Signer, stop: threading.Event, *, seconds: float = 0.5) -> int:
    """Sequence until `stop` is set, looking every `seconds`; the number of checkpoints signed. Any number of
    followers may run: one works, the others are ready."""
    signed = 0
    while not stop.is_set():
        signed += sequence(database, signer, wait_seconds=0) is not None
        stop.wait(seconds)
    return signed


def _batch(database: Database, signer: Signer, holder: str) -> tuple[Checkpoint, bool] | None:
    """Sequence the next entries and sign, and whether that was all that waited; None when none did. Raises Conflict when the
    lease has been lost.
    """
    with database.read() as connection:
        rows = _waiting(connection, ROWS)
        if not rows:
            return None
        last = latest(connection)
        size = last.size if last else 0
        tiles = edge_tiles(connection, size)
    try:
        edge = Edge(size, tiles)
    except ValueError as error:
        raise Damaged(f"the ledger's tree: {error}", do="gov ledger verify; restore a backup") from None
    if last is not None and edge.root() != last.root:
        raise Damaged("the ledger's tiles do not give its last checkpoint", do="gov ledger verify; restore a backup")
    edge.extend([leaf for _, leaf in rows])
    made = _signed(edge, signer, last, database)
    crash_point("ledger.signed")
    with database.unit_of_work() as tx:
        _still_ours(tx, holder, database)
        place = update(ledger_entry).where(ledger_entry.c.id == bindparam("entry"), ledger_entry.c.position.is_(None))
        places = [{"entry": entry, "place": size + n} for n, (entry, _) in enumerate(rows)]
        tx.execute(place.values(position=bindparam("place")), places)
        write_tiles(tx, edge.changed(), tiles)
        insert_checkpoint(tx, made)
        crash_point("ledger.written")
    return made, len(rows) < ROWS


def anything_waits(database: Database) -> bool:
    """Whether entries were committed that have no position yet."""
    with database.read() as connection:
        return bool(_waiting(connection, 1))


def _waiting(connection: Connection, rows: int) -> list[tuple[int, bytes]]:
    """Id and leaf hash of the first entries without position, in order of id: the entries of one writer in the order of
    its counter."""
    query = select(ledger_entry.c.id, ledger_entry.c.leaf_hash).where(ledger_entry.c.position.is_(None))
    found = connection.execute(query.order_by(ledger_entry.c.id).limit(rows))
    return [(row.id, row.leaf_hash) for row in found]


def _signed(edge: Edge, signer: Signer, last: Checkpoint | None, database: Database) -> Checkpoint:
    """The log keeps the name that its first signer gave it, whoever signs later."""
    origin = last.note.origin if last else f"gov-ledger-{signer.public_key.hex()[:16]}"
    note = Note(origin, edge.size, edge.root(), database.clock())
    signature = signer.sign(note.body.encode("utf-8"))
    note = note.with_signature(log_signature(note, signer.public_key, signature))
    return Checkpoint(note.size, note.root, signer.public_key, note.at, note)


def _still_ours(tx: Connection, holder: str, database: Database) -> None:
    """Renew the lease in the same transaction; its row stays locked to the end, so nobody takes it over meanwhile."""
    until = database.clock() + timedelta(seconds=LEASE_SECONDS)
    ours = update(lease).where(lease.c.name == LEASE, lease.c.holder == holder).values(expires_at=until)
    if tx.execute(ours).rowcount != 1:
        raise Conflict("another sequencer has taken over", where=LEASE)
