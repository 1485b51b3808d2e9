"""A running server, and peers of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field, replace

import ismrmrd
import pytest
from ismrmrd.xsd import ToXML

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, Config, ConfigName, Connection, Error, Header, Text, Timeouts

FINISHED_SCAN_DELAY_S = 180
SCAN = SimulationSettings(matrix=(32, 32, 1), n_coils=3, n_slices=2, acceleration=2, calibration_lines=12)


@dataclass
class RunningServer:
    process: subprocess.Popen
    lines: list[dict] = field(default_factory=list)
    reader: threading.Thread | None = None
    port: int = 0
    health_port: int = 0
    connections: list[Connection] = field(default_factory=list)

    def read(self):
        with self.process.stderr as lines:
            for line in lines:
                self.lines.append(json.loads(line) if line.startswith("{") else {"message": line.rstrip()})

    def wait_for(self, message, count=1, **fields):
        """The latest log line with this message and these fields, once there are so many of them."""
        deadline = time.monotonic() + FINISHED_SCAN_DELAY_S
        while time.monotonic() < deadline:
            found = [
                line
                for line in list(self.lines)
                if message in line["message"] and all(line.get(name) == value for name, value in fields.items())
            ]
            if len(found) >= count:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"no {message!r} {fields} in:\n" + "\n".join(map(str, self.lines)))

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(name)]
        return float(lines[0].split()[-1]) if lines else None

    def connect(self, address="127.0.0.1"):
        """A connection of a peer at this address of the loopback network."""
        sock = socket.create_connection(
            ("127.0.0.1", self.port), timeout=FINISHED_SCAN_DELAY_S, source_address=(address, 0)
        )
        timeouts = Timeouts(message_s=FINISHED_SCAN_DELAY_S, idle_s=FINISHED_SCAN_DELAY_S, end_s=5)
        self.connections.append(Connection(sock, timeouts=timeouts))
        return self.connections[-1]

    def worker_pid(self):
        return self.wait_for("worker is ready")["pid"]

    def end(self):
        for connection in self.connections:  # of tests that failed
            connection.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(FINISHED_SCAN_DELAY_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.reader.join(10)


def start_server(weights, *options):
    command = [sys.executable, "-m", "nilatron", "serve", "--port", "0", "--health-port", "0", "--device", "cpu"]
    return start_command([*command, "--weights", str(weights), *options])


def start_command(command):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    server = RunningServer(process)
    server.reader = threading.Thread(target=server.read, daemon=True)
    server.reader.start()
    listening = server.wait_for("listening")
    server.port, server.health_port = listening["port"], listening["health_port"]
    server.worker_pid()
    return server


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A prior whose network is zero."""
    path = tmp_path_factory.mktemp("weights") / "prior.safetensors"
    save_prior(path, EDMDenoiser(ARCHITECTURES["tiny"], sigma_data=0.5), {"licence": "none", "trained_steps": "0"})
    return path


@pytest.fixture(scope="session")
def server(tiny_weights, tmp_path_factory):
    """A server that all tests share; it has to outlive everything that they do to its parts."""
    folder = tmp_path_factory.mktemp("configs")
    running = start_server(tiny_weights, "--config-dir", str(folder))
    running.config_dir = folder
    yield running
    running.end()


@pytest.fixture
def make_server(tiny_weights):
    """Start a server with options; it is ended after the test."""
    running = []

    def make(*options):
        running.append(start_server(tiny_weights, *options))
        return running[-1]

    yield make
    for server in running:
        server.end()


@pytest.fixture
def start_program():
    """Start a server by a command; it is ended after the test."""
    running = []

    def start(command):
        running.append(start_command(command))
        return running[-1]

    yield start
    for server in running:
        server.end()


@pytest.fixture(scope="session")
def scan():
    """Header and items of a small scan."""
    header, items = simulate_items(SCAN)
    return ToXML(header), list(items)


@pytest.fixture(scope="session")
def large_scan():
    """A scan that keeps a thousand steps busy for many times as long as a server takes to admit another."""
    header, items = simulate_items(replace(SCAN, matrix=(96, 96, 1)))
    return ToXML(header), list(items)


def as_config(asked):
    return asked if isinstance(asked, Config | ConfigName) else ConfigName(asked)


def send_scan(connection, asked, scan, *, texts=(), close=True):
    header, items = scan
    connection.send(as_config(asked))
    connection.send(Header.of(header + "\0"))
    for text in texts:
        connection.send(Text.of(text))
    for item in items:
        connection.send(item)
    if close:
        connection.send(Close())


def replies(connection):
    """Images and error texts up to CLOSE; the connection is closed."""
    images, errors = [], []
    with connection:
        for message in connection:
            if isinstance(message, ismrmrd.Image):
                images.append(message)
            else:
                assert isinstance(message, Text | Error)
                errors.append(message)
    return images, errors


@pytest.fixture
def talk(scan):
    """Send a scan to a server and return what came back."""

    def converse(server, asked, scan=scan, address="127.0.0.1", **options):
        connection = server.connect(address)
        send_scan(connection, asked, scan, **options)
        return replies(connection)

    converse.send, converse.replies = send_scan, replies
    return converse
