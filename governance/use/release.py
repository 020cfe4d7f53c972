"""Releases: exact snapshots of curated tables under a reviewed policy, proposed, signed by a steward, published
together.

A release's id is the SHA-256 of its canonical document. It pins data and the `policy_set_hash` of what was reviewed;
it is never a decision: each access meets its policy with the current one. An approval is an Ed25519 signature over
the id's 64 hex digits (ASCII).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, insert, select, update

from governance.catalog.types import TOKEN_SUFFIX, Catalogue, Model
from governance.config import Settings
from governance.errors import Damaged, NotReady, Refused
from governance.lake.lake import Lake
from governance.ledger.entry import Json, append, canonical
from governance.lineage.record import record_run
from governance.policy.access import Access, Approver, parse_access, read_approvers
from governance.state import texts
from governance.state.database import Database
from governance.state.tables import approval, build, edge_set, release
from governance.state.values import BUILT, Actor, Published
from governance.use import signatures


def propose(
    catalogue: Catalogue, *, models: Sequence[str] | None = None, database: Database, lake: Lake, actor: Actor
) -> str:
    """The id of a proposed release of `models` (default: every curated table). Proposing the same state again gives
    the same id.

    Raises Refused naming every field without classification, every table whose latest build stopped, every incomplete
    lineage; NotReady for a table that was never built.
    """
    chosen = sorted(models if models is not None else catalogue.models)
    if unknown := [name for name in chosen if name not in catalogue.models]:
        raise Refused(f"no curated table {', '.join(unknown)}", allowed=", ".join(sorted(catalogue.models)))
    if not chosen:
        raise NotReady("the catalogue declares no curated table", do="add catalog/curated/<model>.sql and its contract")
    with database.read() as connection:
        tables = {name: _table(catalogue.models[name], connection, lake) for name in chosen}
    document = {"v": 1, "tables": tables, **_policy(catalogue, chosen)}
    body = canonical(document)
    release_id = hashlib.sha256(body).hexdigest()
    at = database.clock()
    with database.unit_of_work() as tx:
        status = tx.execute(select(release.c.status).where(release.c.id == release_id)).scalar_one_or_none()
        if status in ("proposed", "live"):
            return release_id
        _keep_texts(tx, catalogue, chosen, at)
        if status is None:
            values = {"id": release_id, "document": body.decode("utf-8"), "status": "proposed"}
            tx.execute(insert(release).values(**values, recorded_at=at, updated_at=at))
        else:
            _set_status(tx, release_id, "proposed", at)
        facts: dict[str, Json] = {
            "release": release_id,
            "tables": {name: str(table["snapshot"]) for name, table in tables.items()},
        }
        append(tx, "release_proposed", facts, actor=actor, writer=database.writer, at=at)
    return release_id


def sign(release_id: str, key: Ed25519PrivateKey) -> str:
    """A steward's signature over a release, as hex."""
    return key.sign(release_id.encode("ascii")).hex()


def approve(
    release_id: str, *, subject: str, signature: str, catalogue: Catalogue, database: Database, actor: Actor
) -> None:
    """Record the approval of `subject`. Raises Refused unless access.yaml names them an approver and their key signed this
    release: the key that access.yaml has, or that the live release's has.
    """
    access = _access(catalogue)
    at = database.clock()
    with database.unit_of_work() as tx:
        _document(tx, release_id)
        keys = (*access.approvers, *(_of_the_live(tx, access, release_id) or ()))
        public_key = _verified(keys, subject, release_id, signature)
        known = select(approval.c.id).where(approval.c.release == release_id, approval.c.signature == signature)
        if tx.execute(known).first() is not None:
            return
        values = {"release": release_id, "subject": subject, "decision": "approved", "signature": signature}
        tx.execute(insert(approval).values(**values, public_key=public_key, recorded_at=at))
        facts = {"release": release_id, "approver": subject, "public_key": public_key, "signature": signature}
        append(tx, "release_approved", facts, actor=actor, writer=database.writer, at=at)


