"""Who sequences and signs the ledger while only questions are asked: the process that answers them.

A pipeline run does it at its end, `gov ledger sequence --follow` all the time. Where neither runs, an answer's entries would wait for a
checkpoint as long as nothing else happens. Before a key service it is that machine's to do. What cannot be signed is said in the log and
fails no answer: its entries are committed, and wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from governance.errors import Damaged, StorageError
from governance.ledger.sequencer import follow, sequence
from governance.ledger.signer import open_signer
from governance.pipeline.context import Context

_AGAIN_SECONDS = 10.0
_ERRORS = (Damaged, StorageError, DBAPIError)
_log = logging.getLogger("governance")


def sequence_now(context: Context) -> None:
    """Sequence and sign what waits, unless another process does, or the key service's machine is to."""
    if context.settings.key_socket is not None:
        return
    try:
        sequence(context.database, open_signer(context.settings.keyring), wait_seconds=0)
    except _ERRORS as error:
        _say(error)


@contextmanager
def sequencing(context: Context) -> Iterator[None]:
    """Sequence and sign while the block runs, looking twice a second, and once more at its end."""
    if context.settings.key_socket is not None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(context, stop), daemon=True, name="gov-sequencer")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sequence_now(context)


def _follow(context: Context, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            follow(context.database, open_signer(context.settings.keyring), stop)
        except _ERRORS as error:
            _say(error)
            stop.wait(_AGAIN_SECONDS)


def _say(error: Exception) -> None:
    told = type(error).__name__ if isinstance(error, DBAPIError) else error
    _log.error("the ledger is not signed: %s; run `gov ledger verify`", told)
