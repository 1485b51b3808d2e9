"""Mutated streams against a node and a running server: an end within seconds, the front unharmed, memory bounded.

NILATRON_MUTATIONS sets how many (of the node, and as many of the server); the default is a sample of them.
"""

import importlib.util
import itertools
import os
import re
import socket
import struct
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.pipelines.conversation.conversation import ConversationSettings, Opening, run_conversation
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import (
    Close,
    Config,
    ConfigName,
    Connection,
    Decoder,
    Header,
    Limits,
    Text,
    Timeouts,
    encode,
)

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("NILATRON_MUTATIONS", "150"))
COUNT_SERVER = int(os.environ.get("NILATRON_MUTATIONS", "40"))
PATIENCE_S = 60
SCAN = SimulationSettings(matrix=(12, 8, 1), n_coils=2, noise_lines=4, waveform_every=4)
LIMITS = Limits(message_bytes=1 << 24)
NUMBERS = (0, 1, 2, 255, 65535, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 63)
IDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1008, 1018, 1022, 1023, 1024, 1026, 1030, 1050, 65535)
NODE = '<configuration><property name="target" value="zero_filled"/></configuration>'


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


def flipped_bit(data, rng):
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def cut(data, rng):
    del data[int(rng.integers(0, len(data))) + 1 :]


def hole(data, rng):
    at = int(rng.integers(len(data)))
    del data[at : at + int(rng.integers(1, 400))]


def number(data, rng):
    """A number of 2, 4 or 8 bytes, anywhere: lengths and counts among them."""
    kind, at = str(rng.choice(["<H", "<I", "<Q"])), int(rng.integers(len(data)))
    value = int(rng.choice(np.array(NUMBERS, np.uint64))) % (1 << 8 * struct.calcsize(kind))
    data[at : at + struct.calcsize(kind)] = struct.pack(kind, value)


def another_id(data, rng):
    """Another kind for a message of the stream."""
    places = [
        match.start() for match in re.finditer(rb"\xf0\x03\x01\x00|\x02\x04|\x03\x00..\x00\x00<", bytes(data), re.S)
    ]
    at = int(rng.choice(places)) if places else 0
    data[at : at + 2] = struct.pack("<H", int(rng.choice(IDS)))


def xml(data, rng):
    """Text inside a document: the length in front of it stays."""
    places = [match.span() for match in re.finditer(rb">[^<>]+<|<[a-zA-Z0-9:]+", bytes(data))]
    if not places:
        return
    first, last = places[int(rng.integers(len(places)))]
    words = (b"", b"-1", b"1e9", b"nan", b"99999999", b"&e;", b"<!--", b"\xff\xfe", b"<?xml?>", b"<" * 9)
    inner = words[int(rng.integers(len(words)))]
    data[first + 1 : last - 1] = inner[: last - first - 2].ljust(last - first - 2)


KINDS = (flipped_bit, cut, hole, number, another_id, xml)


def mutated(stream, rng):
    data = bytearray(stream)
    for _ in range(int(rng.integers(1, 5))):
        if data:
            KINDS[int(rng.integers(len(KINDS)))](data, rng)
    return bytes(data)


@pytest.fixture(scope="module")
def header_and_items():
    header, items = simulate_items(SCAN)
    return ToXML(header).encode(), message_bytes(*items, Close())


def loopback():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname(), PATIENCE_S)
        here, _ = listener.accept()
    return here, peer


def say_and_listen(peer, data):
    """Send everything, read everything; what a reader of messages makes of the answer."""

    def send():
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        except OSError:  # the other end has heard enough
            return

    thread = threading.Thread(target=send)
    thread.start()
    received = bytearray()
    try:
        while chunk := peer.recv(1 << 18):
            received += chunk
    except ConnectionResetError:
        pass
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    decoder = Decoder()
    messages = list(decoder.feed(bytes(received)))
    decoder.finish()
    return messages


