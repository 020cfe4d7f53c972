"""`ledger`: appends a second with full durability, proof size, verify time at 10 million entries.

Appending: one row of data and one entry a transaction, by processes of their own, sequenced and signed meanwhile; every
commit on disk (PostgreSQL `fsync=on`, SQLite `synchronous=FULL`). The tree of 10 million entries is made of synthetic
leaf hashes in the ledger's own tiles; the walk over entries is measured over rows in SQLite (`walked`) and, an entry
costing the same whatever comes before it, given for 10 million by proportion. `_cpu_s` is what a busy machine does not
change.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert

from benchmarks.measure import BUILD
from governance.ledger.entry import append, canonical, leaf_hash
from governance.ledger.merkle import verify_inclusion
from governance.ledger.prove import prove
from governance.ledger.sequencer import sequence
from governance.ledger.signer import open_signer
from governance.ledger.tiles import Edge, Key, Tree
from governance.ledger.verify import Report, verify
from governance.state.database import Database
from governance.state.tables import ledger_entry
from tests.collect import postgres
from tests.ledger import writers
from tests.ledger.ledgers import ACTOR, AT

TREE, WALKED = 10_000_000, 1_000_000
WRITERS, ENTRIES = 8, 500


def measure() -> Iterator[dict[str, object]]:
    folder = BUILD / "bench" / "ledger"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield {**_appending(folder), **_tree(), **_walk(folder)}
    shutil.rmtree(folder, ignore_errors=True)


def _appending(folder: Path) -> dict[str, object]:
    line: dict[str, object] = {"writers": WRITERS}
    with postgres.server(durable=True) as server:
        line |= _writers("", server.render_as_string(hide_password=False), folder / "postgresql", WRITERS)
    for number in (1, WRITERS):
        line |= _writers(f"sqlite_{number}_", f"sqlite:///{folder / f'{number}.sqlite'}", folder / f"s{number}", number)
    return line


def _writers(prefix: str, url: str, keys: Path, number: int) -> dict[str, object]:
    database = Database(url)
    database.create()
    follower = writers.start("sequence", url, str(keys))
    seconds, slowest = writers.written(url, number, ENTRIES)
    writers.result(follower)
    sequence(database, open_signer(keys))
    with database.read() as connection:
        report = verify(connection)
    database.close()
    if not report.sound or report.sequenced != number * ENTRIES:
        raise AssertionError(report)
    print(f"  {prefix or 'postgresql '}{number} writers: {number * ENTRIES / seconds:.0f}/s", flush=True)
    return {f"{prefix}per_second": round(number * ENTRIES / seconds), f"{prefix}max_wait_s": round(slowest, 3)}


def _tree() -> dict[str, object]:
    """Time to build the tree of 10 million leaf hashes, size of a proof in it, time to verify that one."""
    stored: dict[Key, bytes] = {}
    edge, seconds, cpu = Edge(), 0.0, 0.0
    for start in range(0, TREE, 10_000):
        leaves = [hashlib.sha256(b"%d" % n).digest() for n in range(start, start + 10_000)]
        began, began_cpu = time.monotonic(), time.process_time()
        edge.extend(leaves)
        stored |= edge.changed()
        seconds += time.monotonic() - began
        cpu += time.process_time() - began_cpu
    tree, head = Tree(TREE, lambda level, number: stored[(level, number)]), edge.root()
    indexes = range(0, TREE, TREE // 1_000 + 7)
    began = time.monotonic()
    proofs = [tree.inclusion(index) for index in indexes]
    proved = time.monotonic()
    fine = all(
        verify_inclusion(tree.leaf(index), index, TREE, proof, head)
        for index, proof in zip(indexes, proofs, strict=True)
    )
    verified = time.monotonic()
    if not fine:
        raise AssertionError("a proof does not verify")
    print(f"  tree of {TREE:,}: {seconds:.1f} s", flush=True)
    return {
        "tree_entries": TREE,
        "tree_s": round(seconds, 1),
        "tree_cpu_s": round(cpu, 1),
        "proof_hashes": max(map(len, proofs)),
        "proof_bytes": max(map(len, proofs)) * 32,
        "prove_ms": round((proved - began) * 1000 / len(proofs), 2),
        "verify_proof_ms": round((verified - proved) * 1000 / len(proofs), 3),
    }


def _walk(folder: Path) -> dict[str, object]:
    """Time to sequence and to verify entries in SQLite; and of one append, one sequencing and one proof after them."""
    database, signer = Database(f"sqlite:///{folder / 'walk.sqlite'}"), open_signer(folder / "walk")
    database.create()
    for start in range(0, WALKED, 10_000):
        with database.unit_of_work() as tx:
            tx.execute(insert(ledger_entry), [_row(n) for n in range(start, start + 10_000)])
    began = time.monotonic()
    sequence(database, signer)
    sequenced, cpu = time.monotonic(), time.process_time()
    report = _report(database)
    verified, cpu = time.monotonic(), time.process_time() - cpu
    with database.unit_of_work() as tx:
        append(tx, "stored", {"n": WALKED}, actor=ACTOR, writer="w0", at=AT)
    appended = time.monotonic()
    sequence(database, signer)
    again = time.monotonic()
    with database.read() as connection:
        document = json.dumps(prove(connection, str(WALKED // 3)).document())
    database.close()
    if not report.sound or report.sequenced != WALKED:
        raise AssertionError(report)
    return {
        "walked": WALKED,
        "walked_s": round(verified - sequenced, 1),
        "verify_s": round((verified - sequenced) * TREE / WALKED, 1),
        "verify_cpu_s": round(cpu * TREE / WALKED, 1),
        "sequence_per_second": round(WALKED / (sequenced - began)),
        "append_after_ms": round((appended - verified) * 1000, 1),
        "sequence_after_ms": round((again - appended) * 1000, 1),
        "proof_document_bytes": len(document),
    }


def _report(database: Database) -> Report:
    with database.read() as connection:
        return verify(connection)


def _row(n: int) -> dict[str, object]:
    """The `n`-th entry as `append` writes it, of eight writers in turn."""
    writer, counter = f"w{n % 8}", n // 8 + 1
    actor = {"subject": ACTOR.subject, "purpose": ACTOR.purpose, "run": ACTOR.run}
    at = AT.isoformat(timespec="microseconds")
    place: dict[str, str | int] = {"writer": writer, "counter": counter}
    body = canonical({"v": 1, "kind": "stored", "at": at, **place, "actor": actor, "facts": {"n": n}})
    columns = {"kind": "stored", "body": body, "leaf_hash": leaf_hash(body), "recorded_at": AT}
    return {**place, **columns}
