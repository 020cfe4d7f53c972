"""The live source read once more, only to compare: landed as a batch is, under a name that no manifest will have, and gone afterwards."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress

from governance.catalog.types import Dataset
from governance.collect.adapters import adapter_for
from governance.collect.landing import Place, discard, receive
from governance.config import Settings
from governance.errors import SourceContentError
from governance.keys.epochs import current_key
from governance.keys.names import KeyName, KeyStore
from governance.state.database import Database
from governance.state.values import Landed, Window


@contextmanager
def read_again(
    dataset: Dataset,
    window: Window,
    *,
    settings: Settings,
    database: Database,
    keystore: KeyStore,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Landed]:
    """What the source holds now for `window`, as a `Landed` that is no batch; its files are removed when the context ends.

    Raises SourceUnavailable, SourceContentError, StorageError, DeclarationError as `collect` does.
    """
    adapter = adapter_for(dataset, settings, environ)
    name = f"_again-{secrets.token_hex(8)}"
    with database.read() as connection:
        key = current_key(connection, KeyName(dataset.department, dataset.name, "landed"))
    place = Place(settings, dataset.name, name, secrets.token_hex(4), adapter.shown, keystore, key)
    at = database.clock()
    try:
        with closing(adapter.originals(window)) as originals:
            files = tuple(receive(place, number, original, at=at).file for number, original in enumerate(originals))
        if not files:
            raise SourceContentError("it sent nothing", where=adapter.shown, do="have it delivered, then try again")
        yield Landed(name, dataset.name, files, adapter.format, at, adapter.shown)
    finally:
        discard(place)
        with suppress(OSError):
            place.folder.rmdir()
