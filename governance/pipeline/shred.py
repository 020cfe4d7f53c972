"""`shred`: destroy the keys of a department, tag or dataset together with every other key under which copies lie, or
say what stays readable. Backups of the lake are closed with it, whatever snapshot they hold.

    plan -> keep (its hash) -> sign, by two people -> destroy

A plan names what is destroyed, why, what goes with it, and what stays readable. Its hash is what two different
approvers of `access.yaml` sign. Destroying is safe to repeat: a run that was killed is finished by the same call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, select

from governance.errors import Conflict, Damaged, Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyName
from governance.ledger.entry import append, canonical
from governance.pipeline.context import Context
from governance.pipeline.shred_plan import Plan, Selection, keyring_of, plan
from governance.policy.access import Access, parse_access
from governance.state import texts
from governance.state.tables import grant as grant_table
from governance.state.tables import text
from governance.state.values import Actor
from governance.use.signatures import made_by

APPROVERS = 2
_MESSAGE = "gov keys shred "


def keep(context: Context, made: Plan) -> str:
    """Keep the plan under its hash, for approvers to sign and `destroy` to find."""
    with context.database.unit_of_work() as tx:
        texts.keep(tx, made.hash, "shred", canonical(made.document).decode("utf-8"), at=context.database.clock())
    return made.hash


def sign(plan_hash: str, key: Ed25519PrivateKey) -> str:
    """An approver's signature over a plan, as hex. It is none over a release of the same digits."""
    return key.sign(f"{_MESSAGE}{plan_hash}".encode("ascii")).hex()


def destroy(context: Context, plan_hash: str, approvals: Mapping[str, str], *, actor: Actor) -> tuple[str, ...]:
    """Destroy the keys of a kept plan; returns their names. `approvals` are signatures by subject.

    Raises Refused without two different approvers and keys, Conflict when copies have come since the plan was made.
    The ledger has an entry before the first key goes and one after the last; grants that name a key end with the first.
    """
    keyring = keyring_of(context)
    document = kept(context, plan_hash, "shred")
    keys = tuple(document["destroys"])
    access = parse_access(context.catalogue.access_text, context.catalogue.access_file, context.catalogue)
    signed = verified(access, plan_hash, approvals)
    _require_fresh(context, document)
    facts = {"plan": plan_hash, "keys": list(keys), "approvals": signed}
    database = context.database
    with database.unit_of_work() as tx:
        append(tx, "keys_shred", facts, actor=actor, writer=database.writer, at=database.clock())
        for grant_id in _grants_of(tx, frozenset(keys), at=database.clock()):
            grants.revoke(tx, grant_id, actor=actor, database=database)
    for key in keys:
        keyring.destroy(DigestKeyName.parse(key) if key.startswith("digest:") else KeyName.parse(key))
    left = sorted(set(keys) & set(keyring.names()))
    if left:
        raise Damaged("keys are there after they were destroyed", where=", ".join(left))
    with database.unit_of_work() as tx:
        append(
            tx,
            "keys_shredded",
            {"plan": plan_hash, "keys": len(keys)},
            actor=actor,
            writer=database.writer,
            at=database.clock(),
        )
    return keys


def _require_fresh(context: Context, document: Mapping[str, Any]) -> None:
    """Conflict when the selection means more keys now than what was signed; fewer are there after a run was killed."""
    given = document["selection"]
    departments, tags, datasets = (tuple(given[name]) for name in ("departments", "tags", "datasets"))
    try:
        now = plan(context, Selection(departments, tags, datasets, given["epoch"], given["only"])).destroys
    except Refused:
        return
    more = sorted(set(now) - set(document["destroys"]))
    if more:
        raise Conflict(f"since it was made copies came under {', '.join(more)}", do="plan and sign it again")


def verified(access: Access, plan_hash: str, approvals: Mapping[str, str]) -> list[dict[str, str]]:
    """Who signed, under which key. Refused unless two different subjects did with two different keys."""
    found = {}
    for subject, signature in approvals.items():
        for approver in access.approvers:
            if approver.subject == subject and made_by(approver.public_key, f"{_MESSAGE}{plan_hash}", signature):
                found[approver.public_key] = {
                    "subject": subject,
                    "public_key": approver.public_key,
                    "signature": signature,
                }
    if len(found) < APPROVERS or len({a["subject"] for a in found.values()}) < APPROVERS:
        raise Refused(
            f"{len(found)} valid signature{'' if len(found) == 1 else 's'} over this plan",
            where=plan_hash,
            allowed=f"{APPROVERS} different approvers of access.yaml, each with a key of their own",
            do="gov keys sign PLAN --key KEY",
        )
    return sorted(found.values(), key=lambda approval: approval["subject"])


def kept(context: Context, plan_hash: str, kind: str) -> Mapping[str, Any]:
    """The document of a kept plan of this kind. Refused when there is none, Damaged when it is not what its hash says."""
    with context.database.read() as connection:
        query = select(text.c.text).where(text.c.sha256 == plan_hash, text.c.kind == kind)
        body = connection.execute(query).scalar_one_or_none()
    if body is None:
        raise Refused("no such plan", where=plan_hash[:64], do=f"gov keys {kind} --dataset NAME makes one")
    if hashlib.sha256(body.encode("utf-8")).hexdigest() != plan_hash:
        raise Damaged("the plan is not what its hash says", where=plan_hash)
    document: Mapping[str, Any] = json.loads(body)
    return document


def _grants_of(connection: Connection, keys: frozenset[str], *, at: datetime) -> list[str]:
    """Grants that hold at `at` and name one of `keys`."""
    held = select(grant_table.c.id, grant_table.c["keys"]).where(
        grant_table.c.revoked_at.is_(None), grant_table.c.expires_at > at
    )
    return sorted(
        grant_id for grant_id, keys_text in connection.execute(held) if keys.intersection(json.loads(keys_text))
    )
