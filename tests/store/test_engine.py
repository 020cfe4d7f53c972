"""Memory of a pass: what the parser's large buffers leave behind."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FREED_LARGE_BLOCKS = """
import ctypes, json, sys
from pathlib import Path
from governance.config import load_settings
from governance.store.engine import engines

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
home = Path(sys.argv[1])
(home / "gov.toml").write_text("")
before = libc.mallinfo2().arena
with engines(load_settings(home)):
    between = []
    for _ in range(8):
        block = libc.malloc(30_000_000)
        between.append(libc.malloc(40_000))
        libc.free(block)
        between.append(libc.malloc(40_000))
print(json.dumps((libc.mallinfo2().arena - before) >> 20))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_large_blocks_leave_no_holes_in_the_heap(tmp_path: object) -> None:
    made = subprocess.run(
        [sys.executable, "-c", FREED_LARGE_BLOCKS, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(made.stdout.splitlines()[-1]) < 20
