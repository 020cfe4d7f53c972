"""A client of the query service: answers as Arrow, pandas or polars. Needs httpx and pyarrow, and nothing else of this package.

    from governance.client import connect

    with connect("https://data.example.gov.cn", key="gov_...") as service:
        frame = service.query("SELECT district, count(*) FROM curated.person GROUP BY ALL", purpose="statistics").pandas()
        service.tables()                      # what you may see, and for which purposes
        service.explain("curated.person")     # field by field
        service.lookup("curated.person", numbers, purpose="benefits").rows

Every failure is a `ServiceError` with the service's code. An answer that breaks off in the middle raises; it never looks whole.
"""

from __future__ import annotations

import importlib
import io
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
ERROR_METADATA = b"gov.error"
"""Key of a batch's custom metadata: the code of the error that ended the stream."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ServiceError(Exception):
    """What the service said: `code` is for programs, `message` and `do` for people; `status` is 0 when no answer came whole."""

    def __init__(self, code: str, message: str, do: str = "", *, status: int = 0) -> None:
        self.code, self.message, self.do, self.status = code, message, do, status
        super().__init__("; ".join(filter(None, (f"{code}: {message}", do))))


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer as JSON has it: decimals, dates and instants are text, as `types` says."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]
    release: str
    decision_hash: str
    no_export: bool


def connect(
    url: str,
    *,
    token: str | Callable[[], str] = "",
    key: str = "",
    plain: bool = False,
    authority: str = "",
    timeout_seconds: float = 330.0,
) -> Connection:
    """A connection to the service at `url`, with a bearer token (or what gives one, asked before each request) or an API key.

    Refuses to send either over http to another machine, unless `plain` says that this is meant. `authority` is the PEM file of a certificate
    authority of your own.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServiceError("bad_url", "the address is not that of a service", "give http(s)://host:port")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not plain:
        raise ServiceError("plain_http", "a login would be sent in the clear", "use https, or say plain=True")
    if bool(token) == bool(key):
        raise ServiceError("no_login", "one of token and key is needed", "give exactly one")
    return Connection(url.rstrip("/"), token, key, authority, timeout_seconds)


