"""The worker: one process a GPU, or one on the CPU, with the prior loaded and warm; sessions send it slices."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from nilatron.core.backend import Array
from nilatron.core.errors import BadInputError
from nilatron.core.prior.engines.settings import EngineSettings
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.recon import measurement_of
from nilatron.gadgets.device import to_device
from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.problem import Outcome, Problem
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.server import logs
from nilatron.pipelines.server.job_queue import CancelledError, Job, JobQueue
from nilatron.pipelines.server.jobs import (
    Arrays,
    budget_of,
    pack_outcome,
    receive_frame,
    send_frame,
    unpack_generator,
    unpack_settings,
)
from nilatron.pipelines.server.settings import ServeSettings
from nilatron.pipelines.server.wall import end_if_grown, limit_growth, resident_bytes, writable_bytes

log = logging.getLogger(__name__)

WARM_UP_SIZE = 64  # pixels
STUCK_S = 60.0  # at least as long has a slice been left alone, at most twice as long
SEND_TIMEOUT_S = 10  # a session that takes no images must not hold up the others
OUT_OF_MEMORY = (torch.cuda.OutOfMemoryError, MemoryError)


@dataclass
class Worker:
    """Reconstructs one slice after the other.

    Attributes
    ----------
    device, weights
        What with.
    report
        Takes events for the front.
    methods
        By target.
    engine
        That is made ready; a slice whose chain names another one gets that.
    """

    device: str
    weights: Path
    report: Callable[[dict[str, Any]], None]
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)
    engine: str = "torch"
    waiting: JobQueue = field(default_factory=JobQueue)
    job: Job | None = None  # being reconstructed

    def warm_up(self) -> str:
        """Load the prior and evaluate it once; returns the hash of its weights."""
        prior = prior_for(self.weights, self.device, EngineSettings(self.engine)).prior
        pixels = torch.zeros((1, 1, WARM_UP_SIZE, WARM_UP_SIZE), dtype=torch.complex64, device=self.device)
        prior.estimate(pixels, 0.1)
        return prior.sha256

    def receive(self, connection: Connection) -> None:
        """Take one slice from a session, queue it, and cancel it when the session hangs up (a thread for each)."""
        try:
            head, arrays = receive_frame(connection)
            job = job_of(head, arrays, connection)
            send_frame(connection, {"taken": True}, {})
            self.waiting.put(job)
            self.report({"event": "queued", "waiting": len(self.waiting)})
        except (EOFError, OSError, BadInputError) as error:
            log.warning("a slice did not arrive: %s", error)
            connection.close()
            return
        with connection:
            connection.poll(None)  # a session says nothing more: it hangs up
            job.cancelled.set()

    def work(self, job: Job) -> None:
        """Reconstruct one slice and answer; shorter ones that come meanwhile are done between its steps."""
        waited_s, started = time.monotonic() - job.arrived_s, time.perf_counter()
        outer, self.job = self.job, job
        self.report({"event": "begin", "waiting": len(self.waiting)})
        self._tell_begun(job)
        try:
            head, arrays = pack_outcome(self._outcome(job))
            result = "done"
        except CancelledError:
            head, arrays, result = {}, {}, "cancelled"
        except OUT_OF_MEMORY as error:
            head, arrays, result = {"error": f"out of memory twice: {error}"}, {}, "out of memory"
        except (RuntimeError, ArithmeticError, ValueError, LookupError, TypeError) as error:
            log.exception("a slice failed")
            head, arrays, result = {"error": f"{type(error).__name__}: {error}"}, {}, "failed"
        self.job = outer
        if head:
            try:
                send_frame(job.reply_to, head, arrays)
            except OSError:
                result = "cancelled"
        seconds = time.perf_counter() - started - job.held_s
        self.waiting.note(job, seconds)
        self.report(
            {"event": "job", "result": result, "seconds": seconds, "waited_s": waited_s, "waiting": len(self.waiting)}
        )

    def _tell_begun(self, job: Job) -> None:
        try:
            send_frame(job.reply_to, {"begun": True}, {})
        except OSError:
            job.cancelled.set()

    def _outcome(self, job: Job) -> Outcome:
        try:
            return self._reconstruct(job)
        except OUT_OF_MEMORY as error:
            log.warning("out of memory, once more with everything released: %s", error)
        if self.device != "cpu":
            torch.cuda.empty_cache()
        return self._reconstruct(job)

    def _reconstruct(self, job: Job) -> Outcome:
        job.check()
        job.steps_done = 0
        settings = reduced_budgets(unpack_settings(job.head), time.monotonic() - job.head["sent_s"])
        maps, counts, data, conventional = (
            to_device(job.arrays[name], self.device) for name in ("coil_maps", "counts", "data", "conventional")
        )
        generator = unpack_generator(job.head)
        problem = Problem(
            measurement_of(maps, counts),
            data,
            conventional,
            generator,
            self.device,
            self.weights,
            clock=job.clock,
            callback=partial(self._between_steps, job),
        )
        return self.methods[job.head["target"]].run(problem, settings)

    def _between_steps(self, job: Job, step: int, sigma: float, x: Array) -> None:
        """Let one shorter slice come between; end the slice where nobody waits for it or its time is over."""
        del step, sigma
        job.check()
        job.steps_done += int(x.shape[0]) if x.ndim == 4 else 1
        shorter = self.waiting.get_shorter(job)
        if shorter is None:
            return
        began_s = time.monotonic()
        self.work(shorter)
        job.held_s += time.monotonic() - began_s
        job.check()


def job_of(head: dict[str, Any], arrays: Arrays, reply_to: Connection) -> Job:
    """A slice as it came from a session.

    Raises
    ------
    BadInputError
        For settings that its target does not have.
    """
    settings = unpack_settings(head)
    budget_s = budget_of(settings)
    return Job(
        head,
        arrays,
        bool(head.get("live", True)),
        reply_to,
        scan=int(head.get("scan", 0)),
        n_steps=int(getattr(settings, "evaluations", 1)),
        deadline_s=None if math.isinf(budget_s) else head["sent_s"] + budget_s,
    )


def reduced_budgets(settings: Any, waited_s: float) -> Any:
    """The settings with what the wait has left of their budgets.

    Raises
    ------
    RuntimeError
        When that is nothing.
    """
    names = [name for name in ("slice_budget_s", "scan_budget_s") if getattr(settings, name, 0.0)]
    left = {name: getattr(settings, name) - waited_s for name in names}
    if any(value <= 0 for value in left.values()):
        raise RuntimeError(f"no time left after {waited_s:.2f} s in the queue of the worker")
    return dataclasses.replace(settings, **left)


def main(listener: socket.socket, control: Connection, settings: ServeSettings, gpu: str | None) -> None:
    """Be the worker of one device, for ever.

    Parameters
    ----------
    listener
        Where sessions connect; the front has it as well, so that they wait in it while a worker starts.
    control
        Events to the front.
    settings
        Of the server.
    gpu
        The only GPU that this process sees; None leaves it as it is.
    """
    logs.configure("worker", as_json=settings.log_json, verbose=settings.verbose)
    lock = threading.Lock()

    def report(event: dict[str, Any]) -> None:
        with lock:
            control.send_bytes(json.dumps(event).encode())

    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
        logs.add_fields(gpu=gpu)
    threading.Thread(target=end_with_front, args=(control,), name="front", daemon=True).start()
    started = time.perf_counter()
    try:
        weights, engine = settings.weights or DEFAULT_WEIGHTS, settings.engine or "torch"
        worker = Worker(resolve_device(settings.device), weights, report, engine=engine)
        sha256 = worker.warm_up()
    except BadInputError as error:
        report({"event": "unusable", "reason": str(error)})
        return
    if settings.memory_bytes is not None and worker.device == "cpu":
        limit_growth(writable_bytes(), settings.memory_bytes)
    elif settings.memory_bytes is not None:  # drivers map the memory of devices, too
        grown = resident_bytes(), settings.memory_bytes
        threading.Thread(target=end_if_grown, args=grown, name="wall", daemon=True).start()
    log.info("worker is ready on %s after %.1f s", worker.device, time.perf_counter() - started)
    report({"event": "ready", "device": worker.device, "weights_sha256": sha256})
    threading.Thread(target=accept_sessions, args=(listener, worker), name="listener", daemon=True).start()
    threading.Thread(target=end_if_stuck, args=(worker,), name="watchdog", daemon=True).start()
    while True:
        if (job := worker.waiting.get()) is not None:
            worker.work(job)


def accept_sessions(listener: socket.socket, worker: Worker) -> None:
    """Start a thread for every session that connects."""
    listener.setblocking(True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0))
        connection = Connection(sock.detach())
        threading.Thread(target=worker.receive, args=(connection,), name="slice", daemon=True).start()


def end_with_front(control: Connection) -> None:
    """End the process when the front is gone, which never says anything here."""
    try:
        control.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def end_if_stuck(worker: Worker) -> None:
    """End the process when a slice that nobody waits for does not stop: its device hangs, and a new process may help."""
    while True:
        job = worker.job
        time.sleep(STUCK_S)
        if job is not None and job is worker.job and job.cancelled.is_set():
            log.error("a cancelled slice does not stop; the worker ends, to be started again")
            os._exit(1)
