"""The key service's own decision: may this subject open these keys, whatever the grant's row says?

A grant is a row that whoever writes the state database can make. The service believes none: it derives what a
subject may open from declarations that it loads itself, and asks Cedar for every key of the grant. One key too many
closes the whole grant.

- A pipeline service opens keys of its own department (`store`, and `manage` for repairs), or those of the columns that
  the models' lineage reads (`build`), or of curated tables that can be looked up (`serve`). `collect` opens none.
- A consumer opens the groups of the columns that the rules show for the purpose, and only with a token of its own.
- A trace (`service:trace@curated`) opens what one table was made from, for a consumer to whom the rules show some of that table,
  and only with that consumer's token: its grant's purpose says for whom (`trace_purpose`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import cedarpy

from governance.errors import Refused
from governance.keys.epochs import base_name
from governance.keys.names import DigestKeyName, Grant, KeyName

POLICIES = """
@id("store opens what its own department landed and stored")
permit (principal is Service, action == Action::"open", resource is Key) when {
  principal.role == "store" && resource.owner == principal.department && principal.tables.contains(resource.table)
};
@id("manage repairs what its own department stored, and sees no original")
permit (principal is Service, action == Action::"open", resource is Key) when {
  principal.role == "manage" && resource.owner == principal.department && principal.tables.contains(resource.table)
  && resource.group != "landed"
};
@id("store and manage make tokens of their department's identifiers")
permit (principal is Service, action == Action::"digest", resource is Key) when {
  ["store", "manage"].contains(principal.role) && principal.digests.contains(resource.name)
};
@id("build opens what the lineage of the models reads")
permit (principal is Service, action == Action::"open", resource is Key) when {
  principal.role == "build" && principal.department == "curated" && principal.reads.contains(resource.name)
};
@id("serve copies curated tables that can be looked up")
permit (principal is Service, action == Action::"open", resource is Key) when {
  principal.role == "serve" && principal.department == "curated" && principal.serves.contains(resource.name)
};
@id("a consumer opens what the rules show, with a token of its own")
permit (principal is Consumer, action, resource is Key) when {
  context.proven && principal.shows.contains(resource.name)
};
@id("a trace opens what a table was made from, for a consumer who sees of the table, with that consumer's token")
permit (principal is Trace, action == Action::"open", resource is Key) when {
  context.proven && principal.traces.contains(resource.name)
};
@id("nobody who asks opens an original")
forbid (principal is Consumer, action, resource is Key) when { resource.group == "landed" };
@id("no trace opens an original")
forbid (principal is Trace, action, resource is Key) when { resource.group == "landed" };
"""
TRACER = "service:trace@curated"
"""Who opens the sources of a table to name positions in them."""
_DECIDED_SECONDS = 0.5
"""How long an answer is kept: narrower rules hold within a second."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the declarations say of services: tables (quarantines too) and digest keys by department, and the keys, without
    epoch, that models read, and that copies for lookups are made under.
    """

    tables: Mapping[str, frozenset[str]]
    digests: Mapping[str, frozenset[str]]
    reads: frozenset[str]
    serves: frozenset[str] = frozenset()


def trace_purpose(subject: str, purpose: str, table: str) -> str:
    """The purpose of a grant to trace `table` for a consumer.

    >>> traced_for(trace_purpose("user:li", "audit", "curated.person"))
    ('user:li', 'audit', 'curated.person')
    """
    return f"trace {table} {subject} {purpose}"


def traced_for(purpose: str) -> tuple[str, str, str] | None:
    """Consumer, purpose and table of a trace; None of a grant that says nothing of them."""
    parts = purpose.split(" ", 3)
    return (parts[2], parts[3], parts[1]) if len(parts) == 4 and parts[0] == "trace" else None


def asking(grant: Grant) -> str:
    """The consumer whose token a grant needs; empty where it needs none."""
    if grant.subject == TRACER:
        found = traced_for(grant.purpose)
        return found[0] if found else ""
    return grant.subject if grant.subject.startswith("user:") else ""


class Rules(Protocol):
    """Where the service has its policy from. All raise Refused while it cannot be read: then nothing opens."""

    def facts(self) -> Facts:
        """Of services, as the declarations are now."""
        ...

    def shows(self, subject: str, purpose: str, tables: Iterable[str], at: datetime) -> frozenset[str]:
        """Of a consumer: names without epoch of the keys that the rules open to it in these tables at `at`."""
        ...

    def traces(self, subject: str, purpose: str, table: str, at: datetime) -> frozenset[str]:
        """Names without epoch of the keys of what `table` was made from; none for a consumer who sees nothing of it."""
        ...


@dataclass
class Authority:
    """Decides grants under `rules`; answers are kept for half a second."""

    rules: Rules
    policies: str = POLICIES
    _decided: dict[tuple[object, ...], tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def require(self, grant: Grant, *, proven: bool, at: datetime) -> None:
        """Refused, naming the first key that is too much, unless `grant` is one that its subject may have. `proven`: the
        request carries a valid token of whoever is `asking`.
        """
        asked = (grant.subject, grant.purpose, grant.keys, proven)
        now = time.monotonic()
        with self._lock:
            known = self._decided.get(asked)
        if known is None or now - known[0] > _DECIDED_SECONDS:
            known = (now, self._refused(grant, proven, at))
            with self._lock:
                self._decided = {k: v for k, v in self._decided.items() if now - v[0] <= _DECIDED_SECONDS}
                self._decided[asked] = known
        if known[1]:
            raise Refused(known[1], where="key service", do="ask for what the declarations open, no more")

    def _refused(self, grant: Grant, proven: bool, at: datetime) -> str:
        """Why the grant does not hold here; empty when it does."""
        names = sorted(grant.keys)
        keys = {name: _described(name) for name in names}
        principal = self._principal(grant, [entity["attrs"]["table"] for entity in keys.values()], at)
        requests = [
            {
                "principal": _uid(principal["uid"]),
                "action": f'Action::"{"digest" if name.startswith("digest:") else "open"}"',
                "resource": _uid(keys[name]["uid"]),
                "context": {"proven": proven},
            }
            for name in names
        ]
        if not requests:
            return ""
        results = cedarpy.is_authorized_batch(requests, self.policies, [principal, *keys.values()])
        for name, result in zip(names, results, strict=True):
            if result.diagnostics.errors or result.decision != cedarpy.Decision.Allow:
                if asking(grant) and not proven:
                    return f"no valid token of {asking(grant)} was presented"
                return f"the grant is wider than its subject's rights: {name}"
        return ""

    def _principal(self, grant: Grant, tables: Iterable[str], at: datetime) -> dict[str, Any]:
        kind, _, name = grant.subject.partition(":")
        if grant.subject == TRACER:
            of = traced_for(grant.purpose)
            traces = self.rules.traces(*of, at) if of is not None else ()
            return {"uid": {"type": "Trace", "id": name}, "attrs": {"traces": sorted(traces)}, "parents": []}
        if kind == "service":
            role, _, department = name.partition("@")
            facts = self.rules.facts()
            attrs: dict[str, Any] = {
                "role": role,
                "department": department,
                "tables": sorted(facts.tables.get(department, ())),
                "digests": sorted(facts.digests.get(department, ())),
                "reads": sorted(facts.reads),
                "serves": sorted(facts.serves),
            }
            return {"uid": {"type": "Service", "id": name}, "attrs": attrs, "parents": []}
        shows = self.rules.shows(grant.subject, grant.purpose, sorted(set(tables)), at) if kind == "user" else ()
        return {"uid": {"type": "Consumer", "id": grant.subject}, "attrs": {"shows": sorted(shows)}, "parents": []}


def _described(name: str) -> dict[str, Any]:
    """The key as Cedar sees it: its name without epoch, and its parts."""
    if name.startswith("digest:"):
        digest = DigestKeyName.parse(name)
        attrs = {"name": f"digest:{digest.kind}/{digest.name}", "owner": "", "table": "", "group": digest.kind}
    else:
        key = KeyName.parse(name)
        attrs = {"name": base_name(key), "owner": key.owner, "table": key.table, "group": key.group}
    return {"uid": {"type": "Key", "id": name}, "attrs": attrs, "parents": []}


def _uid(uid: Mapping[str, str]) -> str:
    quoted = uid["id"].replace("\\", "\\\\").replace('"', '\\"')
    return f'{uid["type"]}::"{quoted}"'
