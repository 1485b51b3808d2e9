"""A program in a process group of its own, with a time limit: whatever it does, the caller goes on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

PATIENCE_S = 5.0  # after its kill: a process that waits for a driver may stay for ever


def run_limited(
    words: Sequence[str],
    limit_s: float,
    *,
    output: IO[str],
    errors: IO[str],
    environment: Mapping[str, str] | None = None,
) -> int | None:
    """Exit code of a program; None when it was stopped after `limit_s`. What it leaves behind ends with it.

    What it prints goes to files, so that a process it leaves behind holds up nothing.
    """
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, start_new_session=True
    )
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
