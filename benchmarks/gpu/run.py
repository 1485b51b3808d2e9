"""A run: section after section, each in its process and its time, and the report written after each."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpu.document import Document
from gpu.findings import read_findings
from gpu.sections import Ended, Section
from limited import run_limited

BENCHMARKS = Path(__file__).resolve().parents[1]
ERROR = re.compile(r"[\w.]*(Error|Exception|Exit)\b|Fatal Python error")

Start = Callable[[Section, float], tuple[int | None, str, dict[str, Any]]]
"""Runs a section for so many seconds: its exit code (None: stopped), what its log says of it, what it found."""


def run_sections(
    sections: Sequence[Section],
    total_s: float,
    document: Document,
    start: Start,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """One after the other, as long as there is time; nothing that a section does ends the run."""
    began = clock()
    for section in sections:
        left_s, section_began = total_s - (clock() - began), clock()
        if left_s < section.least_s:
            ended = Ended("not begun", 0.0, f"{max(left_s, 0):.0f} s were left")
        else:
            limit_s = min(section.limit_s, left_s)
            code, told, found = start(section, limit_s)
            outcome, why = ("stopped", f"after {limit_s:.0f} s") if code is None else ("done", "")
            if code:
                outcome, why = "failed", reason(code, told)
            ended = Ended(outcome, clock() - section_began, why, found)
        document.add(section, ended)
        print(f"{section.title:28} {ended.outcome:9} {ended.seconds:6.1f} s  {ended.why}", flush=True)


def in_own_process(command: Sequence[str], folder: Path) -> Start:
    """Sections started as `command --section NAME --limit-s S`, their logs and findings in `folder`."""

    def start(section: Section, limit_s: float) -> tuple[int | None, str, dict[str, Any]]:
        result, log = folder / f"{section.name}.json", folder / f"{section.name}.log"
        result.unlink(missing_ok=True)
        words = [*command, "--section", section.name, "--limit-s", f"{limit_s:.1f}"]
        sources = (str(BENCHMARKS.parent / "src"), str(BENCHMARKS), os.environ.get("PYTHONPATH"))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sources)),
            "PYTHONFAULTHANDLER": "1",
        }
        with log.open("w") as output:
            code = run_limited(words, limit_s, output=output, errors=output, environment=environment)
        return code, last_words(log.read_text(errors="replace")), read_findings(result)

    return start


def last_words(log: str) -> str:
    """The last line that begins with the name of an error; else the last one at all."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if ERROR.match(line)), lines[-1] if lines else "")


def reason(code: int, told: str) -> str:
    """Exit code, or the signal that ended the process, and what was told."""
    how = f"exit code {code}"
    if code < 0:
        how = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"{how}: {told}" if told else how


def command_of(script: Path, folder: Path, device: str, tiny: bool) -> list[str]:
    """What starts a section."""
    return [sys.executable, str(script), "-o", str(folder), "--device", device, *(["--tiny"] if tiny else [])]