def resident_mb(pid="self"):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def node_outcome(seed, header, stream):
    rng = np.random.default_rng((1, seed))
    here, peer = loopback()
    configuration, header = (
        mutated(part, rng) if rng.random() < 0.2 else part
        for part in (b'<configuration><property name="seed" value="3"/></configuration>', header)
    )
    opening = Opening("zero_filled", configuration, header)
    reports = []

    def hold():
        connection = Connection(here, LIMITS, Timeouts(5, 5, 5))
        reports.append(run_conversation(connection, opening, None, "cpu", ConversationSettings(64, 5, 64)))

    thread = threading.Thread(target=hold)
    thread.start()
    with peer:
        messages = say_and_listen(peer, mutated(stream, rng))
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), f"stream {seed}: the node hangs"
    (report,) = reports
    assert report.outcome in ("complete", "failed"), f"stream {seed}: {report}"
    assert isinstance(messages[-1], Close), f"stream {seed}: no CLOSE"
    assert (type(messages[-2]).__name__ == "Error" if len(messages) > 1 else False) == (report.outcome == "failed"), (
        seed
    )
    return report


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # samples that became infinite, or not numbers
def test_a_node_ends_every_mutated_stream_with_images_or_an_error(header_and_items):
    node_outcome(-1 % (1 << 32), *header_and_items)
    before = resident_mb()
    reports = [node_outcome(seed, *header_and_items) for seed in range(COUNT)]
    outcomes = Counter(report.outcome for report in reports)
    internal = Counter(match[0] for r in reports if r.error and (match := re.match(r"[A-Z]\w+Error: .{0,90}", r.error)))
    print(dict(outcomes), sum(report.n_images for report in reports), f"{resident_mb() - before:.0f} MB more")  # noqa: T201
    for reason, count in internal.most_common():
        print(count, reason)  # noqa: T201
    assert min(outcomes["complete"], outcomes["failed"]) > COUNT // 20
    assert resident_mb() - before < 256


@pytest.fixture(scope="module")
def servers():
    path = Path(__file__).parent / "server" / "conftest.py"
    spec = importlib.util.spec_from_file_location("peers_of_a_server", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(servers, tmp_path):
    weights = tmp_path / "prior.safetensors"
    servers.save_prior(
        weights,
        servers.EDMDenoiser(servers.ARCHITECTURES["tiny"], sigma_data=0.5),
        {"licence": "none", "trained_steps": "0"},
    )
    running = servers.start_server(weights, "--memory-mb", "1500")
    yield running
    running.end()


def test_a_server_outlives_every_mutated_stream(server, header_and_items):
    header, stream = header_and_items
    begins = itertools.cycle(
        (ConfigName("zero_filled.xml"), Config.of(NODE), ConfigName("openrecon"), Config.of('{"parameters": {}}'))
    )
    parameters = Text.of('{"parameters": {"config": "zero_filled"}}')
    whole = [message_bytes(next(begins), Header(header), *([parameters] if n == 2 else [])) + stream for n in range(4)]
    pid, before = server.process.pid, resident_mb(server.process.pid)

    def outcome(seed):
        rng = np.random.default_rng((2, seed))
        data = bytearray(mutated(whole[seed % 4], rng))
        if rng.random() < 0.5:  # where the opening is
            head = mutated(bytes(data[:6000]), rng)
            data[:6000] = head
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as peer:
            messages = say_and_listen(peer, bytes(data))
        kinds = [type(message).__name__ for message in messages]
        assert not kinds or kinds[-1] == "Close", f"stream {seed}: {kinds}"
        return "error" if {"Error", "Text"} & set(kinds) else "images" if len(kinds) > 1 else "nothing"

    with ThreadPoolExecutor(3) as threads:
        outcomes = Counter(threads.map(outcome, range(COUNT_SERVER)))
    print(dict(outcomes), f"front {resident_mb(pid) - before:.0f} MB more")  # noqa: T201
    assert server.process.poll() is None
    assert server.process.pid == pid
    assert server.get("/healthz")[0] == 200
    assert resident_mb(pid) - before < 64
    assert min(outcomes["error"], outcomes["images"]) > COUNT_SERVER // 40
    for line in server.lines:
        if "exception" in line:  # told to the peer, but not in words of ours
            print(line["exception"].splitlines()[-1])  # noqa: T201
    connection = server.connect()
    with connection:
        connection.socket.sendall(whole[0])
        kinds = [type(message).__name__ for message in connection]
    assert kinds == ["ReceivedImage"]
