"""`gov keys serve`: key custody as a process of its own on a Unix socket. It holds the keyring; nobody else needs to
read it.

A request is one frame: 4 bytes length of a JSON header, the header, then `payload` bytes; the answer has the same form.
The caller is known by the uid of its end of the socket: system user `gov-<role>` may use grants of subject
`service:<role>@...` alone (`gov-<role>-<department>` those of that department, `gov-use` those of consumers, `gov-trace` those and of traces), the
service's own user those of any subject. Then the service decides for itself whether the subject may have all that the
grant names (`authority.py`), and writes that down in its own ledger (`custody.py`) before it answers. A refusal is an
answer, with our error's class and text; it never holds a key.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import socketserver
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from governance.errors import Damaged, GovernanceError, Refused
from governance.keys import grants
from governance.keys.authority import Authority, asking
from governance.keys.consumers import Issuers
from governance.keys.custody import CustodyLedger
from governance.keys.names import DigestKeyName, Grant, KeyCustody, KeyName
from governance.ledger.entry import Json
from governance.state.database import Database

MAX_PAYLOAD_BYTES = 64 << 20
_REMEMBERED = 100_000
_SUBJECTS = {"use": ("user:", "service:scan@"), "trace": ("user:", "service:trace@")}

Answer = tuple[dict[str, Any], bytes]


@dataclass
class Custody:
    """What answers requests: the keys, who may have them, and the ledger of it."""

    keyring: KeyCustody
    database: Database
    authority: Authority
    issuers: Issuers
    ledger: CustodyLedger
    _opened: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, header: Mapping[str, Any], payload: bytes, role: str | None) -> Answer:
        """The answer to one request of a caller with `role`; a refusal is one too, and is in the ledger."""
        try:
            return self._answer(header, payload, role)
        except GovernanceError as error:
            if isinstance(error, Refused):
                try:
                    self.ledger.append("refused", {**_named(header), "role": role, "why": error.found})
                except GovernanceError as failed:
                    error = failed
            return {"error": type(error).__name__, "message": error.found, "where": error.where}, b""
        except (SQLAlchemyError, OSError) as failed:
            found = f"the key service cannot read what it decides by: {type(failed).__name__}"
            return {"error": "StorageError", "message": found, "where": "key service"}, b""
        except (KeyError, ValueError, TypeError, AttributeError):
            return {"error": "Refused", "message": "malformed request", "where": "key service"}, b""

    def _answer(self, header: Mapping[str, Any], payload: bytes, role: str | None) -> Answer:
        if role is None:
            raise Refused("this system user has no role", where="key service", allowed="gov-<role>")
        match header.get("operation"):
            case "wrap":
                return {"wrapped": self._wrap(KeyName.parse(header["key"]), payload)}, b""
            case "require":
                grant = self._granted(header, role)
                self.keyring.require([KeyName.parse(name) for name in header["keys"]], grant.id)
                return {}, b""
            case "unwrap":
                grant, key = self._granted(header, role), KeyName.parse(header["key"])
                data_key = self.keyring.unwrap(key, header["wrapped"], grant.id)
                self._record_opened(grant, str(key), role)
                return {}, data_key
            case "digest":
                grant, digest = self._granted(header, role), DigestKeyName.parse(header["key"])
                made = self.keyring.digest(digest, payload, grant.id)
                self.ledger.append("digested", {**_facts(grant, str(digest), role), "values": len(payload) // 16})
                return {}, made
            case _:
                raise Refused("unknown operation", where="key service", allowed="wrap, require, unwrap, digest")

    def _wrap(self, key: KeyName, data_key: bytes) -> str:
        new = str(key) not in self.keyring.names()
        wrapped = self.keyring.wrap(key, data_key)
        if new:
            self.ledger.append("made", {"key": str(key)})
        return wrapped

    def _granted(self, header: Mapping[str, Any], role: str) -> Grant:
        """The grant that the request names: one that its caller may use, and that is no wider than its subject's rights."""
        with self.database.read() as connection:
            grant = grants.find(connection, header["grant"])
        if grant is None or not may_act_for(role, grant.subject):
            raise Refused(f"grant {header['grant']} is not one of role {role}", where="key service")
        token = str(header.get("token", ""))
        consumer = asking(grant)
        proven = bool(consumer) and bool(token) and self.issuers.subject(token) == consumer
        self.authority.require(grant, proven=proven, at=self.database.clock())
        return grant

    def _record_opened(self, grant: Grant, key: str, role: str) -> None:
        with self._lock:
            if (grant.id, key) in self._opened:
                return
        self.ledger.append("opened", _facts(grant, key, role))
        with self._lock:
            if len(self._opened) >= _REMEMBERED:
                self._opened.clear()
            self._opened.add((grant.id, key))


