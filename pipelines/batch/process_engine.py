"""Workers as processes of this machine, without a package beyond the standard library."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from nilatron.pipelines.batch import place
from nilatron.pipelines.batch.engine import Done, Event, Failed, Joined, Lost
from nilatron.pipelines.batch.estimate import budget_bytes
from nilatron.pipelines.batch.settings import Job, Limits

MACHINE = "this machine"


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    place: int


class ProcessEngine:
    """Engine of processes; each has a place, which sets its GPU.

    Parameters
    ----------
    limits
        Of the batch.
    device
        auto, cpu or cuda.
    """

    def __init__(self, limits: Limits, device: str) -> None:
        self._limits = limits
        self._gpus = place.gpu_ids(device) if limits.gpus_per_worker else []
        self.n_workers = limits.n_workers or max(1, place.n_workers(limits, place.n_processors(), len(self._gpus)))
        self._budget = budget_bytes(self.n_workers, limits.memory_bytes)
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, _Worker] = {}
        self._n_begun = 0
        for number in range(self.n_workers):
            self._begin(number)

    def start(self, worker: int, job: Job) -> None:
        """Give an idle worker a job; one that has just died will be lost."""
        try:
            self._workers[worker].connection.send(job)
        except OSError:
            return

    def kill(self, worker: int) -> None:
        """End a worker at once."""
        self._workers[worker].process.kill()

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """What workers have sent, and which have died."""
        numbers = {one.connection: number for number, one in self._workers.items()}
        return [
            self._event(numbers[ready]) for ready in wait(list(numbers), timeout_s) if isinstance(ready, Connection)
        ]

    def close(self) -> None:
        """End all workers at once."""
        for one in self._workers.values():
            one.process.kill()
        for one in self._workers.values():
            one.process.join()
            one.connection.close()
        self._workers.clear()

    def _begin(self, at: int) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=be_worker, args=(there,), daemon=True)
        with _environment(place.environment_of(at, self._limits, self._gpus)):
            process.start()
        there.close()  # so that the pipe ends with the worker
        self._workers[self._n_begun] = _Worker(process, here, at)
        self._n_begun += 1

    def _event(self, number: int) -> Event:
        one = self._workers[number]
        try:
            said = one.connection.recv()
        except (EOFError, OSError):
            one.process.join()
            one.connection.close()
            del self._workers[number]
            self._begin(one.place)
            return Lost(number, f"its worker {_how(one.process.exitcode)}")
        if said is None:
            return Joined(number, MACHINE, self._budget)
        return Failed(number, said) if isinstance(said, str) else Done(number, said)


def be_worker(connection: Connection) -> None:
    """Do what comes, until nobody sends any more; gone at once when the driver is."""
    place.settle()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal signals all: the driver decides who goes
        signal.signal(number, signal.SIG_IGN)
    os.dup2(2, 1)  # nothing that a library prints may end up in the driver's output
    connection.send(None)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(place.attempt(job))


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Block in which processes that are started have these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
