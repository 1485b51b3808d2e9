"""The front: takes connections and watches sessions and workers. Parses nothing from the network, computes nothing."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any

from nilatron.core.errors import BadInputError
from nilatron.pipelines.chain.find import list_chains
from nilatron.pipelines.server.admission import Admission, Holding, free_bytes
from nilatron.pipelines.server.caller import close_empty, last_words
from nilatron.pipelines.server.devices import visible_gpus
from nilatron.pipelines.server.folders import temporary_folder
from nilatron.pipelines.server.health import HEALTH_HOST, Health, Metrics
from nilatron.pipelines.server.listening import Doors, listen, naming_the_port, raise_descriptors
from nilatron.pipelines.server.memory_desk import MemoryDesk
from nilatron.pipelines.server.openings import Openings, Silent, place_for
from nilatron.pipelines.server.places import Places
from nilatron.pipelines.server.processes import fork_context
from nilatron.pipelines.server.scans import Scan
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.server.supervision import ChildProcess, SupervisedWorker

log = logging.getLogger(__name__)

MAX_WAIT_S, SHORT_WAIT_S = 1.0, 0.2
STOP_S = 10.0  # for sessions to say so when they have to end
HURRY_S = 3.0  # for sessions to come to their end by themselves when their memory is wanted back
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Front:
    """The server. `run` it, `stop` it from a signal handler."""

    def __init__(self, settings: ServeSettings) -> None:
        limit_bytes = settings.memory_bytes or free_bytes()
        self.settings = replace(settings, memory_bytes=limit_bytes)
        self.context = fork_context()
        self.metrics = Metrics()
        self.memory = MemoryDesk(Admission(limit_bytes), self._answer_admission)
        self.scans: dict[int, Scan] = {}
        self.places = Places(self.scans, settings)
        self.workers: list[SupervisedWorker] = []
        self.doors = Doors()
        self.openings = Openings()
        self._numbers = itertools.count(1)
        self._last_words: list[Thread] = []  # to peers whose sessions could not tell them
        self._stop_at_s: float | None = None  # when the grace time is over

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
        raise_descriptors()
        with ExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            with naming_the_port("--port", self.settings.host, self.settings.port):
                self.doors.sockets = listen(self.settings.host, self.settings.port)
            stack.callback(self.doors.close)
            with naming_the_port("--health-port", HEALTH_HOST, self.settings.health_port):
                health = Health(self.settings.health_port, self.metrics, self.readiness_problems)
            stack.callback(health.close)
            self.wakeup = stack.enter_context(wake_by_signals())
            stack.callback(self._end_all)
            self.workers = self._make_workers(folder)
            for worker in self.workers:
                worker.start()
            self.metrics.memory_limit.set(self.memory.admission.limit_bytes)
            host, port = self.doors.sockets[0].getsockname()[:2]
            log.info("listening", extra={"fields": {"host": host, "port": port, "health_port": health.port}})
            while self._stop_at_s is None or self.scans:
                health.heartbeat()
                self._handle_events()
                self._check_workers()
            for thread in self._last_words:
                thread.join(STOP_S)
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
        if self.places.n_running >= self.settings.max_scans:
            problems.append(f"{self.places.n_running} scans are running, which is all that it takes")
        if self.memory.is_full:
            problems.append("the memory for scans is taken")
        if self.doors.paused:
            problems.append("the system has nothing left for another connection")
        return problems

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
        if self._stop_at_s is None and not self.doors.paused:
            sources |= {listener: partial(self._accept, listener) for listener in self.doors.sockets}
        begun = self.places.begun
        may_begin = [guest for guest in self.openings.silent.values() if place_for(guest.address, begun)[0]]
        sources |= {guest.sock: partial(self._begin, guest) for guest in may_begin}
        for scan in list(self.scans.values()):
            sources[scan.child.control] = partial(self._handle_scan_event, scan)
        for worker in self.workers:
            if worker.child is not None:
                sources[worker.child.control] = partial(self._handle_worker_event, worker, worker.child)
        is_crowded = self.doors.paused or bool(self.memory.waiting) or len(may_begin) < len(self.openings.silent)
        for source in wait(list(sources), SHORT_WAIT_S if is_crowded else MAX_WAIT_S):
            sources[source]()
        self._check_deadlines()
        self._share_memory()

    def _accept(self, listener: socket.socket) -> None:
        for accepted in self.doors.accept(listener):
            surplus = self.openings.add(Silent(*accepted))
            if surplus is not None:
                self._turn_away(surplus, "too many connections that say nothing")

    def _turn_away(self, guest: Silent, reason: str) -> None:
        self.openings.remove(guest)
        last_words(guest.sock, reason)
        self.metrics.scans.labels("refused").inc()

    def _begin(self, guest: Silent) -> None:
        """Start the session of a connection that has begun to speak."""
        if guest.hung_up:
            self.openings.remove(guest)
            close_empty(guest.sock)
            self.metrics.scans.labels("empty").inc()
            return
        has_place, dawdler = place_for(guest.address, self.places.begun)
        if not has_place:
            return
        if dawdler is not None:
            dawdler.kill("others wait, and no header came")
        try:
            scan = Scan.start(next(self._numbers), guest.sock, guest.address, self.context, self.settings)
        except OSError as error:  # it stays, for a better moment
            self.doors.pause(error)
            return
        self.openings.remove(guest)
        self.scans[scan.number] = scan
        log.info("connection", extra={"fields": {"scan": scan.number, "peer": guest.address}})

    def _handle_scan_event(self, scan: Scan) -> None:
        event = scan.read()
        if event is None:
            self._remove(scan)
        elif event["event"] == "opened":
            if event.get("failed"):
                self.places.leave(scan)
            scan.send({"refused": None if event.get("failed") else self.places.refusal(scan)})
        elif event["event"] == "failed":
            self.places.leave(scan)
        elif event["event"] == "admit":
            scan.n_expected = int(event.get("expected", scan.n_expected))
            holding = Holding(scan.address, int(event["bytes"]))
            self.memory.ask(scan.number, holding, more=bool(event.get("more")))
        self.metrics.active.set(self.places.n_running)

    def _answer_admission(self, number: int, refused: str | None) -> None:
        """Tell a scan whether it has the memory that it asked for, and who its worker is."""
        scan = self.scans[number]
        if scan.worker is None:
            usable = [worker for worker in self.workers if worker.unusable is None] or self.workers
            scan.worker = min(usable, key=lambda worker: worker.n_sessions)
            scan.worker.n_sessions += 1
        self.metrics.memory.set(self.memory.admission.used_bytes)
        scan.send({"refused": refused, "worker": str(scan.worker.address)})

    def _remove(self, scan: Scan) -> None:
        del self.scans[scan.number]
        self.memory.leave(scan.number)
        if scan.worker is not None:
            scan.worker.n_sessions -= 1
        code = scan.clean_up()
        self._last_words = [thread for thread in (*self._last_words, scan.last_word) if thread and thread.is_alive()]
        done = scan.summary()
        seconds = time.monotonic() - scan.began_s
        fields = {"scan": scan.number, **done, "seconds": round(seconds, 3), "code": code}
        fields = {name: value for name, value in fields.items() if name != "event" and value is not None}
        self.metrics.count(done, seconds)
        self.metrics.active.set(self.places.n_running)
        self.metrics.memory.set(self.memory.admission.used_bytes)
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
        for guest in self.openings.older_than(self.settings.opening_s):
            self._turn_away(guest, f"nothing came within {self.settings.opening_s:g} s")
        for scan in self.scans.values():
            if not scan.opened and now - scan.began_s > self.settings.opening_s:
                scan.kill(f"no configuration and header came within {self.settings.opening_s:g} s")
            elif self._stop_at_s is not None and now >= self._stop_at_s:
                scan.stop("the server is being stopped, and the grace time is over", STOP_S)
            elif now - scan.began_s > self.settings.max_scan_s:
                scan.stop(f"a scan may take {self.settings.max_scan_s:g} s (max_scan_s)", STOP_S)

    def _share_memory(self) -> None:
        """Let in who waits for memory, and have those that it was lent to give it back."""
        self.memory.let_in()
        for number in self.memory.to_reclaim():
            self.scans[number].give_back(HURRY_S, STOP_S)

    def _drain_wakeup(self) -> None:
        if signal.SIGUSR1 in self.wakeup.recv(4096):
            log.info("state", extra={"fields": self._state()})
        if self.doors.sockets and self._stop_at_s is not None:
            self.doors.close()
            for guest in list(self.openings.silent.values()):
                self._turn_away(guest, "the server is being stopped")
            log.info("stopping", extra={"fields": {"scans": len(self.scans)}})

    def _state(self) -> dict[str, Any]:
        """What SIGUSR1 shows."""
        return {
            "scans": self.places.n_running,
            "opening": len(self.places.begun),
            "silent": len(self.openings.silent),
            "refused": sum(scan.refused for scan in self.scans.values()),
            "memory_mib": self.memory.admission.used_bytes >> 20,
            "waiting_for_memory": len(self.memory.waiting),
            "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else None,
            "workers_ready": sum(worker.ready for worker in self.workers),
            "slices_waiting": sum(worker.n_waiting for worker in self.workers),
            "problems": self.readiness_problems(),
        }

    def _end_all(self) -> None:
        """End every child, however this ends: none outlives the front, or is waited for."""
        for scan in self.scans.values():
            scan.child.process.kill()
        for worker in self.workers:
            worker.kill()


def wake_by_signals() -> socket.socket:
    """A socket that becomes readable with every signal, and holds its number."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach(), warn_on_full_buffer=False)
    return ours


def serve(settings: ServeSettings) -> None:
    """Run the server until SIGTERM, SIGINT or SIGHUP (unless that is ignored, as under nohup); SIGUSR1 logs its state."""
    front = Front(settings)
    for number in STOP_SIGNALS:
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, lambda *_: front.stop())
    signal.signal(signal.SIGUSR1, lambda *_: None)  # it wakes the loop
    os.dup2(2, 1)
    front.run()