def serve(path: Path, custody: Custody) -> None:
    """Serve until the process is stopped. The socket is made anew with mode 0660."""
    with server(path, custody) as running:
        running.serve_forever()


def server(path: Path, custody: Custody) -> socketserver.ThreadingUnixStreamServer:
    """The server, bound but not yet serving."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            role = role_of(peer_uid(self.connection))
            while (request := read_frame(self.rfile)) is not None:
                header, payload = request
                write_frame(self.wfile, *custody.answer(header, payload, role))

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    made = Server(str(path), Handler)
    path.chmod(0o660)
    return made


def may_act_for(role: str, subject: str) -> bool:
    """Whether a caller of this role may use grants of `subject`.

    >>> may_act_for("store-tax", "service:store@tax"), may_act_for("store-tax", "service:store@water")
    (True, False)
    >>> may_act_for("store", "service:store@water"), may_act_for("store", "user:li"), may_act_for("use", "user:li")
    (True, False, True)
    >>> may_act_for("trace", "service:trace@curated"), may_act_for("use", "service:trace@curated")
    (True, False)
    """
    if role == "*":
        return True
    name, _, department = role.partition("-")
    if department:
        return subject == f"service:{name}@{department}"
    return subject.startswith(_SUBJECTS.get(role, (f"service:{role}@",)))


def peer_uid(connection: socket.socket) -> int:
    """The uid of the process at the other end (Linux SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def role_of(uid: int) -> str | None:
    """`*` for the service's own user, `<role>` or `<role>-<department>` for system user `gov-...`, else None: that caller may do nothing."""
    if uid == os.getuid():
        return "*"
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
    return name.removeprefix("gov-") if name.startswith("gov-") else None


def read_frame(stream: Any) -> tuple[dict[str, Any], bytes] | None:
    """One frame, or None at the end of the stream. Raises Damaged for a frame that is cut short or too large."""
    prefix = stream.read(4)
    if not prefix:
        return None
    header = json.loads(_exactly(stream, int.from_bytes(prefix, "big")))
    size = int(header.get("payload", 0))
    if size > MAX_PAYLOAD_BYTES:
        raise Damaged("a request to the key service is too large", allowed=f"{MAX_PAYLOAD_BYTES:,} bytes")
    return header, _exactly(stream, size)


def write_frame(stream: Any, header: dict[str, Any], payload: bytes = b"") -> None:
    body = json.dumps({**header, "payload": len(payload)}).encode("utf-8")
    stream.write(len(body).to_bytes(4, "big") + body + payload)
    stream.flush()


def _exactly(stream: Any, size: int) -> bytes:
    if size > MAX_PAYLOAD_BYTES:
        raise Damaged("a request to the key service is too large", allowed=f"{MAX_PAYLOAD_BYTES:,} bytes")
    data: bytes = stream.read(size)
    if len(data) != size:
        raise Damaged("a frame of the key service is cut short")
    return data


def _named(header: Mapping[str, Any]) -> dict[str, Json]:
    """What a refused request asked for, as far as it says: never a token or a wrapped key."""
    return {name: str(header[name])[:300] for name in ("operation", "grant", "key") if name in header}


def _facts(grant: Grant, key: str, role: str) -> dict[str, Json]:
    return {"grant": grant.id, "subject": grant.subject, "purpose": grant.purpose, "key": key, "role": role}
