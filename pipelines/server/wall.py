"""The last wall in front of a process that takes more memory than it may: the system's limit of its writable memory."""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
from pathlib import Path

log = logging.getLogger(__name__)

MIB = 1 << 20
LOOK_S = 0.25
_MARGIN_BYTES, _MARGIN_OF_A_CORE_BYTES = 256 * MIB, 16 * MIB  # stacks of threads, arenas of the allocator


def margin_bytes() -> int:
    """What a process may take beside its data, which are counted."""
    return _MARGIN_BYTES + (os.cpu_count() or 1) * _MARGIN_OF_A_CORE_BYTES


def writable_bytes() -> int:
    """Private writable memory that this process has mapped, whether it was touched or not; 0 where that is not known."""
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


def resident_bytes() -> int:
    """Memory of its own that this process holds; 0 where that is not known."""
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def end_if_grown(from_bytes: int, n_bytes: int) -> None:
    """End this process when it holds so many bytes more than `from_bytes`; looks for ever, in a thread; only on Linux.

    For processes whose drivers map memory that is none, so that the system cannot limit what they map.
    """
    most = from_bytes + n_bytes + margin_bytes()
    while (held := resident_bytes()) <= most:
        time.sleep(LOOK_S)
    log.error("this process holds %d MiB, more than the %d MiB that it may have: it ends", held // MIB, most // MIB)
    os._exit(1)


def limit_growth(from_bytes: int, n_bytes: int) -> None:
    """Let this process map so many bytes more than `from_bytes`, and no more; only on Linux.

    What goes beyond fails as memory that the system does not have.
    """
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = from_bytes + n_bytes + margin_bytes()
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
