"""The front: takes connections and watches sessions and workers. Parses nothing from the network, computes nothing."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from nilatron.core.errors import BadInputError
from nilatron.pipelines.chain.find import list_chains
from nilatron.pipelines.server.admission import Admission, free_bytes
from nilatron.pipelines.server.devices import visible_gpus
from nilatron.pipelines.server.health import HEALTH_HOST, Health, Metrics
from nilatron.pipelines.server.processes import fork_context
from nilatron.pipelines.server.scans import Scan
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.server.supervision import ChildProcess, SupervisedWorker

log = logging.getLogger(__name__)

MAX_WAIT_S = 1.0
BACKLOG = 128
MAX_REFUSALS = 32  # at once; what comes beyond them is closed without a word
STOP_S = 10.0  # for sessions to say so when the grace time is over


class Front:
    """The server. `run` it, `stop` it from a signal handler."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.context = fork_context()
        self.metrics = Metrics()
        self.admission = Admission(settings.memory_bytes or free_bytes())
        self.scans: dict[int, Scan] = {}
        self.workers: list[SupervisedWorker] = []
        self.listeners: list[socket.socket] = []
        self._numbers = itertools.count(1)
        self._stop_at_s: float | None = None  # when the grace time is over
        self._stop_sent = False

    def run(self) -> None:
        """Serve until `stop`, and until the scans that ran then have ended.

        Raises
        ------
        PortError
            When a port cannot be had.
        BadInputError
            For settings under which no worker and no chain can be had.
        """
        list_chains(self.settings.config_dirs)  # raises where a folder is missing
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nilatron-")))
            with naming_the_port("--port", self.settings.host, self.settings.port):
                self.listeners = listen(self.settings.host, self.settings.port)
            stack.callback(self._close_listeners)
            with naming_the_port("--health-port", HEALTH_HOST, self.settings.health_port):
                health = Health(self.settings.health_port, self.metrics, self.readiness_problems)
            stack.callback(health.close)
            self.wakeup = stack.enter_context(wake_by_signals())
            self.workers = self._make_workers(folder)
            for worker in self.workers:
                worker.start()
            self.metrics.memory_limit.set(self.admission.limit_bytes)
            host, port = self.listeners[0].getsockname()[:2]
            log.info("listening", extra={"fields": {"host": host, "port": port, "health_port": health.port}})
            stack.callback(self._end_all)
            while self._stop_at_s is None or self.scans:
                health.heartbeat()
                self._handle_events()
                self._check_workers()
        log.info("ended")

    def stop(self) -> None:
        """Take no more scans, let those that run end within the grace time."""
        if self._stop_at_s is None:
            self._stop_at_s = time.monotonic() + self.settings.grace_s

    def readiness_problems(self) -> list[str]:
        """Why a scan should not be sent here now."""
        problems = ["it is being stopped"] if self._stop_at_s is not None else []
        if not any(worker.ready for worker in self.workers):
            reasons = [worker.unusable for worker in self.workers if worker.unusable]
            problems.append("no worker is ready" + (f": {reasons[0]}" if reasons else ""))
        if self.n_running >= self.settings.max_scans:
            problems.append(f"{self.n_running} scans are running, which is all that it takes")
        return problems

    @property
    def n_running(self) -> int:
        """Scans that run, without those that are only told that there are too many."""
        return sum(not scan.refused for scan in self.scans.values())

    def _make_workers(self, folder: Path) -> list[SupervisedWorker]:
        gpus = visible_gpus(self.settings.device)
        names: list[str | None] = [*gpus] if gpus else [None]
        return [
            SupervisedWorker(f"worker {n}", gpu, folder / f"worker{n}", self.settings, self.context)
            for n, gpu in enumerate(names)
        ]

    def _check_workers(self) -> None:
        """Give up at once where none can ever work: that is how it was called, not something that happened to it."""
        reasons = [worker.unusable for worker in self.workers if not worker.weights_sha256]
        if len(reasons) == len(self.workers) and all(reasons):
            raise BadInputError(f"no worker can be started: {reasons[0]}")

    def _handle_events(self) -> None:
        """Wait for something to happen, and see to it."""
        for worker in self.workers:
            if worker.due:
                worker.start()
        sources: dict[Any, Any] = {self.wakeup: self._drain_wakeup}
        if self._stop_at_s is None:
            sources |= {listener: partial(self._accept, listener) for listener in self.listeners}
        for scan in list(self.scans.values()):
            sources[scan.child.control] = partial(self._handle_scan_event, scan)
        for worker in self.workers:
            if worker.child is not None:
                sources[worker.child.control] = partial(self._handle_worker_event, worker, worker.child)
        for source in wait(list(sources), MAX_WAIT_S):
            sources[source]()
        self._check_deadlines()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:
            log.warning("a connection was lost while it was accepted: %s", error)
            return
        n_scans = self.n_running
        if len(self.scans) - n_scans >= MAX_REFUSALS:
            sock.close()
            self.metrics.scans.labels("refused").inc()
            return
        refusal = None
        if n_scans >= self.settings.max_scans:
            refusal = f"refused: {n_scans} scans are running, which is all that this server takes; try again later"
        number = next(self._numbers)
        self.scans[number] = Scan.start(number, sock, self.context, self.settings, refusal)
        self.metrics.active.set(self.n_running)
        log.info("connection", extra={"fields": {"scan": number, "peer": str(address[0]), "refused": bool(refusal)}})

    def _handle_scan_event(self, scan: Scan) -> None:
        event = scan.read()
        if event is None:
            self._remove(scan)
        elif event["event"] == "admit":
            scan.n_expected = int(event.get("expected", 0))
            refused = self.admission.admit(scan.number, int(event["bytes"]))
            usable = [worker for worker in self.workers if worker.unusable is None] or self.workers
            scan.worker = min(usable, key=lambda worker: worker.n_sessions)
            scan.worker.n_sessions += 1
            self.metrics.memory.set(self.admission.used_bytes)
            scan.send({"refused": refused, "worker": str(scan.worker.address)})

    def _remove(self, scan: Scan) -> None:
        del self.scans[scan.number]
        self.admission.release(scan.number)
        if scan.worker is not None:
            scan.worker.n_sessions -= 1
        code = scan.clean_up()
        done = scan.summary()
        seconds = time.monotonic() - scan.began_s
        fields = {"scan": scan.number, **done, "seconds": round(seconds, 3), "code": code}
        fields = {name: value for name, value in fields.items() if name != "event" and value is not None}
        self.metrics.scans.labels(done["outcome"]).inc()
        self.metrics.scan_seconds.observe(seconds)
        self.metrics.images.inc(done.get("images", 0))
        self.metrics.missing.inc(max(0, done.get("expected", 0) - done.get("images", 0)))
        self.metrics.fall_backs.inc(done.get("fall_backs", 0))
        self.metrics.active.set(self.n_running)
        self.metrics.memory.set(self.admission.used_bytes)
        log.log(logging.ERROR if done["outcome"] == "died" else logging.INFO, "scan ended", extra={"fields": fields})

    def _handle_worker_event(self, worker: SupervisedWorker, child: ChildProcess) -> None:
        event = worker.receive(child)
        if event is None:
            self.metrics.worker_restarts.labels(worker.name).inc()
        elif event["event"] == "job":
            self.metrics.slices.labels(event["result"]).inc()
            self.metrics.slice_seconds.observe(event["seconds"])
            self.metrics.slice_waits.observe(event["waited_s"])
        self.metrics.worker_up.labels(worker.name).set(worker.ready)
        self.metrics.working.labels(worker.name).set(event is not None and event["event"] == "begin")
        self.metrics.waiting.labels(worker.name).set(worker.n_waiting)

    def _check_deadlines(self) -> None:
        now = time.monotonic()
        for scan in self.scans.values():
            if not scan.opened and now - scan.began_s > self.settings.opening_s:
                scan.kill(f"no configuration and header came within {self.settings.opening_s:g} s")
        if self._stop_at_s is None or now < self._stop_at_s:
            return
        for scan in self.scans.values():
            if not self._stop_sent:
                scan.send({"stop": "the server is being stopped, and the grace time is over"})
            elif now > self._stop_at_s + STOP_S:
                scan.kill("the server is being stopped, and the grace time is over")
        self._stop_sent = True

    def _drain_wakeup(self) -> None:
        self.wakeup.recv(4096)
        if self.listeners and self._stop_at_s is not None:
            self._close_listeners()
            log.info("stopping", extra={"fields": {"scans": len(self.scans)}})

    def _close_listeners(self) -> None:
        while self.listeners:
            self.listeners.pop().close()

    def _end_all(self) -> None:
        for worker in self.workers:
            worker.kill()


