"""The reconstructions with a prior, done by the worker: a session takes them for the methods of the same name."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Client, Connection
from typing import Any

from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.problem import Outcome, Problem
from nilatron.pipelines.server.jobs import budget_of, pack_problem, receive_frame, send_frame, unpack_outcome

log = logging.getLogger(__name__)

WITH_PRIOR = ("nila", "nila_published")
_LOOK_S = 0.2  # between looks at the scanner while the worker works


class WorkerLostError(RuntimeError):
    """The worker did not answer."""


@dataclass(frozen=True)
class WorkerClient:
    """The way from one session to its worker.

    Attributes
    ----------
    address
        Unix socket.
    wait_s
        Longest wait until the worker has taken the slice on, in seconds.
    queue_wait_s
        Longest wait in its queue, in seconds.
    scan
        Number of the scan.
    live
        Whether the scan is still being acquired.
    gone
        Why the image of the worker is not waited for any more, None as long as it is.
    """

    address: str
    wait_s: float
    live: Callable[[], bool]
    gone: Callable[[], Exception | None]
    queue_wait_s: float = math.inf
    scan: int = 0

    def methods(self) -> Mapping[str, Method]:
        """All reconstructions by name; the worker does those with a prior."""
        return METHODS | {
            target: replace(METHODS[target], run=partial(self.run, target), run_batch=None) for target in WITH_PRIOR
        }

    def run(self, target: str, problem: Problem, settings: Any) -> Outcome:
        """The images of one slice, within the budgets of its settings.

        Raises
        ------
        WorkerLostError
            When the worker is not there, dies, or takes too long.
        RuntimeError
            When it failed; the text says why.
        """
        budget_s, started = budget_of(settings), time.monotonic()
        head, arrays = pack_problem(target, problem, settings)
        try:
            with Client(self.address, "AF_UNIX") as connection:
                send_frame(connection, {**head, "live": self.live(), "sent_s": started, "scan": self.scan}, arrays)
                self._wait(connection, min(self.wait_s, budget_s), started, "did not take the slice")
                receive_frame(connection)
                taken = time.monotonic()
                self._wait(
                    connection, min(self.queue_wait_s, budget_s - taken + started), taken, "did not begin the slice"
                )
                receive_frame(connection)
                self._wait(connection, budget_s, started, "did not finish the slice")
                head, arrays = receive_frame(connection)
        except (EOFError, OSError) as error:
            raise WorkerLostError(f"the worker was lost ({type(error).__name__})") from error
        return unpack_outcome(head, arrays)

    def _wait(self, connection: Connection, limit_s: float, started: float, what: str) -> None:
        while not connection.poll(_LOOK_S):
            problem = self.gone()
            if problem is not None:
                raise problem
            if time.monotonic() - started > limit_s:
                raise WorkerLostError(f"the worker {what} within {limit_s:g} s")
