"""Epochs of master keys: which one new data keys are wrapped under. Files name the whole key that they are under, so a
new epoch changes nothing for them.

Only keys that wrap data keys have epochs. A digest key has one for good: tokens of two epochs would not join, and a
row whose digest was made anew would look changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from governance.errors import Conflict
from governance.keys.names import KeyName
from governance.state.tables import key_epoch


def base_name(key: KeyName) -> str:
    """The key's name without its epoch.

    >>> base_name(KeyName("tax", "tax.invoices", "L3", 2))
    'tax/tax.invoices/L3'
    """
    return f"{key.owner}/{key.table}/{key.group}"


def current_epochs(connection: Connection, owner: str, table: str) -> dict[str, int]:
    """The newest epoch of each group of a table; groups that were never rotated are not in it: they are at 1."""
    prefix = f"{owner}/{table}/"
    columns = key_epoch.c
    newest = (
        select(columns.name, func.max(columns.epoch))
        .where(func.substr(columns.name, 1, len(prefix)) == prefix)
        .group_by(columns.name)
    )
    return {name.removeprefix(prefix): int(epoch) for name, epoch in connection.execute(newest)}


def current_key(connection: Connection, key: KeyName) -> KeyName:
    """The same name at its newest epoch."""
    newest = select(func.max(key_epoch.c.epoch)).where(key_epoch.c.name == base_name(key))
    return replace(key, epoch=connection.execute(newest).scalar() or 1)


def open_epochs(tx: Connection, keys: Iterable[KeyName], *, plan: str, at: datetime) -> None:
    """Make each of `keys` the newest of its name, inside `tx`. Conflict unless each is the next after the present one."""
    for key in keys:
        if current_key(tx, key).epoch != key.epoch - 1:
            raise Conflict("another epoch was opened since", where=base_name(key), do="plan and sign it again")
        tx.execute(insert(key_epoch).values(name=base_name(key), epoch=key.epoch, plan=plan, recorded_at=at))
