"""Drives an engine until every job has its row."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from nilatron.pipelines.batch.driver import Driver
from nilatron.pipelines.batch.engine import Done, Engine, Event, Failed, Joined
from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import Job

LONGEST_WAIT_S = 1.0  # so that progress and signals are seen to


def drive(
    driver: Driver,
    workers: AbstractContextManager[Engine],
    take: Callable[[Row], None],
    tidy: Callable[[Job], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run until the driver is finished.

    Parameters
    ----------
    workers
        Are started when a job needs one, and end with the last one.
    take
        Called with every row, as it comes.
    tidy
        Called with the job of a worker that has died.

    Raises
    ------
    WorkersError
        When workers die without a job, again and again.
    """
    while not driver.needs_workers():
        _hand_on(driver, take)
        if driver.finished:
            return
    with workers as engine:
        driver.n_workers = engine.n_workers
        _drive(driver, engine, take, tidy, clock)


def _drive(
    driver: Driver,
    engine: Engine,
    take: Callable[[Row], None],
    tidy: Callable[[Job], None],
    clock: Callable[[], float],
) -> None:
    while True:
        for worker, job in driver.starts(clock()):
            engine.start(worker, job)
        has_more = _hand_on(driver, take)  # prepared without a worker, and perhaps not the last ones
        if driver.finished:
            return
        for worker in driver.overdue(clock()):
            engine.kill(worker)
        patience_s = 0.0 if has_more else min(LONGEST_WAIT_S, driver.next_deadline_s() - clock())
        for event in engine.wait(max(0.0, patience_s)):
            _tell(driver, event, tidy)
        _hand_on(driver, take)


def _hand_on(driver: Driver, take: Callable[[Row], None]) -> bool:
    """Hand on the rows that are there; whether there were any."""
    had_rows = bool(driver.rows)
    while driver.rows:
        take(driver.rows.popleft())
    return had_rows


def _tell(driver: Driver, event: Event, tidy: Callable[[Job], None]) -> None:
    if isinstance(event, Joined):
        driver.joined(event.worker, event.machine, event.limit_bytes)
    elif isinstance(event, Done):
        driver.done(event.worker, event.row)
    elif isinstance(event, Failed):
        driver.failed(event.worker, event.why)
    elif (job := driver.lost(event.worker, event.why)) is not None:
        tidy(job)
