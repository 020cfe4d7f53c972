"""Which adapter serves which kind of source. One row here and one file beside this one make a new kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from governance.catalog.types import DatabaseSource, Dataset, FileSource, HttpSource
from governance.collect.files import FileAdapter
from governance.collect.http import HttpAdapter
from governance.collect.source import Adapter
from governance.config import Settings
from governance.errors import DeclarationError, Fault


def adapter_for(dataset: Dataset, settings: Settings, environ: Mapping[str, str]) -> Adapter:
    """The adapter of the dataset's source. Opens nothing. DeclarationError when the dataset has no source."""
    match dataset.source:
        case FileSource() as source:
            return FileAdapter(source, settings.home, environ)
        case HttpSource() as source:
            return HttpAdapter(source, environ)
        case DatabaseSource() as source:
            from governance.collect.database import DatabaseAdapter

            return DatabaseAdapter(source, dataset, settings.home, environ)
        case None:
            raise DeclarationError(
                (
                    Fault(
                        dataset.file,
                        1,
                        "servers",
                        "no source is declared",
                        "",
                        "add a server, or do not collect this dataset",
                    ),
                )
            )
        case unknown:
            assert_never(unknown)
