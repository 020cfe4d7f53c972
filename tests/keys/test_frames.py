"""Originals come back byte for byte from any place, and a file that was touched does not open."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.errors import Damaged, Refused, StorageError
from governance.keys import grants
from governance.keys.frames import FRAME_BYTES, FrameReader, encrypt, open_decrypted
from governance.keys.keyring import Keyring
from governance.keys.names import KeyName
from governance.state.database import Database
from governance.state.values import Actor

KEY = KeyName("tax", "tax.invoices", "landed")
FRAME_ON_DISK = FRAME_BYTES + 16
SIZES = (0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 17)


@pytest.fixture
def grant_id(database: Database, actor: Actor) -> str:
    with database.unit_of_work() as tx:
        return grants.issue(tx, actor=actor, keys=[KEY], database=database).id


def _write(keyring: Keyring, path: Path, text: bytes) -> str:
    with path.open("wb") as target:
        result = encrypt(io.BytesIO(text), target, keystore=keyring, key=KEY)
    assert (result.sha256, result.size_bytes) == (hashlib.sha256(text).hexdigest(), len(text))
    return result.wrapped_key


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back(keyring: Keyring, tmp_path: Path, grant_id: str, size: int) -> None:
    text = os.urandom(size)
    wrapped = _write(keyring, tmp_path / "f", text)
    assert text[:64] not in (tmp_path / "f").read_bytes() or size < 16
    with open_decrypted(tmp_path / "f", wrapped, keystore=keyring, key=KEY, grant_id=grant_id) as file:
        assert file.read() == text
        assert file.read() == b""


def test_a_source_that_gives_little_at_a_time_makes_whole_frames(
    keyring: Keyring, tmp_path: Path, grant_id: str
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or -1, 100_003))

    text = os.urandom(2 * FRAME_BYTES + 5)
    with (tmp_path / "f").open("wb") as target:
        result = encrypt(Slow(text), target, keystore=keyring, key=KEY)
    with open_decrypted(tmp_path / "f", result.wrapped_key, keystore=keyring, key=KEY, grant_id=grant_id) as file:
        assert file.read() == text


@given(places=st.lists(st.tuples(st.integers(0, 2 * FRAME_BYTES + 200), st.integers(0, 5000)), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_from_any_place_gives_what_the_original_has_there(
    keyring: Keyring, tmp_path: Path, grant_id: str, places: list[tuple[int, int]]
) -> None:
    text = bytes(range(251)) * (2 * FRAME_BYTES // 251 + 1)
    wrapped = _write(keyring, tmp_path / "f", text)
    with open_decrypted(tmp_path / "f", wrapped, keystore=keyring, key=KEY, grant_id=grant_id) as file:
        for start, size in places:
            file.seek(start)
            assert file.read(size) == text[start : start + size]
        assert file.seek(-3, io.SEEK_END) == len(text) - 3
        assert file.read() == text[-3:]


def test_a_frame_goes_straight_into_the_readers_buffer_and_the_last_is_shorter(
    keyring: Keyring, tmp_path: Path, grant_id: str
) -> None:
    text = os.urandom(2 * FRAME_BYTES + 1)
    wrapped = _write(keyring, tmp_path / "f", text)
    with FrameReader(tmp_path / "f", keyring.unwrap(KEY, wrapped, grant_id)) as reader:
        buffer = bytearray(FRAME_BYTES)
        for start, size in ((0, FRAME_BYTES), (FRAME_BYTES, FRAME_BYTES), (2 * FRAME_BYTES, 1), (0, 0)):
            assert reader.readinto(buffer) == size
            assert buffer[:size] == text[start : start + size]
        assert reader.size_bytes == len(text)


def _bit_flipped(sealed: bytes) -> bytes:
    return sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:]


def _swapped(sealed: bytes) -> bytes:
    first, second = 8 + FRAME_ON_DISK, 8 + 2 * FRAME_ON_DISK
    return sealed[:8] + sealed[first:second] + sealed[8:first] + sealed[second:]


def _cut_at_a_frame(sealed: bytes) -> bytes:
    return sealed[: 8 + 2 * FRAME_ON_DISK]


def _cut_inside(sealed: bytes) -> bytes:
    return sealed[:-5]


def _middle_left_out(sealed: bytes) -> bytes:
    return sealed[: 8 + FRAME_ON_DISK] + sealed[8 + 2 * FRAME_ON_DISK :]


def _longer(sealed: bytes) -> bytes:
    return sealed + b"x"


def _another_format(sealed: bytes) -> bytes:
    return b"PK" + sealed[2:]


def _almost_nothing(sealed: bytes) -> bytes:
    return sealed[:9]


CHANGES = (
    _bit_flipped,
    _swapped,
    _cut_at_a_frame,
    _cut_inside,
    _middle_left_out,
    _longer,
    _another_format,
    _almost_nothing,
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_changed_file_is_damaged(
    keyring: Keyring, tmp_path: Path, grant_id: str, change: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "f"
    wrapped = _write(keyring, path, os.urandom(2 * FRAME_BYTES + 1000))
    path.write_bytes(change(path.read_bytes()))
    with (
        pytest.raises(Damaged),
        open_decrypted(path, wrapped, keystore=keyring, key=KEY, grant_id=grant_id) as file,
    ):
        file.read()


def test_reading_needs_a_grant_and_a_file(keyring: Keyring, tmp_path: Path, grant_id: str) -> None:
    wrapped = _write(keyring, tmp_path / "f", b"text")
    with pytest.raises(Refused):
        open_decrypted(tmp_path / "f", wrapped, keystore=keyring, key=KEY, grant_id="nobody")
    with pytest.raises(StorageError, match="absent"):
        open_decrypted(tmp_path / "absent", wrapped, keystore=keyring, key=KEY, grant_id=grant_id)
