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
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _DENY_EPERM, _DENY_ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_CLONE_THREAD, _AT_EMPTY_PATH = 0x10000, 0x1000
_SIGNALLING_FCNTL = (8, 10, 15)
_SIGNALLING_IOCTL = (0x8901, 0x8902, 0x5452)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX; FIOSETOWN, SIOCSPGRP, FIOASYNC: a descriptor that signals a process."""

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

_OTHERS = {
    "x86_64": (
        (
            # fork, vfork, kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal, pidfd_open,
            # setpgid, setsid, prctl, setpriority, sched_setparam, sched_setscheduler, sched_setaffinity, sched_setattr,
            # ioprio_set
            *(57, 58, 62, 200, 234, 129, 297, 424, 434, 109, 112, 157, 141, 142, 144, 203, 314, 251),
            # process_madvise, process_mrelease, move_pages, migrate_pages, kcmp, shmget, shmat, msgget, semget,
            # mq_open, syslog
            *(440, 448, 279, 256, 312, 29, 30, 68, 64, 240, 103),
            # what tells of files or marks them: stat, lstat, statx, access, faccessat, faccessat2, readlink,
            # readlinkat, statfs, mknod, mknodat, rmdir, lchown, utime, utimes, futimesat, utimensat, chdir, chroot,
            # inotify_init, inotify_init1, fanotify_init, name_to_handle_at
            *(4, 6, 332, 21, 269, 439, 89, 267, 137, 133, 259, 84, 94, 132, 235, 261, 280, 80, 161, 253, 294, 300, 303),
            # setxattr, lsetxattr, getxattr, lgetxattr, listxattr, llistxattr, removexattr, lremovexattr
            *(188, 189, 191, 192, 194, 195, 197, 198),
            # what root may do to the machine: umount2, pivot_root, swapon, swapoff, reboot, sethostname, setdomainname,
            # init_module, delete_module, finit_module, kexec_load, kexec_file_load, iopl, ioperm, settimeofday,
            # clock_settime, adjtimex, clock_adjtime, quotactl, quotactl_fd, acct, vhangup
            *(
                166,
                155,
                167,
                168,
                169,
                170,
                171,
                175,
                176,
                313,
                246,
                320,
                172,
                173,
                164,
                227,
                159,
                305,
                179,
                443,
                163,
                153,
            ),
            # open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
            *(428, 429, 430, 431, 432, 433, 442),
        ),
        (56, 435, 262, 302, 72, 16),
    ),
    "aarch64": (
        (
            *(129, 130, 131, 138, 240, 424, 434, 154, 157, 167, 140, 118, 119, 122, 274, 30),
            *(440, 448, 239, 238, 272, 194, 196, 186, 190, 180, 116),
            *(291, 48, 439, 78, 43, 33, 88, 49, 51, 26, 262, 264, 5, 6, 8, 9, 11, 12, 14, 15),
            *(39, 41, 224, 225, 142, 161, 162, 105, 106, 273, 104, 294, 170, 112, 171, 266, 60, 443, 89, 58),
            *(428, 429, 430, 431, 432, 433, 442),
        ),
        (220, 435, 79, 261, 25, 29),
    ),
}
"""machine -> (calls that reach other processes or tell of files; clone, clone3, newfstatat, prlimit64, fcntl, ioctl,
which are judged by an argument)."""


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


def forbid_others() -> bool:
    """No new process (threads may start), no signal or limit for another one, no word of files from now on. False on
    an unknown machine."""
    known = _OTHERS.get(platform.machine())
    if known is None:
        return False
    clone, clone3, status, limit, fcntl, ioctl = known[1]
    judged = [
        *_if(clone, 0, _JUMP_ANY_BIT, _CLONE_THREAD),
        _instruction(_JUMP_EQUAL, 0, 1, clone3),  # its flags lie in memory: the C library falls back on clone
        _instruction(_RETURN, 0, 0, _DENY_ENOSYS),
        *_if(status, 3, _JUMP_ANY_BIT, _AT_EMPTY_PATH),
        *_if(limit, 0, _JUMP_EQUAL, 0),
        *_unless(fcntl, 1, _SIGNALLING_FCNTL),
        *_unless(ioctl, 1, _SIGNALLING_IOCTL),
    ]
    return _filter(_BEYOND[platform.machine()][0], known[0], judged)


def _if(call: int, argument: int, test: int, value: int) -> list[bytes]:
    """Allow `call` when its argument (low half) passes the test, else EPERM; go on after it with any other call."""
    return [
        _instruction(_JUMP_EQUAL, 0, 4, call),
        _instruction(_LOAD, 0, 0, 16 + 8 * argument),
        _instruction(test, 0, 1, value),
        _instruction(_RETURN, 0, 0, _ALLOW),
        _instruction(_RETURN, 0, 0, _DENY_EPERM),
    ]


def _unless(call: int, argument: int, values: tuple[int, ...]) -> list[bytes]:
    """EPERM to `call` when its argument (low half) is one of the values, else allow it."""
    tests = [_instruction(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [
        _instruction(_JUMP_EQUAL, 0, len(values) + 3, call),
        _instruction(_LOAD, 0, 0, 16 + 8 * argument),
        *tests,
        _instruction(_RETURN, 0, 0, _ALLOW),
        _instruction(_RETURN, 0, 0, _DENY_EPERM),
    ]


def _filter(architecture: int, calls: Iterable[int], judged: Iterable[bytes] = ()) -> bool:
    """Install a seccomp filter that answers EPERM to `calls` and kills a process of another architecture; `judged` are
    instructions for single calls, which come first."""
    numbers = tuple(calls)
    program = [
        _instruction(_LOAD, 0, 0, 4),
        _instruction(_JUMP_EQUAL, 1, 0, architecture),
        _instruction(_RETURN, 0, 0, _KILL),
        _instruction(_LOAD, 0, 0, 0),
        *judged,
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
