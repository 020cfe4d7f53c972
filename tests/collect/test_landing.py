"""What is kept of input that cannot be used, and what a full disk does."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.catalog.types import FileSource
from governance.errors import SourceContentError
from governance.state import batches
from tests.collect.home import Home, meters

Deliver = Callable[[str, bytes], Path]
DATASET = meters(FileSource("in/a.csv.gz", "csv"))
REPOSITORY = Path(__file__).parents[2]


def test_a_broken_input_is_kept_encrypted_once_with_a_note_that_opens_it(home: Home, deliver: Deliver) -> None:
    data = gzip.compress(b"Meter,holder\n1,CANARY\n", compresslevel=0)[:-6]
    deliver("a.csv.gz", data)
    for _ in range(2):
        with pytest.raises(SourceContentError, match=r"the gzip is truncated.*what came is kept as lake/_landed/_rej"):
            home.collect(DATASET)
    folder = home.settings.landed / "_rejected" / "water.meters"
    note, kept = sorted(folder.iterdir(), key=lambda p: p.suffix, reverse=True)
    facts = json.loads(note.read_text(encoding="utf-8"))
    assert home.opened(kept, facts["wrapped_key"]) == data
    assert (facts["fault"], facts["size_bytes"], facts["name"]) == ("the gzip is truncated", len(data), "a.csv.gz")
    assert b"CANARY" not in kept.read_bytes()
    with home.database.read() as connection:
        assert batches.batches(connection) == ()


def test_a_disk_that_takes_no_more_fails_with_one_message_and_the_rerun_completes(home: Home, deliver: Deliver) -> None:
    data = gzip.compress(bytes(range(256)) * 8_000, compresslevel=0)
    deliver("a.csv.gz", data)
    script = (
        "import resource\n"
        "from pathlib import Path\n"
        "from tests.collect.home import meters, open_home\n"
        "from governance.catalog.types import FileSource\n"
        "from governance.errors import StorageError\n"
        f"home = open_home(Path({str(home.settings.home)!r}))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))\n"
        "try:\n"
        "    home.collect(meters(FileSource('in/a.csv.gz', 'csv')), run='r')\n"
        "except StorageError as error:\n"
        "    print(error.retry, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout == (
        "True water.meters@20260301T000000Z.1: landing cannot be written: File too large; "
        "free or repair the storage, then run the task again\n"
    )
    assert home.landed_files() == []
    with home.database.read() as connection:
        assert batches.batches(connection) == ()
    assert home.bytes_of(home.collect(DATASET, run="r").files[0]) == data
