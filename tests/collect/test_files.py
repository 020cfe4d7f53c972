"""Files: at a path, in a folder, by a glob; whole, changed, missing and broken ones."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from governance.catalog.types import FileSource
from governance.errors import GovernanceError, SourceContentError, SourceUnavailable
from tests.collect.home import Home, meters

Deliver = Callable[[str, bytes], Path]


def test_a_file_lands_byte_for_byte_with_its_digest_and_size(home: Home, deliver: Deliver) -> None:
    data = "Meter,holder\r\n1,\xff\n".encode("latin-1")
    deliver("a.csv", data)
    landed = home.collect(meters(FileSource("in/a.csv", "csv")))
    (file,) = landed.files
    assert home.bytes_of(file) == data
    assert (file.name, file.sha256, file.size_bytes) == ("a.csv", hashlib.sha256(data).hexdigest(), len(data))
    assert (landed.batch, landed.format, landed.source) == ("water.meters@20260301T000000Z.1", "csv", "in/a.csv")


def test_what_lands_is_encrypted_on_disk(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter,holder\n1,CANARY-HOLDER\n")
    landed = home.collect(meters(FileSource("in/a.csv", "csv")))
    assert b"CANARY" not in (home.settings.lake / landed.files[0].path).read_bytes()


def test_a_gzip_stays_a_gzip(home: Home, deliver: Deliver) -> None:
    data = gzip.compress(b"Meter\n1\n", mtime=0) + gzip.compress(b"2\n", mtime=0) + b"\0" * 512
    deliver("a.csv.gz", data)
    assert home.bytes_of(home.collect(meters(FileSource("in/a.csv.gz", "csv"))).files[0]) == data


def test_a_folder_lands_its_files_of_the_format_in_name_order(home: Home, deliver: Deliver) -> None:
    for name in ("b.csv", "a.csv.gz", "readme.md", ".hidden.csv", "c.jsonl"):
        deliver(name, gzip.compress(b"x", mtime=0) if name.endswith(".gz") else b"x")
    landed = home.collect(meters(FileSource("in", "csv")))
    assert [file.name for file in landed.files] == ["a.csv.gz", "b.csv"]


def test_a_glob_reaches_into_folders_and_keeps_their_names(home: Home, deliver: Deliver) -> None:
    for name in ("2026/b/x.csv", "2026/a/x.csv", "2025/a/x.csv"):
        deliver(name, name.encode())
    landed = home.collect(meters(FileSource("in/2026/**/*.csv", "csv")))
    assert [file.name for file in landed.files] == ["a/x.csv", "b/x.csv"]
    assert [home.bytes_of(file) for file in landed.files] == [b"2026/a/x.csv", b"2026/b/x.csv"]


def test_a_name_with_brackets_is_a_name_when_the_file_exists(home: Home, deliver: Deliver) -> None:
    deliver("a[1].csv", b"x")
    assert home.collect(meters(FileSource("in/a[1].csv", "csv"))).files[0].name == "a[1].csv"


@pytest.mark.parametrize("location", ["in/none.csv", "in/*.csv", "in", "nowhere/a.csv"])
def test_a_missing_source_may_be_tried_again(home: Home, deliver: Deliver, location: str) -> None:
    deliver("readme.md", b"x")
    with pytest.raises(SourceUnavailable, match="run the task again") as raised:
        home.collect(meters(FileSource(location, "csv")))
    assert raised.value.where == location
    assert raised.value.retry
    assert home.landed_files() == []


def test_an_unreadable_source_says_so(home: Home, deliver: Deliver) -> None:
    deliver("loop.csv", b"").unlink()
    (home.settings.home / "in" / "loop.csv").symlink_to("loop.csv")
    with pytest.raises(SourceUnavailable, match="cannot be read"):
        home.collect(meters(FileSource("in/loop.csv", "csv")))


def test_a_file_that_changes_while_it_is_read_is_not_landed(home: Home, deliver: Deliver) -> None:
    path = deliver("a.csv", b"Meter\n" * 400_000)

    def grow(done: int, _total: int | None) -> None:
        with path.open("ab") as file:
            file.write(b"9\n")

    with pytest.raises(SourceUnavailable, match=r"a\.csv changed while it was read"):
        home.collect(meters(FileSource("in/a.csv", "csv")), progress=grow)
    assert home.landed_files() == []


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "it is empty"),
        (gzip.compress(b"", mtime=0), "the gzip holds nothing"),
        (gzip.compress(b"Meter\n1\n" * 1000, mtime=0)[:-4], "the gzip is truncated"),
        (gzip.compress(bytes(range(256)) * 40, mtime=0)[:60], "the gzip is truncated"),
        (gzip.compress(b"Meter\n1\n", mtime=0)[:5], "the gzip is truncated"),
        (gzip.compress(b"Meter\n1\n", mtime=0)[:-8] + b"\x01" * 8, "the gzip is damaged"),
        (gzip.compress(b"Meter\n1\n", mtime=0) + b"more", "the gzip has other bytes after its end"),
    ],
)
def test_empty_and_broken_files_are_refused_with_one_message(
    home: Home, deliver: Deliver, data: bytes, fault: str
) -> None:
    deliver("a.csv.gz", data)
    with pytest.raises(SourceContentError) as raised:
        home.collect(meters(FileSource("in/a.csv.gz", "csv")))
    assert str(raised.value).startswith(f"in/a.csv.gz: a.csv.gz: {fault}; have it delivered again")
    assert not raised.value.retry
    assert home.landed_files() == []


def test_one_broken_file_of_several_lands_none_of_them(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"Meter\n1\n")
    deliver("b.csv", b"")
    with pytest.raises(SourceContentError, match=r"b\.csv: it is empty"):
        home.collect(meters(FileSource("in", "csv")))
    assert home.landed_files() == []
    deliver("b.csv", b"Meter\n2\n")
    assert len(home.collect(meters(FileSource("in", "csv"))).files) == 2


def test_a_location_may_name_variables_and_an_unset_one_is_named(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"x")
    dataset = meters(FileSource("${METERS}/a.csv", "csv"))
    assert home.collect(dataset, environ={"METERS": "in"}).source == "${METERS}/a.csv"
    with pytest.raises(GovernanceError, match="the environment variable METERS is not set"):
        home.collect(dataset, environ={}, again=True)


def test_progress_counts_bytes_over_the_files(home: Home, deliver: Deliver) -> None:
    deliver("a.csv", b"x" * 10)
    deliver("b.csv", b"y" * 5)
    seen: list[tuple[int, int | None]] = []
    home.collect(meters(FileSource("in", "csv")), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 10), (15, 15)]