def publish(
    release_id: str, *, catalogue: Catalogue, settings: Settings, database: Database, lake: Lake, actor: Actor
) -> Published:
    """Make an approved release the live one, in one unit of work with its ledger entry and lineage; the former is
    superseded.

    Raises Refused without a valid approval of somebody who is an approver now and, where a release is live, was one in it, under the
    key that it has of them: nobody vouches for themselves. Publishing the live release again changes nothing.
    """
    access = _access(catalogue)
    at = database.clock()
    with database.unit_of_work() as tx:
        status, document = _document(tx, release_id)
        snapshots = {name: int(table["snapshot"]) for name, table in document["tables"].items()}
        published = Published(release_id, snapshots, document["policy_set_hash"])
        before = _of_the_live(tx, access, release_id)
        approvers = approvers_now(tx, access, release_id) if before is None else _signers(tx, before, release_id)
        if not approvers:
            found, do = "the release has no valid approval", "a steward signs it: gov release approve"
            if approvers_now(tx, access, release_id):
                found = "the release is approved only under keys that the live release has not"
                do = "an approver of the live release signs it, with the key it has"
            raise Refused(found, where=release_id, do=do)
        if status == "live":
            return published
        former = tx.execute(select(release.c.id).where(release.c.status == "live")).scalars().all()
        for former_id in former:
            _set_status(tx, former_id, "superseded", at)
        _set_status(tx, release_id, "live", at)
        facts = {
            "release": release_id,
            "supersedes": sorted(former),
            "approvers": approvers,
            "policy_set_hash": document["policy_set_hash"],
            "tables": {name: str(snapshot) for name, snapshot in snapshots.items()},
        }
        facts["versions"] = record_run(
            tx,
            actor=actor,
            stage="use",
            batch=None,
            output="release",
            output_snapshot=None,
            outcome="live",
            counts={"tables": len(snapshots)},
            versions={"release": release_id, "policy_set": document["policy_set_hash"]},
            inputs=dict(snapshots),
            edges=None,
            at=at,
            namespace=settings.lineage_namespace,
        )
        append(tx, "release_published", facts, actor=actor, writer=database.writer, at=at)
    return published


def live(connection: Connection) -> tuple[str, dict[str, Any]] | None:
    """Id and document of the live release; None when nothing is published. Raises Damaged when the document is not
    what was approved.
    """
    found = connection.execute(select(release.c.id).where(release.c.status == "live")).scalar_one_or_none()
    return None if found is None else (found, _document(connection, found)[1])


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All releases, newest first: id, status, instants, tables with snapshots, approvers."""
    rows = connection.execute(select(release).order_by(release.c.recorded_at.desc())).all()
    signed = connection.execute(select(approval.c.release, approval.c.subject)).all()
    return [
        {
            "release": row.id,
            "status": row.status,
            "proposed_at": row.recorded_at.isoformat(),
            "updated_at": row.updated_at.isoformat(),
            "tables": {name: table["snapshot"] for name, table in json.loads(row.document)["tables"].items()},
            "approvers": sorted({subject for release_id, subject in signed if release_id == row.id}),
        }
        for row in rows
    ]


def _table(model: Model, connection: Connection, lake: Lake) -> dict[str, Any]:
    """What the release says of one table, or the reason why it may not be published."""
    contract = model.contract
    unclassified = [f.name for f in contract.fields if f.classification is None and not f.name.endswith(TOKEN_SUFFIX)]
    if unclassified:
        raise Refused(
            f"fields without classification: {', '.join(unclassified)}",
            where=model.name,
            allowed="L1, L2, L3, L4",
            do=f"classify them in {contract.file}",
        )
    latest = connection.execute(
        select(build.c.outcome, build.c.built)
        .where(build.c.model == model.name)
        .order_by(build.c.recorded_at.desc(), build.c.id.desc())
    ).first()
    snapshot = lake.snapshot(model.name, connection)
    if latest is None or snapshot is None:
        raise NotReady("the table was never built", where=model.name, do="gov run")
    if latest.outcome == "stop":
        raise Refused(
            "the latest build was stopped by its checks", where=model.name, do="repair what stopped it and build again"
        )
    built = BUILT.validate_json(latest.built)
    complete = connection.execute(
        select(edge_set.c.complete).where(edge_set.c.id == built.edge_set)
    ).scalar_one_or_none()
    if not complete:
        raise Refused("its column lineage is not complete", where=model.name, do="declare it: gov.lineage lines")
    if built.snapshot != snapshot:
        raise NotReady("the table is not at its latest build", where=model.name, do="propose again after the build")
    return {
        "snapshot": str(snapshot),
        "contract": contract.text_hash,
        "model": model.text_hash,
        "pin": built.pin.id,
        "edge_set": built.edge_set,
        "tolerance": model.tolerance,
        **({"lineage": {c: [list(s), why] for c, (s, why) in model.lineage.items()}} if model.lineage else {}),
        "fields": {
            f.name: {"level": f.classification.value if f.classification else None, "tags": sorted(f.tags)}
            for f in contract.fields
        },
    }


def _policy(catalogue: Catalogue, models: Iterable[str]) -> dict[str, Any]:
    """Hash of the access rules' text, and of them with all declassifications and contracts: what a steward reviews."""
    access_hash = hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest()
    lowered = {
        name: {column: [level.value, why] for column, (level, why) in catalogue.models[name].declassify.items()}
        for name in models
    }
    contracts = {name: catalogue.models[name].contract.text_hash for name in models}
    whole = canonical({"access": access_hash, "declassifications": lowered, "contracts": contracts})
    return {
        "access": access_hash,
        "declassifications": lowered,
        "policy_set_hash": hashlib.sha256(whole).hexdigest(),
    }


