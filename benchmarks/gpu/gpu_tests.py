"""The tests that are marked `gpu`, each kept as soon as it has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpu.findings import Findings
from gpu.size import Size

ROOT = Path(__file__).resolve().parents[2]
LAST = "tensorrt"  # its tests build engines: what is left of the time


class Recorder:
    """Keeps the outcome of every test (a plugin of pytest)."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self.n_bad = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The call of a test, or a preparation that failed or was skipped."""
        if report.when != "call" and report.outcome == "passed":
            return
        why = "" if report.outcome == "passed" else reason(report)
        self._keep(report.nodeid, report.outcome, why, report.duration)
        if report.outcome == "skipped":
            self._found.leave_out(report.nodeid.partition("::")[0], why)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected."""
        if report.outcome == "failed":
            self._keep(report.nodeid, "failed", reason(report), 0.0)

    def _keep(self, name: str, outcome: str, why: str, seconds: float) -> None:
        self.n_bad += outcome == "failed"
        self._found.add_row("Tests", {"test": name, "outcome": outcome, "seconds": seconds, "": why})


def reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, or the last line of its error."""
    told = report.longrepr
    text = told[2].removeprefix("Skipped: ") if isinstance(told, tuple) else report.longreprtext
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines() or [""]
    return lines[-1].removeprefix("E ").strip().replace("|", "/")


def measure(found: Findings, device: str, size: Size) -> None:  # noqa: ARG001 - of all sections
    """Run them; a bar that none has failed."""
    files = files_with_gpu_tests(ROOT / "tests")
    os.chdir(ROOT)
    recorder = Recorder(found)
    code = pytest.main(["-m", "gpu", "-p", "no:cacheprovider", *map(str, files)], plugins=[recorder])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not recorder.n_bad:
        raise RuntimeError(f"pytest ended with {code!r}")
    found.judge("tests that failed", recorder.n_bad, 0)


def files_with_gpu_tests(folder: Path) -> list[Path]:
    """Those that hold the marker, long ones last; collecting all the others would take half a minute."""
    files = [path for path in folder.rglob("test_*.py") if "@pytest.mark.gpu\n" in path.read_text()]
    return sorted(files, key=lambda path: (LAST in path.name, path))
