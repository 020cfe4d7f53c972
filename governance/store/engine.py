"""The DuckDB connections of one pass, each an instance of its own. Those that see values never spill; the one that sees hashes may."""

from __future__ import annotations

import ctypes
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from governance.config import Settings

_MMAP_THRESHOLD = -3
"""The parameter's number in glibc's `mallopt`."""
_OWN_PAGES_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Engines:
    """`parsing` keeps the order of the original; `judging` streams the rows past small tables, which it never takes for the probing side;
    `hashing` holds salted hashes, tokens, digests and positions only, and may spill them."""

    parsing: duckdb.DuckDBPyConnection
    judging: duckdb.DuckDBPyConnection
    hashing: duckdb.DuckDBPyConnection
    scratch: Path


@contextmanager
def engines(settings: Settings) -> Iterator[Engines]:
    """Connections and a scratch folder of this pass alone, both gone when it ends."""
    _give_back_large_blocks()
    if (
        "jemalloc" in pa.supported_memory_backends()
    ):  # it keeps what it was given; the default asks the system for it again and again
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    scratch = settings.scratch / f"store-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    opened = []
    try:
        for spill, order in ((False, True), (False, False), (True, False)):
            opened.append(_connect(_config(settings, scratch if spill else None, order)))
        opened[1].execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        yield Engines(opened[0], opened[1], opened[2], scratch)
    finally:
        for connection in opened:
            connection.close()
        shutil.rmtree(scratch, ignore_errors=True)


def aggregating(settings: Settings) -> duckdb.DuckDBPyConnection:
    """A connection for the aggregates of table rules: sees values, never spills."""
    return _connect(_config(settings, None, False))


def _give_back_large_blocks() -> None:
    """Have glibc take blocks of 16 MiB and more from the system and give them back when they are freed, once for the process.

    By itself it puts the parser's buffers (32 MB, a new one every second) into its heap as soon as one was freed; what comes to lie in their
    place keeps them apart, and the heap grows with the rows: by half a gigabyte over ten million.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # no other C library has it, or the fault
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _OWN_PAGES_BYTES)


def _config(settings: Settings, spill: Path | None, order: bool) -> dict[str, object]:
    return {
        "threads": settings.threads,
        "memory_limit": f"{max(256, settings.memory_limit_mb // 2)}MB",
        "temp_directory": str(spill / "spill") if spill else "",
        "preserve_insertion_order": order,
    }


def _connect(config: dict[str, object]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection
