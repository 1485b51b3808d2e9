"""A run of the tests says every few seconds how far it is, and about how long it will take yet."""

from __future__ import annotations

import time

import pytest

EVERY_S = 10.0
DURATIONS = "nilatron/run_s"  # in pytest's cache: how long a run of so many tests took the last time, in seconds


class Progress:
    """Lines between pytest's own."""

    def __init__(self, session: pytest.Session, reporter: pytest.TerminalReporter) -> None:
        self.session, self.reporter = session, reporter
        self.cache: pytest.Cache | None = getattr(session.config, "cache", None)
        self.began_s = self.said_s = 0.0
        self.n_done = 0

    def pytest_runtest_logstart(self) -> None:
        """Begin with the first test: before it tests were collected."""
        self.began_s = self.began_s or time.monotonic()
        self.said_s = self.said_s or self.began_s

    def pytest_runtest_logfinish(self) -> None:
        """Count a test."""
        self.n_done += 1
        now_s = time.monotonic()
        if now_s - self.said_s >= EVERY_S:
            self.said_s = now_s
            behind_dots = "" if self.reporter.currentfspath else "\n"  # which the reporter takes for a whole line
            self.reporter.write_line(behind_dots + self.line(now_s - self.began_s))

    def pytest_sessionfinish(self) -> None:
        """Keep the time of a whole run."""
        if self.cache and self.n_done and self.n_done == self.session.testscollected:
            elapsed_s = round(time.monotonic() - self.began_s, 1)
            self.cache.set(DURATIONS, self.known() | {str(self.n_done): elapsed_s})

    def known(self) -> dict[str, float]:
        """Seconds by number of tests."""
        return dict(self.cache.get(DURATIONS, {})) if self.cache else {}

    def line(self, elapsed_s: float) -> str:
        """Share and times; a run takes as long as the last one, else as if all its tests took the same time."""
        n_tests = max(self.session.testscollected, self.n_done)
        whole_s = self.known().get(str(n_tests), 0.0)
        if whole_s <= elapsed_s:
            whole_s = elapsed_s * n_tests / self.n_done
        share = f"{self.n_done} of {n_tests} tests ({100 * self.n_done // n_tests} %)"
        return f"{share} in {minutes(elapsed_s)}, about {minutes(whole_s - elapsed_s)} to go"


def minutes(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to count, in the process that reports."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(session.config, "workerinput"):  # a worker of pytest-xdist reports to another process
        session.config.pluginmanager.register(Progress(session, reporter), "progress of the run")
