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

MIN_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
BACKLOG = 128


@dataclass(frozen=True)
class ChildProcess:
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
    child: ChildProcess | None = None
    next_start_s: float = 0.0
    _pause_s: float = MIN_PAUSE_S
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.address))
        self._listener.listen(BACKLOG)

    @property
    def due(self) -> bool:
        """Whether it should be started now."""
        return self.child is None and self.unusable is None and time.monotonic() >= self.next_start_s

    def start(self) -> None:
        """Start the process."""
        try:
            ours, theirs = self.context.Pipe()
            with theirs:
                process = start(self.context, self.name, "worker", self._listener, theirs, self.settings, self.gpu)
        except OSError as error:
            self.next_start_s = time.monotonic() + self._pause_s
            log.error("%s cannot be started just now: %s", self.name, error)
            return
        self.child = ChildProcess(process, ours)
        log.info("%s starts", self.name, extra={"fields": {"worker_pid": process.pid}})

    def receive(self, child: ChildProcess) -> dict[str, Any] | None:
        """Its next event; None when it has ended, which is seen to."""
        try:
            event: dict[str, Any] = json.loads(child.control.recv_bytes())
        except (EOFError, OSError):
            self._remove(child)
            return None
        self.n_waiting = event.get("waiting", self.n_waiting)
        if event["event"] == "ready":
            self.ready, self.device, self.weights_sha256 = True, event["device"], event["weights_sha256"]
        elif event["event"] == "unusable":
            self.unusable = event["reason"]
        elif event["event"] == "job":
            self._pause_s = MIN_PAUSE_S
        return event

    def kill(self) -> None:
        """End it for good."""
        self._listener.close()
        self.address.unlink(missing_ok=True)
        if self.child is not None:
            self.child.process.kill()
            self.child.process.join()

    def _remove(self, child: ChildProcess) -> None:
        code = reap(child)
        self.child = None
        self.ready, self.n_waiting = False, 0
        if self.unusable is not None:
            self._listener.close()  # sessions see at once that nobody is there
            self.address.unlink(missing_ok=True)
            log.error("%s cannot work: %s", self.name, self.unusable)
            return
        self.n_restarts += 1
        self.next_start_s = time.monotonic() + self._pause_s
        log.error("%s ended with code %s, is started again in %g s", self.name, code, self._pause_s)
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)


def reap(child: ChildProcess) -> int | None:
    """The exit code of a process that has closed its pipe; one that lives on nevertheless is killed."""
    child.process.join(1.0)
    code = child.process.exitcode
    if code is None:
        child.process.kill()
        child.process.join()
    child.process.close()
    child.control.close()
    return code
