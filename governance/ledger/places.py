"""Where checkpoints are kept outside: a folder, an address that takes HTTP PUT, a mailbox.

/mnt/audit                                    a folder (a mounted share, a medium that is written once)
https://audit.example.org/gov                 one PUT a file below it
mailto:audit@example.org?server=mail:25       one message with the files attached
"""

from __future__ import annotations

import os
import smtplib
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from governance.errors import Refused, SourceUnavailable, StorageError

_SECONDS = 30


class Place(Protocol):
    """Takes files, in order: the checkpoint last, so that it never stands there without its proof."""

    def put(self, files: Mapping[str, str]) -> None: ...


def place(target: str) -> Place:
    """The place that a target names. Raises Refused for one that cannot be read: a folder of such a name would look like a place outside."""
    try:
        parts = urlsplit(target)
        if parts.scheme in ("http", "https") and parts.hostname:
            return HttpPlace(target.rstrip("/"))
        if parts.scheme == "mailto" and parts.path:
            return MailPlace(target)
    except ValueError:
        parts = None
    if parts is None or "://" in target or parts.scheme in ("http", "https", "mailto"):
        allowed = "a folder, http://HOST/PATH, https://HOST/PATH, mailto:ADDRESS?server=HOST:PORT"
        raise Refused("no place for checkpoints", where=target.partition(":")[0][:80], allowed=allowed, do="correct it")
    return FolderPlace(Path(target))


class FolderPlace:
    """Files in a folder, each written whole (temporary name, fsync, rename)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, files: Mapping[str, str]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                temporary = self.folder / f".{name}.{os.getpid()}"
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.folder / name)
        except OSError as error:
            raise StorageError(f"cannot write a checkpoint: {error.strerror}", where=self.folder.name) from None

    def read(self, pattern: str) -> dict[str, str]:
        """Texts of the files whose names fit, by name, in order of name."""
        try:
            return {path.name: path.read_bytes().decode("utf-8") for path in sorted(self.folder.glob(pattern))}
        except (OSError, UnicodeDecodeError):
            raise StorageError("a file of the folder cannot be read", where=self.folder.name) from None


class HttpPlace:
    """PUT `<address>/<name>`; any answer but a success is an error, to be tried again."""

    def __init__(self, address: str) -> None:
        self._address = address

    def put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            request = urllib.request.Request(f"{self._address}/{name}", text.encode("utf-8"), headers, method="PUT")
            try:
                with urllib.request.urlopen(request, timeout=_SECONDS):
                    pass
            except urllib.error.HTTPError as error:
                error.close()
                raise SourceUnavailable(f"a checkpoint was not taken: HTTP {error.code}", where=self._host()) from None
            except OSError:
                raise SourceUnavailable("no answer to a checkpoint", where=self._host(), do="try again") from None

    def _host(self) -> str:
        return urlsplit(self._address).hostname or ""


class MailPlace:
    """One message with the files attached; `?server=host:port` (default localhost:25), `&from=address`."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._to = parts.path
        self._from = options.get("from", self._to)
        host, _, port = options.get("server", "localhost:25").partition(":")
        self._host, self._port = host, int(port or 25)

    def put(self, files: Mapping[str, str]) -> None:
        message = EmailMessage()
        message["To"], message["From"], message["Subject"] = self._to, self._from, "Checkpoint of a governance ledger"
        message.set_content("Please keep the attached checkpoint where the operator cannot change it.")
        for name, text in files.items():
            message.add_attachment(text.encode("utf-8"), maintype="text", subtype="plain", filename=name)
        try:
            with smtplib.SMTP(self._host, self._port, timeout=_SECONDS) as server:
                server.send_message(message)
        except (OSError, smtplib.SMTPException):
            raise SourceUnavailable("the mail server took no checkpoint", where=self._host, do="try again") from None
