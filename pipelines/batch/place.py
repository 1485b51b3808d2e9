"""A worker's place: how many workers this machine has room for, and the threads and the GPU of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import Job, Limits
from nilatron.pipelines.batch.work import reconstruct
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.server.processes import die_with_parent
from nilatron.pipelines.threads import calm_threads

MAY_PASS = (RuntimeError, ArithmeticError, MemoryError, OSError, ValueError, LookupError, TypeError)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def settle() -> None:
    """Prepare this process for its files: what they need is loaded; nothing is logged, for what is told is in the rows.

    The process is gone when its parent is.

    Its threads are as many as OMP_NUM_THREADS says, which has to be set before it starts.
    """
    die_with_parent()
    logging.disable(logging.CRITICAL)
    calm_threads()
    import scipy.fft  # noqa: F401

    import nilatron.gadgets.node  # noqa: F401


def attempt(job: Job) -> Row | str:
    """The row of a job, or why it failed in a way that may pass."""
    try:
        return reconstruct(job)
    except MAY_PASS as error:
        return f"{type(error).__name__}: {error}"


def gpu_ids(device: str) -> list[str]:
    """GPUs that workers of this machine may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if resolve_device(device) == "cpu":
        return []
    if (visible := os.environ.get(VISIBLE)) is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def n_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def n_workers(limits: Limits, n_cpus: float, n_gpus: float) -> int:
    """Workers that a machine with so many processors and GPUs has room for."""
    rooms = [n_cpus // limits.cpus_per_worker]
    if limits.gpus_per_worker:
        rooms.append(n_gpus // limits.gpus_per_worker)
    return int(min(rooms))


def environment_of(place: int, limits: Limits, gpus: Sequence[str]) -> dict[str, str]:
    """Environment of the worker at a place: its threads, and its GPUs or a share of one."""
    made = dict.fromkeys(THREADS, str(limits.cpus_per_worker))
    if not limits.gpus_per_worker or not gpus:
        return {**made, VISIBLE: ""}
    first = int(place * limits.gpus_per_worker) % len(gpus)
    wanted = max(1, int(limits.gpus_per_worker))
    return {**made, VISIBLE: ",".join(gpus[(first + number) % len(gpus)] for number in range(wanted))}
