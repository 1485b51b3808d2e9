"""A server under attack: started, watched (memory, descriptors, /readyz), and asked for good scans meanwhile."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import ismrmrd
from ismrmrd.xsd import ToXML

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, Config, Connection, Header, Timeouts, WireError

ATTACKER, FRIEND = "127.0.0.2", "127.0.0.3"
SCAN = SimulationSettings(matrix=(96, 96, 1), n_coils=4, n_slices=2, acceleration=2, calibration_lines=16)
IMAGES_PER_SLICE = 2
PATIENCE_S = 120.0


@dataclass
class Server:
    """`nilatron serve` on free ports, with its log."""

    process: subprocess.Popen[str]
    log: list[dict[str, object]] = field(default_factory=list)
    port: int = 0
    health_port: int = 0

    @classmethod
    def start(cls, *options: str) -> Server:
        """Start one with the tiny prior on the CPU, and wait until it is ready."""
        words = ["serve", "--port", "0", "--health-port", "0", "--device", "cpu", "--weights", "tiny", *options]
        process = subprocess.Popen(
            [sys.executable, "-m", "nilatron", *words],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=few_descriptors,
        )
        server = cls(process)
        threading.Thread(target=server._read, daemon=True).start()
        listening = server.wait_for("listening")
        server.port, server.health_port = int(str(listening["port"])), int(str(listening["health_port"]))
        server.wait_for("worker is ready")
        return server

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self.log.append(json.loads(line) if line.startswith("{") else {"message": line.rstrip()})

    def wait_for(self, message: str, since: int = 0, timeout_s: float = PATIENCE_S) -> dict[str, object]:
        """The first line of the log, from line `since` on, that has this message."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for line in self.log[since:]:
                if message in str(line["message"]):
                    return line
            time.sleep(0.05)
        raise TimeoutError(f"no {message!r} within {timeout_s} s")

    def connect(self, address: str = ATTACKER) -> socket.socket:
        """A socket of a peer at this address of the loopback network."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S, source_address=(address, 0))

    def page(self, path: str) -> int:
        """HTTP status of a page of the health port, 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    @property
    def alive(self) -> bool:
        """Whether the front runs."""
        return self.process.poll() is None

    def end(self) -> None:
        """End it and everything that it has started."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(15)
        for pid in (*tree_of(self.process.pid), self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def few_descriptors() -> None:
    """The soft limit that most systems have."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def tree_of(root: int) -> list[int]:
    """All processes below a process."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        below.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        children = below.get(todo.pop(), [])
        found += children
        todo += children
    return found


def memory_of(pid: int) -> int:
    """Proportional resident bytes of a process: what it shares counts in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@dataclass
class Watch:
    """What a server took while this ran, looked at a few times a second."""

    server: Server
    interval_s: float = 0.15
    peak_bytes: int = 0
    most_descriptors: int = 0
    not_ready: int = 0  # looks at /readyz that were not answered by 200
    looks: int = 0
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self.interval_s):
            root = self.server.process.pid
            self.peak_bytes = max(self.peak_bytes, sum(map(memory_of, (root, *tree_of(root)))))
            self.most_descriptors = max(self.most_descriptors, descriptors_of(root))
            if self.looks % 5 == 0:
                self.not_ready += self.server.page("/readyz") != 200
            self.looks += 1


def descriptors_of(pid: int) -> int:
    """Open descriptors of a process."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


@dataclass(frozen=True)
class GoodScan:
    """How a good scan went."""

    n_images: int
    first_s: float
    last_s: float
    problem: str


class Friend:
    """A peer that sends a small scan and wants its images."""

    def __init__(self, settings: SimulationSettings = SCAN) -> None:
        header, items = simulate_items(settings)
        self.header, self.items = Header.of(ToXML(header)), list(items)
        self.n_images = IMAGES_PER_SLICE * settings.n_slices
        self.configuration = Config.of("<configuration/>")

    def scan(self, server: Server) -> GoodScan:
        """Send it once."""
        began = time.monotonic()
        n_images, first_s, problem = 0, float("inf"), ""
        try:
            sock = server.connect(FRIEND)
            with Connection(sock, timeouts=Timeouts(PATIENCE_S, PATIENCE_S, 5)) as connection:
                for message in (self.configuration, self.header, *self.items, Close()):
                    connection.send(message)
                for message in connection:
                    if isinstance(message, ismrmrd.Image):
                        n_images += 1
                        first_s = min(first_s, time.monotonic() - began)
                    else:
                        problem = str(message.text)[:100]
        except (OSError, WireError) as error:
            problem = str(error)[:100]
        return GoodScan(n_images, first_s, time.monotonic() - began, problem)

    def scans(self, server: Server, n: int, at_once: int) -> list[GoodScan]:
        """Send it so many times, some at once."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda _: self.scan(server), range(n)))
