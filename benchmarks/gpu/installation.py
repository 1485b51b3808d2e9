"""What a run needs, installed step by step by the rules of the Makefile; what is not to be had is left out by name.

Only the standard library is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from limited import run_limited

RESERVED_S = 200.0  # of the whole time, for the sections
IMPATIENT = {"PIP_RETRIES": "1", "PIP_DEFAULT_TIMEOUT": "15"}  # pip waits for minutes where there is no index
ESSENTIAL = "import array_api_compat, h5py, ismrmrd, numpy, safetensors, scipy, torch"


@dataclass(frozen=True)
class Step:
    """A rule of the Makefile: its target in the virtual environment, what it brings, and seconds at most."""

    name: str
    target: str
    limit_s: float


STEPS = (
    Step("nilatron", ".run", 280),
    Step("packages of the tests and of ONNX", ".test", 90),
    Step("CuPy", ".gpu", 90),
    Step("TensorRT", ".tensorrt", 150),
)


@dataclass(frozen=True)
class Installed:
    """How a step ended: "done", or "failed" with the reason."""

    name: str
    outcome: str
    seconds: float
    why: str = ""


def install(
    make: Sequence[str],
    venv: Path,
    logs: Path,
    total_s: float,
    clock: Callable[[], float] = time.monotonic,
    run: Callable[..., int | None] = run_limited,
) -> list[Installed]:
    """All steps, each within its limit and what is left before the sections' share.

    One that fails ends none of the others, but the first, which all others need.
    """
    began = clock()
    done: list[Installed] = []
    for number, step in enumerate(STEPS):
        step_began = clock()
        limit_s = min(step.limit_s, total_s - RESERVED_S - (step_began - began))
        missing = "no time was left to install it" if limit_s <= 0 else ""
        if number and done[0].outcome != "done":
            missing = f"not tried without {STEPS[0].name}"
        if missing:
            done.append(Installed(step.name, "failed", 0.0, missing))
            continue
        log = logs / f"install-{number}.log"
        words, environment = [*make, str(venv / step.target)], IMPATIENT | os.environ
        with log.open("w") as output:
            code = run(words, limit_s, output=output, errors=output, environment=environment)
        seconds = clock() - step_began
        if code == 0:
            done.append(Installed(step.name, "done", seconds))
            continue
        why = f"stopped after {seconds:.0f} s" if code is None else last_error(log.read_text(errors="replace"))
        done.append(Installed(step.name, "failed", seconds, f"{why} (see {log})"))
        print(f"installing {step.name}: {done[-1].why}", flush=True)
    return done


def last_error(text: str) -> str:
    """Pip's last error, or the first line that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("make")]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    told = [line for line in lines if re.search(r"\b(failed|cannot|could not)\b", line, re.IGNORECASE)]
    return (errors[-1:] or told[:1] or lines[-1:] or ["no message"])[0]


def interpreter(venv: Path) -> str | None:
    """The environment's Python, or, where it lacks what is essential, this one; None where both do."""
    for python in (str(venv / "bin" / "python"), sys.executable):
        if Path(python).exists() and subprocess.run([python, "-c", ESSENTIAL], capture_output=True).returncode == 0:
            return python
    return None


def install_and_go_on(script: Path, folder: Path, make: str, venv: Path, total_s: float) -> int:
    """Install, then the run itself with the interpreter that has everything; its exit code, or 2 where there is none."""
    began, logs = time.monotonic(), folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    done = install(make.split(), venv, logs, total_s)
    record = logs / "installation.json"
    record.write_text(json.dumps([asdict(one) for one in done]))
    python = interpreter(venv)
    if python is None:
        print(f"nothing can run without nilatron's packages: {done[0].why}", file=sys.stderr)
        return 2
    if done[0].outcome != "done":
        print(f"going on with {python} as it is", flush=True)
    words = [python, str(script), "-o", str(folder), "--installation", str(record)]
    sources = os.pathsep.join(filter(None, [str(script.parents[1] / "src"), os.environ.get("PYTHONPATH")]))
    left = [*words, "--limit-s", f"{total_s:.0f}", "--spent-s", f"{time.monotonic() - began:.1f}"]
    return subprocess.run(left, check=False, env={**os.environ, "PYTHONPATH": sources}).returncode
