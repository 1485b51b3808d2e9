"""A method in a process of its own: reads a case, measures, prints one line of JSON.

Peak memory is then that of the method (and of what it imports), and a peer that is missing or dies takes nothing with it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from limited import run_limited
from nilatron.pipelines.threads import ENVIRONMENT
from peers.case import load_case
from peers.measurement import RunSettings
from peers.registry import BY_KEY, Method

NOT_INSTALLED = 3
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def n_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def work(case: Path, key: str, settings: RunSettings) -> int:
    """In the new process: measure, print."""
    import torch

    torch.set_num_threads(n_cores())
    method = BY_KEY[key]
    problem = load_case(case)
    try:
        measured = importlib.import_module(method.module).measure(problem, method.variant, settings)
    except ImportError as error:
        print(f"{error}", file=sys.stderr)
        return NOT_INSTALLED
    content = asdict(measured)
    content["peak_bytes"] = measured.peak_bytes or peak_bytes()
    print(json.dumps(content))
    return 0


def peak_bytes() -> float:
    """Peak resident memory of this program; ru_maxrss would begin with that of the parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024.0 * int(lines["VmHWM"].split()[0])
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_apart(words: list[str], method: Method, limit_s: float) -> dict[str, object]:
    """Start `words`, which end in `work`; its measurement, or {"missing": why}."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(n_cores()))}
    if method.is_ours:
        environment |= ENVIRONMENT  # as in our commands
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        code = run_limited(words, limit_s, output=output, errors=errors, environment=environment)
        if code is None:
            return {"missing": f"stopped after {limit_s:.0f} s"}
        output.seek(0), errors.seek(0)
        printed, told = output.read().splitlines(), errors.read().strip().splitlines()
    if code == 0:
        found: dict[str, object] = json.loads(printed[-1])
        return found
    last = told[-1] if told else f"exit code {code}"
    return {"missing": f"not installed ({method.package}): {last}" if code == NOT_INSTALLED else f"failed: {last}"}
