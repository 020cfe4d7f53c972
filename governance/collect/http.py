"""One http(s) address that answers with a file. The body is streamed as it comes over the wire."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from governance.catalog.types import HttpSource
from governance.collect.locations import expand_address, shown
from governance.collect.source import Format, Original, stream_of
from governance.errors import GovernanceError, SourceContentError, SourceUnavailable
from governance.state.values import Window

if TYPE_CHECKING:
    import httpx

_TIMEOUT_SECONDS = 60.0
_PASSING = frozenset({408, 425, 429})
"""Client errors that pass by themselves: timeout, too early, too many requests."""


class HttpAdapter:
    """Implements `Adapter` for `HttpSource`: 5xx, time-outs and broken transfers may be tried again."""

    has_history = False
    can_compare = False

    def __init__(self, source: HttpSource, environ: Mapping[str, str]) -> None:
        self.format: Format = source.format
        self.shown = shown(source.location)
        self._location, self._environ = source.location, environ

    def originals(self, window: Window) -> Generator[Original]:
        import httpx

        address = self._address()
        headers = {"Accept-Encoding": "identity", "User-Agent": "governance-collect"}
        try:
            with (
                _unlogged(),
                httpx.Client(follow_redirects=True, timeout=_TIMEOUT_SECONDS, headers=headers) as client,
                client.stream("GET", address) as response,
            ):
                self._check(response)
                length = response.headers.get("content-length", "")
                name = response.url.path.rstrip("/").rpartition("/")[2] or "answer"
                chunks = self._chunks(response)
                yield Original(name, stream_of(chunks), int(length) if length.isdigit() else None)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise self._no_address(error) from None
        except httpx.HTTPError as error:
            raise self._broken(error) from None

    def _address(self) -> str:
        try:
            return expand_address(self._location, self._environ)
        except ValueError as error:
            raise self._no_address(error) from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status >= 500 or status in _PASSING:
            raise SourceUnavailable(f"it answered {status}", where=self.shown, do="try again later")
        if status != 200:
            raise SourceContentError(
                f"it answered {status}", where=self.shown, allowed="200", do="correct the address or its credentials"
            )
        if response.history and response.history[0].url.scheme == "https" and response.url.scheme != "https":
            raise SourceContentError("it led from https to http", where=self.shown, do="declare the final address")
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "x-gzip", ""):
            raise SourceContentError(
                f"it sent content encoding {encoding[:20]!r}",
                where=self.shown,
                allowed="identity, gzip",
                do="ask the publisher",
            )
        media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media in ("text/html", "application/xhtml+xml"):
            raise SourceContentError(
                "it answered with a web page",
                where=self.shown,
                allowed=self.format,
                do="correct the address or its credentials",
            )

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        import httpx

        try:
            yield from response.iter_raw()
        except httpx.HTTPError as error:
            raise self._broken(error) from None

    def _no_address(self, error: Exception) -> GovernanceError:
        return SourceContentError(
            f"not an address: {type(error).__name__}", where=self.shown, allowed="http:// or https://", do="correct it"
        )

    def _broken(self, error: Exception) -> GovernanceError:
        return SourceUnavailable(f"no whole answer: {type(error).__name__}", where=self.shown, do="try again later")


@contextmanager
def _unlogged() -> Iterator[None]:
    """The client's own log lines quote addresses and headers, and with them credentials: none while it runs."""
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
