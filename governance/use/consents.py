"""Consents: which persons let their rows be used for a scope. Kept as tokens of an identifier domain, never as values.

    tokens_of (under a digest grant) -> give | withdraw -> versions, in every decision -> bind, in the scanner

Each change is kept as one block of tokens with the version of the set that it makes: a hash over all changes up to it,
which whoever recorded it signs. A set counts while a present approver's signature is over its newest giving or over
anything after it. A decision names the version that it stands on. The scanner joins rows with exactly that set, and
refuses when it is not what its version says or somebody withdrew since; answers under way are cut off within a second of a
withdrawal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, func, insert, select
from sqlglot import exp

from governance.errors import Damaged, Refused
from governance.keys import grants
from governance.keys.names import DigestKeyName, KeyStore
from governance.keys.tokens import TOKEN_BYTES, sql_standard, tokens
from governance.ledger.entry import Json
from governance.policy.access import Access
from governance.policy.filters import Consented
from governance.state.database import Database
from governance.state.tables_use import consent_change
from governance.state.values import Actor
from governance.use import history, signatures

_RELATION = "consent:"
_TOKEN = pa.binary(TOKEN_BYTES)


def give(
    persons: pa.Array,
    *,
    scope: str,
    domain: str,
    sign: signatures.Sign,
    access: Access,
    database: Database,
    actor: Actor,
) -> str:
    """Record that these persons (domain tokens) consent to `scope`; returns the set's version. Whoever consents already
    stays as they are.

    Raises Refused when no rule of access.yaml asks this consent, or the actor is no approver whose key signed.
    """
    _asked(access, scope, domain)
    return _change(persons, True, scope, domain, sign, access, database, actor)


def confirm(*, scope: str, domain: str, sign: signatures.Sign, access: Access, database: Database, actor: Actor) -> str:
    """Sign the set as it is again, so that it counts when its former signer is an approver no more; its new version."""
    _asked(access, scope, domain)
    return _change(pa.array([], _TOKEN), True, scope, domain, sign, access, database, actor, even_nothing=True)


def withdraw(
    persons: pa.Array,
    *,
    scope: str,
    domain: str,
    sign: signatures.Sign,
    access: Access,
    database: Database,
    actor: Actor,
) -> str:
    """Record that these persons (domain tokens) consent to `scope` no more; returns the set's version. Whoever never
    did stays as they are. Raises Refused when the actor has no key in access.yaml that signed.
    """
    return _change(persons, False, scope, domain, sign, access, database, actor)


def tokens_of(values: pa.Array, *, domain: str, database: Database, keystore: KeyStore, actor: Actor) -> pa.Array:
    """The domain tokens of identifier values (string), blanks and NULL left out; under a digest grant of its own that
    is for as many values and revoked at once.
    """
    with duckdb.connect() as con:
        con.register("given", pa.table({"v": values.cast(pa.string())}))
        found = con.sql(f"SELECT {sql_standard('v')} AS s FROM given").to_arrow_table()["s"]  # noqa: S608
    standard = found.combine_chunks().drop_null()
    key = DigestKeyName("domain", domain)
    with database.unit_of_work() as tx:
        grant = grants.issue(
            tx, actor=actor, keys=(), digest_keys=(key,), digest_budget=len(standard), seconds=600, database=database
        )
    try:
        return tokens(standard, keystore=keystore, key=key, grant_id=grant.id)
    finally:
        with database.unit_of_work() as tx:
            grants.revoke(tx, grant.id, actor=actor, database=database)


def versions(connection: Connection) -> Mapping[tuple[str, str], str]:
    """(scope, domain) -> version of the set as it is now."""
    latest = select(func.max(consent_change.c.id)).group_by(consent_change.c.scope, consent_change.c.domain)
    rows = connection.execute(select(consent_change).where(consent_change.c.id.in_(latest)))
    return {(row.scope, row.domain): row.version for row in rows}


def standing(connection: Connection, accesses: Sequence[Access]) -> Mapping[tuple[str, str], str]:
    """`versions` of the sets that are signed by an approver of all `accesses`; the others hold nobody. Raises Damaged when
    the ledger says otherwise.
    """
    now = versions(connection)
    history.require_consents(history.read(connection), now)
    return {key: version for key, version in now.items() if _signed(connection, key, accesses)}


def counted(connection: Connection) -> Mapping[tuple[str, str], int]:
    """(scope, domain) -> how many persons consent now."""
    return {key: len(_set(connection, *key)) for key in versions(connection)}


def narrowed(connection: Connection, asked: Iterable[Consented]) -> bool:
    """Whether somebody withdrew a consent after the version that one of these stands on. Raises what `history.read` and
    `history.require_consents` do.
    """
    asked = tuple(each for each in asked if each.version)  # from nobody, nobody can withdraw
    if asked:
        history.require_consents(history.read(connection), versions(connection))
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


def _asked(access: Access, scope: str, domain: str) -> None:
    if not any(rule.consent and (rule.consent.scope, rule.consent.domain) == (scope, domain) for rule in access.rules):
        asked = {f"{rule.consent.scope} of {rule.consent.domain}" for rule in access.rules if rule.consent}
        allowed = ", ".join(sorted(asked)) or "no rule asks for consent"
        raise Refused(f"no rule asks consent to {scope} of {domain}", allowed=allowed)


def _change(
    persons: pa.Array,
    given: bool,
    scope: str,
    domain: str,
    sign: signatures.Sign,
    access: Access,
    database: Database,
    actor: Actor,
    *,
    even_nothing: bool = False,
) -> str:
    at = database.clock()
    with database.unit_of_work() as tx:
        before = versions(tx).get((scope, domain), "")
        changed = _differing(_set(tx, scope, domain), persons.cast(_TOKEN), given)
        if not len(changed) and not even_nothing:
            return before
        block = _block(changed)
        version = _version(before, scope, domain, given, block)
        signature = sign(signatures.CONSENTS, version)
        needed = signatures.require if given else signatures.require_own
        needed(access, actor.subject, signatures.CONSENTS, version, signature)
        values = {"scope": scope, "domain": domain, "given": given, "tokens": block, "version": version}
        values |= {"subject": actor.subject, "signature": signature}
        tx.execute(insert(consent_change).values(**values, recorded_at=at))
        facts: dict[str, Json] = {"scope": scope, "domain": domain, "persons": len(changed), "version": version}
        kind = "consent_given" if given else "consent_withdrawn"
        facts["signature"] = signature
        history.record(tx, kind, facts, actor=actor, database=database, at=at)
    return version


def _block(tokens: pa.Array) -> bytes:
    """The tokens one after the other."""
    data = tokens.buffers()[1] if len(tokens) else None
    return data.to_pybytes()[tokens.offset * TOKEN_BYTES :][: len(tokens) * TOKEN_BYTES] if data is not None else b""


def _version(before: str, scope: str, domain: str, given: bool, block: bytes) -> str:
    made = f"{before}\n{scope}\n{domain}\n{given}\n{hashlib.sha256(block).hexdigest()}"
    return hashlib.sha256(made.encode("utf-8")).hexdigest()


def _signed(connection: Connection, key: tuple[str, str], accesses: Sequence[Access]) -> bool:
    """Whether the newest giving, or a change after it, has the signature of an approver: its version covers all before."""
    giving = select(func.max(consent_change.c.id)).where(*_of(*key), consent_change.c.given.is_(True))
    columns = (consent_change.c.subject, consent_change.c.version, consent_change.c.signature)
    rows = connection.execute(select(*columns).where(*_of(*key), consent_change.c.id >= giving.scalar_subquery()))
    return any(
        all(signatures.holds(a, row.subject, signatures.CONSENTS, row.version, row.signature) for a in accesses)
        for row in rows
    )


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
    """Tokens of those who consent, after the change with id `upto` or after all. Raises Damaged when the changes do not
    make their versions.
    """
    wanted = select(consent_change).where(*_of(scope, domain)).order_by(consent_change.c.id)
    if upto is not None:
        wanted = wanted.where(consent_change.c.id <= upto)
    rows = connection.execute(wanted).all()
    version = ""
    for row in rows:
        version = _version(version, scope, domain, row.given, row.tokens)
        if version != row.version:
            raise Damaged("consents are not what their version says", where=f"{scope} of {domain}")
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