class Connection:
    """One login at one service. Use as a context manager, or close it."""

    def __init__(
        self, url: str, token: str | Callable[[], str], key: str, authority: str, timeout_seconds: float
    ) -> None:
        import httpx

        self._token, self._key = token, key
        timeout = httpx.Timeout(timeout_seconds, connect=10.0)
        verify = ssl.create_default_context(cafile=authority or None)
        self._client = httpx.Client(base_url=url, timeout=timeout, follow_redirects=False, verify=verify)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def query(self, sql: str, *, purpose: str) -> Answer:
        """The answer to one SELECT as a stream; take it with `.arrow()`, `.pandas()`, `.polars()` or `.batches()`, once."""
        response = self._send("POST", "/v1/query", {"sql": sql, "purpose": purpose}, accept=ARROW)
        return Answer(response)

    def rows(self, sql: str, *, purpose: str) -> Rows:
        """A small answer in memory; the form for fields that must not be exported."""
        return _rows(self._json("POST", "/v1/query", {"sql": sql, "purpose": purpose}))

    def lookup(
        self,
        table: str,
        keys: Sequence[str],
        *,
        purpose: str,
        by: str | None = None,
        fields: Sequence[str] | None = None,
    ) -> Rows:
        """The records of `table` whose field `by` (default: its identifier) is one of `keys`. The column `_key` is the
        position, from 1, of the key that found the record.
        """
        return _rows(self._json("POST", "/v1/lookup", _lookup(table, keys, purpose, by, fields)))

    def lookup_arrow(
        self,
        table: str,
        keys: Sequence[str],
        *,
        purpose: str,
        by: str | None = None,
        fields: Sequence[str] | None = None,
    ) -> Answer:
        """The same as Arrow, for fields that may be exported."""
        return Answer(self._send("POST", "/v1/lookup", _lookup(table, keys, purpose, by, fields), accept=ARROW))

    def attest(
        self, question: str, claim: str, *, purpose: str, person: str, relative: str | None = None, nonce: str
    ) -> dict[str, Any]:
        """The signed answer to a declared question. `nonce`: 16 to 64 bytes of your own in hex, to verify it with
        (`gov attest verify`).
        """
        body = {"question": question, "claim": claim, "purpose": purpose, "person": person, "nonce": nonce}
        return self._json("POST", "/v1/attest", body if relative is None else {**body, "relative": relative})

    def tables(self, purpose: str | None = None) -> list[dict[str, Any]]:
        """Tables of which you see something, with the purposes for which you do."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/tables" + _purpose(purpose))["tables"]
        return found

    def explain(self, table: str, purpose: str | None = None) -> list[dict[str, Any]]:
        """For each purpose (or the one): the fields that you see, how, and by which rules; obligations."""
        path = f"/v1/tables/{quote(table, safe='')}{_purpose(purpose)}"
        found: list[dict[str, Any]] = self._json("GET", path)["purposes"]
        return found

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        import httpx

        response = self._send(method, path, body, accept="application/json")
        try:
            response.read()
            told: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError):
            raise ServiceError("interrupted", "the answer broke off", "ask again") from None
        finally:
            response.close()
        return told

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, *, accept: str) -> httpx.Response:
        """The response, its body unread; raises what the service said when that is not a success."""
        import httpx

        if self._key:
            login = {"X-API-Key": self._key}
        else:
            login = {"Authorization": f"Bearer {self._token() if callable(self._token) else self._token}"}
        request = self._client.build_request(method, path, json=body, headers={**login, "Accept": accept})
        try:
            response = self._client.send(request, stream=True)
            if response.status_code != 200:
                response.read()
                response.close()
                raise _told(response)
        except httpx.HTTPError as error:
            raise ServiceError(
                "unreachable", f"the service does not answer ({type(error).__name__})", "try again"
            ) from None
        return response


class Answer:
    """Rows on their way. `release` and `decision_hash` name what they stand under. Closed when read to the end, or by `close`."""

    def __init__(self, response: httpx.Response) -> None:
        import pyarrow as pa

        self.release = response.headers.get("X-Gov-Release", "")
        self.decision_hash = response.headers.get("X-Gov-Decision", "")
        self._response, self._body = response, _Body(response)
        try:
            self._reader = pa.ipc.open_stream(io.BufferedReader(self._body, 1 << 18))
        except (pa.ArrowException, OSError, EOFError):
            self.close()
            raise ServiceError("interrupted", "the answer broke off", "ask again") from None
        self.schema: pa.Schema = self._reader.schema

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop here: the service ends what still works for this answer."""
        self._response.close()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Batches as they come. Raises ServiceError when the answer ends before its end."""
        import pyarrow as pa

        try:
            while True:
                batch, metadata = self._reader.read_next_batch_with_custom_metadata()
                if metadata is not None and ERROR_METADATA in metadata:
                    code = metadata[ERROR_METADATA].decode("ascii")
                    raise ServiceError(code, "the answer ended before its end", "ask again")
                yield batch
        except StopIteration:
            self._body.finish()
        except (pa.ArrowException, OSError, EOFError):
            raise ServiceError("interrupted", "the answer broke off", "ask again") from None
        finally:
            self.close()

    def arrow(self) -> pa.Table:
        import pyarrow as pa

        return pa.Table.from_batches(list(self.batches()), schema=self.schema)

    def pandas(self) -> Any:
        """A pandas DataFrame (pandas must be installed)."""
        return self.arrow().to_pandas()

    def polars(self) -> Any:
        """A polars DataFrame (polars must be installed)."""
        return importlib.import_module("polars").from_arrow(self.arrow())


class _Body(io.RawIOBase):
    """The body of a response as a file."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_bytes()
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._left:
            chunk = self._next()
            if not chunk:
                return 0
            self._left = memoryview(chunk)
        taken = min(len(target), len(self._left))
        target[:taken] = self._left[:taken]
        self._left = self._left[taken:]
        return taken

    def finish(self) -> None:
        """Read what follows the stream's end: only then is it known that the body ended as it should."""
        while self._next():
            pass

    def _next(self) -> bytes:
        import httpx

        try:
            return next(self._chunks, b"")
        except httpx.HTTPError:
            raise OSError("the answer broke off") from None


def _rows(told: dict[str, Any]) -> Rows:
    columns = told["columns"]
    return Rows(
        tuple(column["name"] for column in columns),
        tuple(column["type"] for column in columns),
        told["rows"],
        told["release"],
        told["decision_hash"],
        told["no_export"],
    )


def _lookup(
    table: str, keys: Sequence[str], purpose: str, by: str | None, fields: Sequence[str] | None
) -> dict[str, Any]:
    body = {"table": table, "keys": list(keys), "purpose": purpose}
    given = {"by": by, "fields": list(fields) if fields is not None else None}
    return body | {name: value for name, value in given.items() if value is not None}


def _purpose(purpose: str | None) -> str:
    return f"?purpose={quote(purpose, safe='')}" if purpose is not None else ""


def _told(response: httpx.Response) -> ServiceError:
    try:
        told = response.json()
        return ServiceError(told["code"], told["message"], told["do"], status=response.status_code)
    except (ValueError, KeyError, TypeError):
        return ServiceError(
            "not_a_service", f"the answer is a {response.status_code} of something else", "check the address"
        )
