"""Consents: which persons let their rows be used for a scope. Kept as tokens of an identifier domain, never as values.

    tokens_of (under a digest grant) -> give | withdraw -> versions, in every decision -> bind, in the scanner

Each change is kept as one block of tokens with the version of the set that it makes: a hash over all changes up to it.
A decision names the version that it stands on. The scanner joins rows with exactly that set, and refuses when somebody
withdrew since; answers under way are cut off within a second of a withdrawal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import duckdb
import numpy as np
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, func, insert, select
from sqlglot import exp

from governance.errors import Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.tokens import TOKEN_BYTES, sql_hash, tokens
from governance.ledger.entry import Json, append
from governance.policy.access import Access
from governance.policy.filters import Consented
from governance.state.database import Database
from governance.state.tables_use import consent_change
from governance.state.values import Actor

_RELATION = "consent:"
_TOKEN = pa.binary(TOKEN_BYTES)


def give(persons: pa.Array, *, scope: str, domain: str, access: Access, database: Database, actor: Actor) -> str:
    """Record that these persons (domain tokens) consent to `scope`; returns the set's version. Whoever consents already
    stays as they are.

    Raises Refused when no rule of access.yaml asks this consent.
    """
    if not any(rule.consent and (rule.consent.scope, rule.consent.domain) == (scope, domain) for rule in access.rules):
        asked = {f"{rule.consent.scope} of {rule.consent.domain}" for rule in access.rules if rule.consent}
        allowed = ", ".join(sorted(asked)) or "no rule asks for consent"
        raise Refused(f"no rule asks consent to {scope} of {domain}", allowed=allowed)
    return _change(persons, True, scope, domain, database, actor)


def withdraw(persons: pa.Array, *, scope: str, domain: str, database: Database, actor: Actor) -> str:
    """Record that these persons (domain tokens) consent to `scope` no more; returns the set's version. Whoever never
    did stays as they are.
    """
    return _change(persons, False, scope, domain, database, actor)


def tokens_of(values: pa.Array, *, domain: str, database: Database, keystore: KeyStore, actor: Actor) -> pa.Array:
    """The domain tokens of identifier values (string), blanks and NULL left out; under a digest grant of its own that
    is for as many values and revoked at once.
    """
    with duckdb.connect() as con:
        con.register("given", pa.table({"v": values.cast(pa.string())}))
        hashed = con.sql(f"SELECT {sql_hash('v')} AS h FROM given").to_arrow_table()["h"]  # noqa: S608
    hashes = hashed.combine_chunks().drop_null()
    key = DigestKeyName("domain", domain)
    with database.unit_of_work() as tx:
        grant = grants.issue(
            tx, actor=actor, keys=(), digest_keys=(key,), digest_budget=len(hashes), seconds=600, database=database
        )
    try:
        return tokens(hashes, keystore=keystore, key=key, grant_id=grant.id)
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)


def versions(connection: Connection) -> Mapping[tuple[str, str], str]:
    """(scope, domain) -> version of the set as it is now."""
    latest = select(func.max(consent_change.c.id)).group_by(consent_change.c.scope, consent_change.c.domain)
    rows = connection.execute(select(consent_change).where(consent_change.c.id.in_(latest)))
    return {(row.scope, row.domain): row.version for row in rows}


def counted(connection: Connection) -> Mapping[tuple[str, str], int]:
    """(scope, domain) -> how many persons consent now."""
    return {key: len(_set(connection, *key)) for key in versions(connection)}


def narrowed(connection: Connection, asked: Iterable[Consented]) -> bool:
    """Whether somebody withdrew a consent after the version that one of these stands on."""
    return any(
        connection.execute(
            select(consent_change.c.id)
            .where(*_of(each.scope, each.domain), consent_change.c.given.is_(False))
            .where(consent_change.c.id > _position(connection, each.scope, each.domain, each.version))
            .limit(1)
        ).first()
        is not None
        for each in asked
    )


def bind(con: duckdb.DuckDBPyConnection, where: exp.Expr | None, database: Database) -> None:
    """Give `con` the consents that a condition of `policy.filters` asks for. Raises Refused when one was withdrawn
    since the decision.
    """
    for name in sorted({table.name for table in where.find_all(exp.Table)} if where is not None else ()):
        prefix, domain, scope, version = name.split(":")
        asked = Consented(scope=scope, domain=domain, column="", version=version)
        if prefix + ":" != _RELATION or asked.relation != name:
            raise Refused("a condition asks a relation that is no consent")
        with database.read() as connection:
            if narrowed(connection, [asked]):
                raise Refused("a consent was withdrawn since the decision", do="ask again")
            held = _set(connection, scope, domain, upto=_position(connection, scope, domain, version))
        con.register(name, pa.table({"token": held}))


def _change(persons: pa.Array, given: bool, scope: str, domain: str, database: Database, actor: Actor) -> str:
    at = database.clock()
    with database.unit_of_work() as tx:
        before = versions(tx).get((scope, domain), "")
        changed = _differing(_set(tx, scope, domain), persons.cast(_TOKEN), given)
        if not len(changed):
            return before
        block = changed.buffers()[1].to_pybytes()[changed.offset * TOKEN_BYTES :][: len(changed) * TOKEN_BYTES]
        made = f"{before}\n{scope}\n{domain}\n{given}\n{hashlib.sha256(block).hexdigest()}"
        version = hashlib.sha256(made.encode("utf-8")).hexdigest()
        values = {"scope": scope, "domain": domain, "given": given, "tokens": block, "version": version}
        tx.execute(insert(consent_change).values(**values, recorded_at=at))
        facts: dict[str, Json] = {"scope": scope, "domain": domain, "persons": len(changed), "version": version}
        kind = "consent_given" if given else "consent_withdrawn"
        append(tx, kind, facts, actor=actor, writer=database.writer, at=at)
    return version


def _differing(held: pa.Array, persons: pa.Array, given: bool) -> pa.Array:
    """The persons, each once and in order of token, to whom the change makes a difference."""
    with duckdb.connect() as con:
        con.register("held", pa.table({"t": held}))
        con.register("persons", pa.table({"t": persons}))
        side = "ANTI" if given else "SEMI"
        joined = f"SELECT DISTINCT t FROM persons {side} JOIN held USING (t) WHERE t IS NOT NULL ORDER BY t"  # noqa: S608
        found = con.sql(joined).to_arrow_table()["t"]
    return found.combine_chunks().cast(_TOKEN)


def _set(connection: Connection, scope: str, domain: str, *, upto: int | None = None) -> pa.Array:
    """Tokens of those who consent, after the change with id `upto` or after all."""
    wanted = select(consent_change).where(*_of(scope, domain)).order_by(consent_change.c.id)
    if upto is not None:
        wanted = wanted.where(consent_change.c.id <= upto)
    rows = connection.execute(wanted).all()
    blocks = [pa.Array.from_buffers(_TOKEN, len(r.tokens) // TOKEN_BYTES, [None, pa.py_buffer(r.tokens)]) for r in rows]
    if all(row.given for row in rows):  # a change names only those to whom it makes a difference: nobody stands twice
        return pa.concat_arrays([pa.array([], _TOKEN), *blocks])
    lengths = [len(block) for block in blocks]
    with duckdb.connect() as con:
        changes = {
            "token": pa.concat_arrays(blocks),
            "given": np.repeat([row.given for row in rows], lengths),
            "number": np.repeat(np.arange(len(rows)), lengths),
        }
        con.register("changes", pa.table(changes))
        kept = con.sql("SELECT token FROM changes GROUP BY token HAVING arg_max(given, number)").to_arrow_table()
    return kept["token"].combine_chunks().cast(_TOKEN)


def _position(connection: Connection, scope: str, domain: str, version: str) -> int:
    """The id of the change that made this version; 0 for the set in which nobody is."""
    if not version:
        return 0
    found = select(consent_change.c.id).where(*_of(scope, domain), consent_change.c.version == version)
    position = connection.execute(found).scalars().first()
    if position is None:
        raise Refused("the consents of this decision are not kept", where=f"{scope} of {domain}", do="ask again")
    return int(position)


def _of(scope: str, domain: str) -> tuple[ColumnElement[bool], ...]:
    return (consent_change.c.scope == scope, consent_change.c.domain == domain)