def _keep_texts(tx: Connection, catalogue: Catalogue, models: Iterable[str], at: Any) -> None:
    """The texts that the release names by hash."""
    kept = {hashlib.sha256(catalogue.access_text.encode("utf-8")).hexdigest(): ("access", catalogue.access_text)}
    for name in models:
        model = catalogue.models[name]
        for kind, text_hash in (("model", model.text_hash), ("contract", model.contract.text_hash)):
            if text_hash in catalogue.texts:
                kept[text_hash] = (kind, catalogue.texts[text_hash])
    for sha256, (kind, body) in kept.items():
        texts.keep(tx, sha256, kind, body, at=at)


def _document(connection: Connection, release_id: str) -> tuple[str, dict[str, Any]]:
    row = connection.execute(select(release).where(release.c.id == release_id)).first()
    if row is None:
        raise Refused("no such release", where=release_id[:64], do="gov release list")
    if hashlib.sha256(row.document.encode("utf-8")).hexdigest() != release_id:
        raise Damaged("the release document is not what its id says", where=release_id)
    return row.status, json.loads(row.document)


def approvers_now(tx: Connection, access: Access, release_id: str) -> list[str]:
    """Those whose recorded signature is valid under the key that access.yaml has for them now."""
    return _signers(tx, access.approvers, release_id)


def _of_the_live(tx: Connection, access: Access, release_id: str) -> tuple[Approver, ...] | None:
    """Approvers of the live release who are approvers now; None without one, or when it is this release."""
    found = live(tx)
    if found is None or found[0] == release_id:
        return None
    body = texts.kept(tx, found[1]["access"])
    if body is None:
        raise Damaged("the access rules of the live release are not kept as they were", where=found[0])
    now = {approver.subject for approver in access.approvers}
    return tuple(approver for approver in read_approvers(body, "access rules") if approver.subject in now)


def _signers(tx: Connection, keys: Sequence[Approver], release_id: str) -> list[str]:
    valid = set()
    for row in tx.execute(select(approval).where(approval.c.release == release_id, approval.c.decision == "approved")):
        try:
            _verified(keys, row.subject, release_id, row.signature)
        except Refused:
            continue
        valid.add(row.subject)
    return sorted(valid)


def _verified(keys: Sequence[Approver], subject: str, release_id: str, signature: str) -> str:
    """The public key (hex) under which the signature is valid; Refused when there is none."""
    for approver in keys:
        if approver.subject == subject and signatures.made_by(approver.public_key, release_id, signature):
            return approver.public_key
    raise Refused(
        "the signature is not that of an approver over this release",
        where=release_id,
        allowed="an Ed25519 signature (hex) by an approver of access.yaml",
    )


def _access(catalogue: Catalogue) -> Access:
    return parse_access(catalogue.access_text, catalogue.access_file, catalogue)


def _set_status(tx: Connection, release_id: str, status: str, at: Any) -> None:
    tx.execute(update(release).where(release.c.id == release_id).values(status=status, updated_at=at))


def snapshots_of(document: Mapping[str, Any]) -> dict[str, int]:
    """Table -> snapshot of a release document."""
    return {name: int(table["snapshot"]) for name, table in document["tables"].items()}
