"""Holds the rules to the `max_reach` of their roles: the share of all sensitive cells that a role's holders see raw.

Judged are the rules as they are written, over the lake as it is: what they would open once they are released. Without tables,
or without a limit, there is nothing to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url

from governance.catalog.types import Catalogue, ColumnType
from governance.config import Settings
from governance.errors import Fault
from governance.keys.open import open_keystore
from governance.lake.lake import Lake
from governance.pipeline.context import Context
from governance.pipeline.reach import Counter, Sights, condition_of, sensitive_columns, united
from governance.policy.access import Access
from governance.policy.decide import Column, Decider
from governance.policy.restrictions import Policy, compile_restrictions
from governance.policy.source import read_yaml
from governance.state.database import Database

_TEXT = ColumnType("string")


def limit_faults(settings: Settings, catalogue: Catalogue, access: Access) -> Iterator[Fault]:
    """A fault for each role that reaches more than it may, at the line of its limit."""
    if all(role.max_reach is None for role in access.roles) or not _has_state(settings):
        return
    database = Database(settings.database_url)
    try:
        database.create()
        keystore = open_keystore(settings, database)
        context = Context(settings, catalogue, database, keystore, Lake(settings, database, keystore))
        shares = role_shares(context, access)
    finally:
        database.close()
    source = read_yaml(catalogue.access_text, catalogue.access_file)
    for at, role in enumerate(access.roles):
        if role.max_reach is not None and shares[role.id] > role.max_reach:
            found = f"{role.id} reaches {shares[role.id]:.1%} of the sensitive cells"
            do = "narrow its rules, or take holders away; gov blast-radius"
            yield source.fault(("roles", at, "max_reach"), found, f"at most {role.max_reach:.1%}", do)


def role_shares(context: Context, access: Access) -> dict[str, float]:
    """Role -> the share of all sensitive cells that its holders together would see raw under these rules."""
    with context.database.read() as connection:
        columns = sensitive_columns(context, connection)
        snapshots = {name: context.lake.snapshot(name, connection) for name in context.catalogue.models}
    counter = Counter(context, columns)
    encrypted = {(column.table, column.name) for column in columns}
    tables = {name: at for name, at in snapshots.items() if at is not None}
    seen = {subject.name: _raw(context, access, subject.name, tables, encrypted) for subject in access.subjects}
    return {
        role.id: counter.of_sights(
            "role", role.id, united(seen[s.name] for s in access.subjects if role.id in s.roles), {}
        ).share
        for role in access.roles
    }


def _raw(
    context: Context, access: Access, subject: str, tables: dict[str, int], encrypted: set[tuple[str, str]]
) -> Sights:
    decider, at = Decider(access), context.database.clock()
    found: dict[tuple[str, str], frozenset[str]] = {}
    for table, snapshot in tables.items():
        fields = context.catalogue.models[table].contract.fields
        columns = [*map(Column.of, fields), *(Column(f.token_name, _TEXT, None) for f in fields if f.token_name)]
        for purpose in access.purposes:
            shown = compile_restrictions(
                [Policy(decider, tuple(columns), "")],
                subject=subject,
                purpose=purpose.id,
                table=table,
                snapshot=snapshot,
                field_ids={column.name: number for number, column in enumerate(columns, 1)},
                at=at,
            )
            condition = condition_of(shown, encrypted)
            for column in shown.visible:
                place = (table, column.name)
                if column.outcome.kind == "raw" and place in encrypted:
                    found[place] = found.get(place, frozenset()) | {condition}
    return found


def _has_state(settings: Settings) -> bool:
    """Whether there is a state database; `gov check` of a clone makes none."""
    url = make_url(settings.database_url)
    return url.get_backend_name() != "sqlite" or (url.database is not None and Path(url.database).is_file())
