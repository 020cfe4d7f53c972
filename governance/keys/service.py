"""`gov keys serve`: key custody as a process of its own on a Unix socket. It holds the keyring; nobody else needs to
read it.

A request is one frame: 4 bytes length of a JSON header, the header, then `payload` bytes; the answer has the same form.
The caller is known by the uid of its end of the socket: system user `gov-<role>` may use grants of subject
`service:<role>@...` alone (`use` those of consumers), the service's own user any. A refusal is an answer, with our
error's class and text; it never holds a key.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import socketserver
import struct
from pathlib import Path
from typing import Any

from governance.errors import Damaged, GovernanceError, Refused
from governance.keys import grants
from governance.keys.keyring import Keyring
from governance.keys.names import DigestKeyName, KeyName
from governance.state.database import Database

MAX_PAYLOAD_BYTES = 64 << 20
_SUBJECTS = {"use": ("user:", "service:scan@"), "build": ("service:build@",)}


def serve(path: Path, keyring: Keyring, database: Database) -> None:
    """Serve until the process is stopped. The socket is made anew with mode 0660."""
    with server(path, keyring, database) as running:
        running.serve_forever()


def server(path: Path, keyring: Keyring, database: Database) -> socketserver.ThreadingUnixStreamServer:
    """The server, bound but not yet serving."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            role = role_of(peer_uid(self.connection))
            while (request := read_frame(self.rfile)) is not None:
                header, payload = request
                write_frame(self.wfile, *_answer(header, payload, role, keyring, database))

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    made = Server(str(path), Handler)
    path.chmod(0o660)
    return made


def peer_uid(connection: socket.socket) -> int:
    """The uid of the process at the other end (Linux SO_PEERCRED)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def role_of(uid: int) -> str | None:
    """`*` for the service's own user, `<role>` for system user `gov-<role>`, else None: that caller may do nothing."""
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


def _answer(
    header: dict[str, Any], payload: bytes, role: str | None, keyring: Keyring, database: Database
) -> tuple[dict[str, Any], bytes]:
    try:
        if role is None:
            raise Refused("this system user has no role", where="key service", allowed="gov-<role>")
        match header.get("operation"):
            case "wrap":
                return {"wrapped": keyring.wrap(KeyName.parse(header["key"]), payload)}, b""
            case "unwrap":
                _require_subject(role, header["grant"], database)
                return {}, keyring.unwrap(KeyName.parse(header["key"]), header["wrapped"], header["grant"])
            case "digest":
                _require_subject(role, header["grant"], database)
                return {}, keyring.digest(DigestKeyName.parse(header["key"]), payload, header["grant"])
            case _:
                raise Refused("unknown operation", where="key service", allowed="wrap, unwrap, digest")
    except GovernanceError as error:
        return {"error": type(error).__name__, "message": error.found, "where": error.where}, b""
    except (KeyError, ValueError):
        return {"error": "Refused", "message": "malformed request", "where": "key service"}, b""


def _require_subject(role: str, grant_id: str, database: Database) -> None:
    """The grant must be of a subject that this role may act for."""
    if role == "*":
        return
    with database.read() as connection:
        grant = grants.find(connection, grant_id)
    allowed = _SUBJECTS.get(role, (f"service:{role}@",))
    if grant is None or not grant.subject.startswith(allowed):
        raise Refused(f"grant {grant_id} is not one of role {role}", where="key service")