def listen(host: str, port: int) -> list[socket.socket]:
    """The sockets where scans come in: one, and for loopback or all addresses that of the other IP version if there is one.

    Gadgetron's `<connect>` tries nothing but the first address of a name, which for localhost may be ::1.

    Raises
    ------
    OSError
        When the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    first = socket.create_server((host, port), family=family, backlog=BACKLOG)
    beside = {"127.0.0.1": "::1", "localhost": "::1", "0.0.0.0": "::"}.get(host)  # noqa: S104 - only if asked for
    if beside is None or not socket.has_ipv6:
        return [first]
    try:
        address = (beside, first.getsockname()[1])
        return [first, socket.create_server(address, family=socket.AF_INET6, backlog=BACKLOG)]
    except OSError as error:
        log.warning("not listening at %s as well: %s", beside, error)
        return [first]


class PortError(RuntimeError):
    """A port that cannot be had; the text names it and the option that chooses it."""


@contextmanager
def naming_the_port(option: str, host: str, port: int) -> Iterator[None]:
    """Turn the OSError of a listening socket into a `PortError`."""
    try:
        yield
    except OSError as error:
        reason = "in use, maybe by another server" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise PortError(f"cannot serve at {host}, port {port} ({option}): {reason}") from error


def wake_by_signals() -> socket.socket:
    """A socket that becomes readable with every signal."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    return ours


def serve(settings: ServeSettings) -> None:
    """Run the server until SIGTERM or SIGINT."""
    front = Front(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: front.stop())
    os.dup2(2, 1)
    front.run()
