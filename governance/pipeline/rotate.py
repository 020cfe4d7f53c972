"""`rotate`: a new epoch of master keys, signed by two people. No data is rewritten: files name the whole key that they
are under, so what is there stays readable under its epoch, and what is written from then on is under the new one.

    plan -> keep (its hash) -> sign, by two people -> rotate -> rewrap (landed originals, when asked)

The data key of a landed original is in its manifest, so it can be wrapped anew. Those of Parquet files lie in their
footers, which no one can change without writing the file again: the old epoch has to live as long as such a file is
wanted, and `gov keys shred --epoch` ends both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, select, update

from governance.catalog.types import Dataset
from governance.errors import Conflict, Refused
from governance.keys import grants
from governance.keys.epochs import base_name, current_key, open_epochs
from governance.keys.names import KeyName
from governance.ledger.entry import Json, append, canonical
from governance.pipeline.context import Context
from governance.pipeline.shred import kept, verified
from governance.policy.access import parse_access
from governance.state import texts
from governance.state.crash import crash_point
from governance.state.tables import batch, key_epoch
from governance.state.tables_lake import lake_file
from governance.state.values import LANDED, Actor, Landed, LandedFile
from governance.store.landed import LANDED_GROUP, key_of

KIND = "rotate"
_DIGESTS = frozenset({"domain", "purpose", "rowdigest"})


@dataclass(frozen=True, slots=True)
class Rotation:
    """What gets a new epoch: keys of these departments or tables that files are under; `groups` empty: all groups."""

    departments: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RotationPlan:
    """The keys that new files will be under, whole names."""

    rotation: Rotation
    opens: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        return {"v": 1, "kind": KIND, "rotation": asdict(self.rotation), "opens": list(self.opens)}

    @property
    def hash(self) -> str:
        return hashlib.sha256(canonical(self.document)).hexdigest()


def plan_rotation(context: Context, rotation: Rotation) -> RotationPlan:
    """What `rotation` means now. Refused when no file is under a key that it selects, and for digest keys: tokens and row
    digests of two epochs are different values, and they are in every table, in consents and in what consumers hold.
    """
    named = sorted(n for n in (*rotation.groups, *rotation.datasets) if n in _DIGESTS or n.startswith("digest:"))
    if named:
        raise Refused(
            "digest keys are not rotated: tokens of two epochs do not join, and every row would look changed",
            where=", ".join(named),
            allowed="keys that files are under",
            do="docs/CUSTODY.md says what to do when one is feared lost",
        )
    with context.database.read() as connection:
        used = _used(connection, context.catalogue.datasets)
        chosen = {replace(key, epoch=1) for key in used if _is_selected(rotation, key)}
        present = sorted(current_key(connection, key) for key in chosen)
    if not present:
        raise Refused(
            "no file is under a key that is selected",
            allowed=", ".join(sorted({base_name(key) for key in used})) or "nothing was written yet",
            do="gov keys list",
        )
    return RotationPlan(rotation, tuple(str(replace(key, epoch=key.epoch + 1)) for key in present))


def keep_rotation(context: Context, made: RotationPlan) -> str:
    """Keep the plan under its hash, for approvers to sign and `rotate` to find."""
    with context.database.unit_of_work() as tx:
        texts.keep(tx, made.hash, KIND, canonical(made.document).decode("utf-8"), at=context.database.clock())
    return made.hash


def rotate(context: Context, plan_hash: str, approvals: Mapping[str, str], *, actor: Actor) -> tuple[str, ...]:
    """Open the epochs of a kept plan, in one unit of work with its ledger entry; returns their names.

    Raises Refused without two different approvers and keys, Conflict when another epoch came since the plan was made.
    Calling it again changes nothing.
    """
    document = kept(context, plan_hash, KIND)
    opens = tuple(document["opens"])
    access = parse_access(context.catalogue.access_text, context.catalogue.access_file, context.catalogue)
    signed = verified(access, plan_hash, approvals)
    database = context.database
    with database.unit_of_work() as tx:
        done = tx.execute(select(key_epoch.c.name).where(key_epoch.c.plan == plan_hash).limit(1)).first()
        if done is not None:
            return opens
        at = database.clock()
        open_epochs(tx, map(KeyName.parse, opens), plan=plan_hash, at=at)
        facts = {"plan": plan_hash, "keys": list(opens), "approvals": signed}
        append(tx, "keys_rotated", facts, actor=actor, writer=database.writer, at=at)
        crash_point("keys.in_rotate")
    return opens


def rewrap(context: Context, datasets: Iterable[str], *, actor: Actor) -> dict[str, int]:
    """Wrap the data keys of these datasets' landed originals under the newest epoch; files rewrapped by batch.

    A batch is one unit of work with its ledger entry; a run that was killed is finished by the same call. What was
    wrapped before opens a copy of the former manifest for as long as the old epoch lives.
    """
    made = {}
    for name in sorted(set(datasets)):
        dataset = context.catalogue.datasets.get(name)
        if dataset is None:
            raise Refused(f"no dataset {name}", allowed=", ".join(sorted(context.catalogue.datasets)))
        with context.database.read() as connection:
            newest = current_key(connection, KeyName(dataset.department, name, LANDED_GROUP))
            query = select(batch.c.id, batch.c.landed).where(batch.c.dataset == name, batch.c.landed.is_not(None))
            rows = connection.execute(query.order_by(batch.c.id)).all()
        for row in rows:
            files = _rewrapped(context, dataset, row.landed, newest, actor)
            if files:
                made[str(row.id)] = files
    return made


def _used(connection: Connection, datasets: Mapping[str, Dataset]) -> frozenset[KeyName]:
    """Every key that a file of any snapshot, or a landed original, is under."""
    found: set[str] = set()
    for encrypted in connection.execute(select(lake_file.c.encrypted).distinct()).scalars():
        found.update(json.loads(encrypted).values())
    keys = {KeyName.parse(name) for name in found}
    for name, text in connection.execute(select(batch.c.dataset, batch.c.landed).where(batch.c.landed.is_not(None))):
        if name in datasets:
            keys |= {key_of(file, datasets[name]) for file in LANDED.validate_json(text).files}
    return frozenset(keys)


def _is_selected(rotation: Rotation, key: KeyName) -> bool:
    table = key.table.removesuffix(".quarantine")
    meant = key.owner in rotation.departments or table in rotation.datasets
    return meant and (not rotation.groups or key.group in rotation.groups)


def _rewrapped(context: Context, dataset: Dataset, text: str, newest: KeyName, actor: Actor) -> int:
    landed = LANDED.validate_json(text)
    old = tuple(file for file in landed.files if key_of(file, dataset) != newest)
    if not old:
        return 0
    database = context.database
    service = Actor(f"service:store@{dataset.department}", actor.purpose, actor.run)
    with database.unit_of_work() as tx:
        keys = {key_of(file, dataset) for file in old}
        grant = grants.issue(tx, actor=service, keys=sorted(keys), database=database)
    try:
        made = {file.path: file for file in _wrapped_anew(context, dataset, old, newest, grant.id)}
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=service, database=database)
    files = tuple(made.get(file.path, file) for file in landed.files)
    _replace(context, text, replace(landed, files=files), newest, len(made), actor)
    return len(made)


def _wrapped_anew(
    context: Context, dataset: Dataset, files: Iterable[LandedFile], newest: KeyName, grant_id: str
) -> Iterator[LandedFile]:
    for file in files:
        data_key = context.keystore.unwrap(key_of(file, dataset), file.wrapped_key, grant_id)
        yield replace(file, wrapped_key=context.keystore.wrap(newest, data_key), key=str(newest))


def _replace(context: Context, text: str, landed: Landed, newest: KeyName, files: int, actor: Actor) -> None:
    """The batch's manifest with its new wrapped keys. Conflict when somebody changed it since it was read."""
    database = context.database
    with database.unit_of_work() as tx:
        changed = tx.execute(
            update(batch)
            .where(batch.c.id == landed.batch, batch.c.landed == text)
            .values(landed=LANDED.dump_json(landed).decode("utf-8"))
        )
        if changed.rowcount != 1:
            raise Conflict("its manifest was changed since", where=landed.batch, do="rewrap again")
        facts: dict[str, Json] = {"batch": landed.batch, "key": str(newest), "files": files}
        append(tx, "keys_rewrapped", facts, actor=actor, writer=database.writer, at=database.clock())
        crash_point("keys.in_rewrap")
