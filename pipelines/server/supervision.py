"""One worker: started, watched, and started again after a pause that doubles."""

from __future__ import annotations

import json
import logging
import socket
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from nilatron.pipelines.server.processes import start
from nilatron.pipelines.server.settings import ServeSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
BACKLOG = 128


@dataclass(frozen=True)
class Running:
    """A process and the pipe from it."""

    process: ForkServerProcess
    control: Connection


@dataclass
class SupervisedWorker:
    """The worker of one device, whichever process it is just now.

    Attributes
    ----------
    name, gpu
        For logs, and the GPU that it sees (None: as the environment has it).
    address
        Of the Unix socket where sessions wait for it, also while it is being started.
    ready, device, weights_sha256
        As it reported.
    unusable
        Why starting it again would not help.
    n_sessions
        That send their slices here.
    """

    name: str
    gpu: str | None
    address: Path
    settings: ServeSettings
    context: ForkServerContext
    ready: bool = False
    device: str = ""
    weights_sha256: str = ""
    unusable: str | None = None
    n_restarts: int = 0
    n_waiting: int = 0
    n_sessions: int = 0
    running: Running | None = None
    next_start_s: float = 0.0
    _pause_s: float = FIRST_PAUSE_S
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.address))
        self._listener.listen(BACKLOG)

    @property
    def due(self) -> bool:
        """Whether it should be started now."""
        return self.running is None and self.unusable is None and time.monotonic() >= self.next_start_s

    def start(self) -> None:
        """Start the process."""
        ours, theirs = self.context.Pipe()
        process = start(self.context, self.name, "worker", self._listener, theirs, self.settings, self.gpu)
        theirs.close()
        self.running = Running(process, ours)
        log.info("%s starts", self.name, extra={"fields": {"worker_pid": process.pid}})

    def hear(self, running: Running) -> dict[str, Any] | None:
        """Its next event; None when it has ended, which is seen to."""
        try:
            event: dict[str, Any] = json.loads(running.control.recv_bytes())
        except (EOFError, OSError):
            self._bury(running)
            return None
        self.n_waiting = event.get("waiting", self.n_waiting)
        if event["event"] == "ready":
            self.ready, self.device, self.weights_sha256 = True, event["device"], event["weights_sha256"]
        elif event["event"] == "unusable":
            self.unusable = event["reason"]
        elif event["event"] == "job":
            self._pause_s = FIRST_PAUSE_S
        return event

    def kill(self) -> None:
        """End it for good."""
        self._listener.close()
        self.address.unlink(missing_ok=True)
        if self.running is not None:
            self.running.process.kill()
            self.running.process.join()

    def _bury(self, running: Running) -> None:
        code = end(running)
        self.running = None
        self.ready, self.n_waiting = False, 0
        if self.unusable is not None:
            self._listener.close()  # sessions see at once that nobody is there
            self.address.unlink(missing_ok=True)
            log.error("%s cannot work: %s", self.name, self.unusable)
            return
        self.n_restarts += 1
        self.next_start_s = time.monotonic() + self._pause_s
        log.error("%s ended with code %s, is started again in %g s", self.name, code, self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def end(running: Running) -> int | None:
    """The exit code of a process that has closed its pipe; one that lives on nevertheless is killed."""
    running.process.join(1.0)
    code = running.process.exitcode
    if code is None:
        running.process.kill()
        running.process.join()
    running.process.close()
    running.control.close()
    return code
