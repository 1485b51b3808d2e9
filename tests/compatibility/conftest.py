"""Scans through a node, over a socket, as the messages that a Gadgetron exchanges with it."""

import importlib.util
import socket
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.core.metrics import nrmse
from nilatron.gadgets.items import Context
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.conversation.conversation import ConversationSettings, Opening, Report, run_conversation
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate_items
from nilatron.pipelines.wire import Close, Connection, Decoder, Error, Text, Timeouts, encode

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
# white noise of equal strength in all coils, so that whitening scales the image and does not shade it
BASE = SimulationSettings(
    matrix=(48, 40, 1),
    fov_mm=(240.0, 200.0, 5.0),
    n_coils=4,
    noise_std=0.01,
    noise_gain_spread=1.0,
    noise_correlation=0.0,
    calibration_lines=16,
)
PROPERTIES = {
    "AcquisitionAccumulateTriggerGadget": {"trigger_dimension": "repetition", "sorting_dimension": "slice"},
    "BucketToBufferGadget": {"S_dimension": "average", "split_slices": "true", "ignore_segment": "true"},
}


def pytest_configure(config):
    config.addinivalue_line("markers", "row(id): a row of the compatibility matrix, asserted by the test")


def module_at(path):
    """A file of this project as a module."""
    name = "loaded_" + path.replace("/", "_").removesuffix(".py")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


servers = module_at("tests/pipelines/server/conftest.py")
server, make_server, tiny_weights = servers.server, servers.make_server, servers.tiny_weights
talk, scan = servers.talk, servers.scan
nodes_by_process = module_at("tests/pipelines/node/test_entry.py")
forks, forked = nodes_by_process.forks, nodes_by_process.forked
recording, shared = (getattr(module_at("tests/gadgets/conftest.py"), name) for name in ("recording", "shared"))


command_line = module_at("tests/pipelines/cli/conftest.py")
command, raw, scan_path, folder = (getattr(command_line, name) for name in ("command", "raw", "scan_path", "folder"))
ends = module_at("tests/pipelines/conftest.py")
serve, serving = ends.serve, ends.serving


@pytest.fixture(scope="session")
def load():
    return module_at


@pytest.fixture(scope="session")
def nodes():
    return nodes_by_process


@dataclass
class Simulated:
    """A scan that can be edited before it is sent."""

    settings: SimulationSettings
    header: object
    items: list = field(default_factory=list)

    @property
    def lines(self):
        return [item for item in self.items if isinstance(item, ismrmrd.Acquisition)]

    @property
    def imaging(self):
        return [line for line in self.lines if not line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]

    @property
    def noise(self):
        return [line for line in self.lines if line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]

    def behind(self, *gadgets):
        """The same scan as it leaves stock gadgets."""
        items, context = iter(self.items), Context(self.header)
        for name in gadgets:
            items = STOCK_GADGETS[name](PROPERTIES.get(name, {}))(items, context)
        return replace(self, items=list(items))

    def error_of(self, image, index=0, contrast=0):
        """NRMSE of a magnitude image in SNR units against the object."""
        truth = np.abs(ground_truth(self.settings, index, contrast)) / self.settings.noise_std
        return float(nrmse(np.abs(image.data[0]).astype(np.float32), truth.astype(np.float32)))


@pytest.fixture(scope="session")
def simulated():
    """Simulate a scan with changes of the settings."""

    def make(**changes):
        settings = replace(BASE, **changes)
        header, items = simulate_items(settings)
        return Simulated(settings, header, items)

    return make


@dataclass
class Reply:
    """What the other end of the node has received, and what the node says of it."""

    received: bytes
    report: Report

    @property
    def messages(self):
        return list(Decoder().feed(self.received))

    @property
    def images(self):
        return [message for message in self.messages if isinstance(message, ismrmrd.Image)]

    @property
    def error(self):
        """The one error, None when there is none; the conversation has ended with CLOSE either way."""
        rest = [message for message in self.messages if not isinstance(message, ismrmrd.Image)]
        assert isinstance(rest[-1], Close), "the end of the conversation is missing"
        errors = [message.text for message in rest[:-1]]
        assert len(errors) <= 1
        assert all(isinstance(message, Error | Text) for message in rest[:-1])
        return errors[0] if errors else None


def message_bytes(*messages):
    return b"".join(
        message if isinstance(message, bytes) else b"".join(bytes(part) for part in encode(message))
        for message in messages
    )


def configuration_of(properties):
    inner = "".join(f'<property name="{name}" value="{value}"/>' for name, value in properties.items())
    return f"<configuration>{inner}</configuration>".encode()


def over_tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), PATIENCE_S)
        here, _ = listener.accept()
    return here, peer


def read_all(sock, pause_s=0.0):
    received = bytearray()
    try:
        while chunk := sock.recv(1 << 20):
            received += chunk
            time.sleep(pause_s)
    except ConnectionResetError:
        pass
    return bytes(received)


def hold(
    header,
    items,
    target="cg_sense",
    *,
    close=True,
    half_close=False,
    configuration=None,
    build_node=None,
    timeouts=None,
    pause_s=0.0,
    **properties,
):
    """Send a scan to a node in this process, and read what it answers to the end."""
    here, peer = over_tcp()
    xml = header if isinstance(header, bytes) else ToXML(header).encode()
    opening = Opening(target, configuration_of(properties) if configuration is None else configuration, xml)
    connection = Connection(here, timeouts=timeouts or Timeouts(PATIENCE_S, PATIENCE_S, 5))
    reports = []

    def node():
        reports.append(run_conversation(connection, opening, build_node, "cpu", ConversationSettings(end_s=5)))

    def send():
        for item in items:
            peer.sendall(message_bytes(item))
        peer.sendall(message_bytes(Close()) if close else b"")
        if half_close:
            peer.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=job, daemon=True) for job in (node, send)]
    for thread in threads:
        thread.start()
    with peer:
        received = read_all(peer, pause_s)
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the conversation hangs"
    return Reply(received, reports[0])


@pytest.fixture(scope="session")
def converse():
    """Hold a conversation with a node: header, items, target, properties; see `hold`."""

    def run(scan, items=None, target="cg_sense", **options):
        header = scan.header if isinstance(scan, Simulated) else scan
        return hold(header, scan.items if items is None else items, target, **options)

    return run


@pytest.fixture
def start_node():
    """Start a node for a scan; returns the other end's socket and a function that waits for the report."""
    sockets = []

    def start(scan, target="cg_sense", **bounds):
        here, peer = over_tcp()
        sockets.append(peer)
        connection, reports = Connection(here, timeouts=Timeouts(PATIENCE_S, PATIENCE_S, 5)), []
        opening = Opening(target, b"", ToXML(scan.header).encode())
        settings = ConversationSettings(**{"end_s": 5, **bounds})
        run = threading.Thread(
            target=lambda: reports.append(run_conversation(connection, opening, None, "cpu", settings)), daemon=True
        )
        run.start()

        def wait():
            run.join(PATIENCE_S)
            assert not run.is_alive(), "the conversation hangs"
            return reports[0]

        return peer, wait

    yield start
    for sock in sockets:
        sock.close()
