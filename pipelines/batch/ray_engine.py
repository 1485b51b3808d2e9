"""Workers as actors on Ray: a Ray of its own on this machine, or a cluster.

A Ray of its own is quiet, tells nobody of its use and takes a new token from every connection. It ends with this process.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from nilatron.core.errors import BadInputError
from nilatron.pipelines.batch import place
from nilatron.pipelines.batch.driver import WorkersError
from nilatron.pipelines.batch.engine import Done, Event, Failed, Joined, Lost
from nilatron.pipelines.batch.estimate import WORKER_BYTES
from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import Job, Limits
from nilatron.pipelines.server.admission import free_bytes

ADDRESS = "RAY_ADDRESS"
OBJECTS_BYTES = 80 << 20  # for objects: jobs and rows, no images
STARTS = 3  # tries to start a Ray of its own: on a busy machine Ray's patience of 30 s is not enough
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_LOG_TO_DRIVER": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what the daemons say of a worker's death would go to our output
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else addresses are those of the network, not of this machine
}


class RayWorker:
    """What an actor does; Ray calls its methods in another process, perhaps on another machine."""

    def __init__(self) -> None:
        place.settle()

    def hello(self) -> tuple[str, int]:
        """The machine, and its free memory."""
        return os.uname().nodename, free_bytes()

    def attempt(self, job: Job) -> Row | str:
        """The row of a job, or why it failed in a way that may pass."""
        return place.attempt(job)


class RayEngine:
    """Engine of Ray actors.

    Parameters
    ----------
    limits
        Of the batch.
    address
        "auto" for RAY_ADDRESS, or where that is not set a Ray of its own; else of a cluster.

    Raises
    ------
    BadInputError
        When Ray is not installed, or no machine of the cluster has room for a worker.
    ConnectionError
        When there is no cluster at the address.
    """

    def __init__(self, limits: Limits, address: str) -> None:
        self._limits, self._folder = limits, ""
        address = os.environ.get(ADDRESS, "local") if address == "auto" else address
        self._ray = _imported(is_own=address == "local")
        self._connect_patiently(address)
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        rooms = [place.n_workers(limits, one.get("CPU", 0.0), one.get("GPU", 0.0)) for one in machines]
        if not sum(rooms):
            self.close()
            raise BadInputError(
                f"no machine of the cluster has {limits.cpus_per_worker} processors and {limits.gpus_per_worker or 0:g} GPUs "
                "for a worker"
            )
        self.n_workers = limits.n_workers or sum(rooms)
        self._n_together = -(-self.n_workers // max(1, len(machines)))
        # Ray sets OMP_NUM_THREADS to the processors of an actor
        self._kind = self._ray.remote(
            num_cpus=limits.cpus_per_worker, num_gpus=limits.gpus_per_worker, max_restarts=0, max_task_retries=0
        )(RayWorker)
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, int] = {}  # what is awaited, of which worker
        self._n_begun = 0
        for _ in range(self.n_workers):
            self._begin()

    def start(self, worker: int, job: Job) -> None:
        """Give an idle worker a job."""
        self._calls[self._actors[worker].attempt.remote(job)] = worker

    def kill(self, worker: int) -> None:
        """End a worker at once."""
        self._ray.kill(self._actors[worker], no_restart=True)

    def wait(self, timeout_s: float) -> Sequence[Event]:
        """What workers have answered, and which have died."""
        try:
            ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=timeout_s)
            if ready:  # and all others that are ready, too
                ready, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
            return [self._event(call) for call in ready]
        except self._ray.exceptions.RaySystemError as error:
            raise WorkersError(f"Ray has failed: {error}") from error

    def close(self) -> None:
        """End all workers, and a Ray of its own."""
        for actor in getattr(self, "_actors", {}).values():
            self._ray.kill(actor, no_restart=True)
        self._ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _connect_patiently(self, address: str) -> None:
        for start in range(STARTS):
            try:
                self._connect(address)
                return
            except Exception as error:  # Ray has nothing narrower for daemons that are slow to start
                self.close()
                if start == STARTS - 1 or address != "local":
                    where = "on this machine; --ray off does without" if address == "local" else f"at {address}"
                    raise ConnectionError(f"no Ray {where}: {first_line(error)}") from error

    def _connect(self, address: str) -> None:
        quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "configure_logging": False, "log_to_driver": False}
        if address != "local":
            self._ray.init(address=address, **quiet)
            return
        self._folder = tempfile.mkdtemp(prefix="ray-")
        limits = self._limits
        n_cpus = max(place.n_processors(), (limits.n_workers or 1) * limits.cpus_per_worker)
        self._ray.init(
            address=address,
            num_cpus=n_cpus,
            num_gpus=None if limits.gpus_per_worker else 0,
            include_dashboard=False,
            object_store_memory=OBJECTS_BYTES,
            _temp_dir=self._folder,
            **quiet,
        )

    def _begin(self) -> None:
        actor = self._kind.remote()
        self._actors[self._n_begun] = actor
        self._calls[actor.hello.remote()] = self._n_begun
        self._n_begun += 1

    def _event(self, call: Any) -> Event:
        number = self._calls.pop(call)
        try:
            said = self._ray.get(call)
        except self._ray.exceptions.RayTaskError as error:
            return Failed(number, str(error.cause))
        except self._ray.exceptions.RayError as error:
            del self._actors[number]
            self._begin()
            return Lost(number, _how(error))
        if isinstance(said, tuple):
            machine, free = said
            return Joined(number, machine, self._budget(free))
        return Failed(number, said) if isinstance(said, str) else Done(number, said)

    def _budget(self, free: int) -> int:
        """Memory for files, of a machine that has so much free while its other workers may still be loading."""
        if self._limits.memory_bytes is not None:
            return self._limits.memory_bytes
        return max(0, free - (self._n_together - 1) * WORKER_BYTES)


def _imported(*, is_own: bool) -> Any:
    """The package, told to be quiet before it is loaded."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if is_own and "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:  # which reads it when it is loaded
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    try:
        import ray
    except ImportError as error:
        raise BadInputError("Ray is not installed: pip install 'nilatron[cluster]', or --ray off") from error
    return ray


def first_line(error: Exception) -> str:
    """What an error says in its first line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _how(error: Exception) -> str:
    """The first sentence of Ray's account of a death."""
    text = " ".join(str(error).split())
    told = text.partition("Worker exit detail: ")[2] or text
    return f"its worker died: {told.partition('. ')[0][:200]}"
