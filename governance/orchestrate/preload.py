"""What the scheduler loads once for its forked tasks to inherit: the engines (about five CPU-seconds a task) and the home's catalogue.

A province's catalogue of 14,350 contracts takes two CPU-seconds to load, in each of some four thousand tasks a day. It is inherited only as long
as no declaration has changed; from then on each task loads it, until the scheduler starts anew.
"""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from governance.catalog.stamps import quick_stamp
from governance.config import Settings, load_settings
from governance.errors import GovernanceError

if TYPE_CHECKING:
    from governance.catalog.types import Catalogue


@dataclass(frozen=True, slots=True)
class _Kept:
    settings: Settings
    stamp: str
    catalogue: Catalogue


_kept: list[_Kept] = []


def preload() -> None:
    """Load what tasks need, in the scheduler alone; does nothing, and imports next to nothing, in every other process."""
    if "scheduler" not in sys.argv[1:2]:
        return
    import governance.lake.iceberg
    import governance.pipeline.access_requests
    import governance.pipeline.context
    import governance.pipeline.curate
    import governance.pipeline.ingest
    import governance.pipeline.publish  # noqa: F401
    from governance import manage

    manage.preload(wait=True)
    try:
        keep_catalogue(load_settings())
    except GovernanceError as error:  # the tasks say so, each for itself
        print(f"the catalogue is not kept for the tasks: {error}", file=sys.stderr)
    gc.freeze()


def keep_catalogue(settings: Settings) -> None:
    """Load the catalogue of `settings` for `kept_catalogue`. Raises DeclarationError."""
    from governance.catalog.load import load_catalogue

    stamp = _stamp(settings)
    _kept[:] = [_Kept(settings, stamp, load_catalogue(settings))]


def kept_catalogue(settings: Settings) -> Catalogue | None:
    """The catalogue that was kept, if it is of these very settings and no declaration has changed since."""
    for kept in _kept:
        if kept.settings == settings and kept.stamp == _stamp(settings):
            return kept.catalogue
    return None


def _stamp(settings: Settings) -> str:
    return quick_stamp((settings.catalog, settings.expectations))
