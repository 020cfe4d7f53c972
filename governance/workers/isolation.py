"""What a child gives up: core dumps, the network, and (locked) system calls that reach beyond it. Linux only, by
ctypes.

What holds where: core dumps and death with the parent hold always. A network namespace of its own needs `unshare`,
which some containers forbid; the seccomp filter (x86-64 and arm64) forbids sockets as well and needs no right.
Each function answers with what it got; a locked worker refuses to run when it got neither.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 4, 38, 22
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY_EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000

_BEYOND = {
    "x86_64": (
        0xC000003E,
        # socket, socketpair, connect, bind, ptrace, execve, execveat, unshare, setns, mount, bpf, keyctl,
        # process_vm_readv/writev, open_by_handle_at, io_uring_setup, memfd_create, userfaultfd, perf_event_open,
        # add_key, request_key, pidfd_getfd
        (41, 53, 42, 49, 101, 59, 322, 272, 308, 165, 321, 250, 310, 311, 304, 425, 319, 323, 298, 248, 249, 438),
        # open, creat, openat, openat2, unlink, unlinkat, rename, renameat, renameat2, link, linkat, symlink,
        # symlinkat, mkdir, mkdirat, truncate, chmod, fchmodat, chown, fchownat
        (2, 85, 257, 437, 87, 263, 82, 264, 316, 86, 265, 88, 266, 83, 258, 76, 90, 268, 92, 260),
    ),
    "aarch64": (
        0xC00000B7,
        (198, 199, 203, 200, 117, 221, 281, 97, 268, 40, 280, 219, 270, 271, 265, 425, 279, 282, 241, 217, 218, 438),
        (56, 437, 35, 38, 276, 37, 36, 34, 45, 53, 54),
    ),
}
"""machine -> (audit architecture, calls that reach beyond the process, calls that name files)."""


def settle(parent: int) -> None:
    """Die with the parent, leave no core file, be unreadable to processes of the same user."""
    libc = _libc()
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:
        os._exit(1)


def limit_data(memory_mb: int) -> None:
    """The kernel's backstop behind the parent's watch: twice the limit and 1 GB of private writable memory."""
    ceiling = (memory_mb * 2 + 1024) * 1024 * 1024
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))


def leave_network() -> bool:
    """Enter a network namespace with no interface; False where the kernel or container forbids it. Needs a single
    thread.
    """
    libc = _libc()
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNET) == 0:
        return True
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    return True


def forbid_reach() -> bool:
    """No sockets, no new programs, no tracing, no namespaces from now on, for every thread; False on an unknown
    machine.
    """
    known = _BEYOND.get(platform.machine())
    return known is not None and _filter(known[0], known[1])


def forbid_files() -> bool:
    """No file can be opened, made, renamed or removed from now on; descriptors that are open stay. False on an
    unknown machine.
    """
    known = _BEYOND.get(platform.machine())
    return known is not None and _filter(known[0], known[2])


def _filter(architecture: int, calls: Iterable[int]) -> bool:
    """Install a seccomp filter that answers EPERM to `calls` and kills a process of another architecture."""
    numbers = tuple(calls)
    program = [
        _instruction(_LOAD, 0, 0, 4),
        _instruction(_JUMP_EQUAL, 1, 0, architecture),
        _instruction(_RETURN, 0, 0, _KILL),
        _instruction(_LOAD, 0, 0, 0),
        _instruction(_JUMP_AT_LEAST, len(numbers) + 1, 0, 0x40000000),
    ]
    program += [_instruction(_JUMP_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    program += [_instruction(_RETURN, 0, 0, _ALLOW), _instruction(_RETURN, 0, 0, _DENY_EPERM)]
    code = ctypes.create_string_buffer(b"".join(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    libc = _libc()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    seccomp_call = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    set_filter, all_threads = 1, 1
    return bool(libc.syscall(seccomp_call, set_filter, all_threads, ctypes.byref(header)) == 0)


def _instruction(code: int, on_true: int, on_false: int, operand: int) -> bytes:
    return struct.pack("HBBI", code, on_true, on_false, operand)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
