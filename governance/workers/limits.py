"""`Limits` of one worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory_mb` is resident anonymous memory, watched by the parent (with twice that and 1 GB as the kernel's limit
    on data); `seconds` is wall time. Without `network` the child has no sockets to anywhere but itself; a worker
    whose state database is reached by TCP needs it. `locked`: the child also loses the right to start programs and to
    trace or open sockets at all, before its entry runs. `muted`: it runs somebody's program, so what it says of an error is
    not told on, and its answer is short.
    """

    memory_mb: int = 2048
    seconds: float = 3600.0
    network: bool = False
    locked: bool = False
    muted: bool = False
