"""What a driver needs of workers, wherever they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import Job


@dataclass(frozen=True)
class Joined:
    """A worker is there: on which machine, and what memory for files that has."""

    worker: int
    machine: str
    limit_bytes: int


@dataclass(frozen=True)
class Done:
    """A worker has the row of its job."""

    worker: int
    row: Row


@dataclass(frozen=True)
class Failed:
    """A worker has failed, in a way that may pass."""

    worker: int
    why: str


@dataclass(frozen=True)
class Lost:
    """A worker has died."""

    worker: int
    why: str


Event = Joined | Done | Failed | Lost


class Engine(Protocol):
    """Workers, by number; one that dies is lost, and another one joins."""

    @property
    def n_workers(self) -> int:
        """How many there will be at once."""

    def start(self, worker: int, job: Job) -> None:
        """Give an idle worker a job."""

    def kill(self, worker: int) -> None:
        """End a worker at once; it is lost."""

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """What has happened; waits for something to happen for so long, at most."""

    def close(self) -> None:
        """End all workers."""
