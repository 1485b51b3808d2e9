"""The node with `python -m gadgetron` as it is started, and this test as the server's end of the conversation."""

import io
import os
import socket
import struct
import subprocess
import sys
import threading

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.pipelines import node
from nilatron.pipelines.simulate import SimulationSettings, simulate_items

CONFIG, HEADER, CLOSE, ERROR, ACQUISITION, IMAGE = 2, 3, 4, 8, 1008, 1022
SCAN = SimulationSettings(matrix=(48, 48, 1), n_coils=4, n_slices=2, acceleration=2, calibration_lines=16)


def text_message(number: int, text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<HI", number, len(encoded)) + encoded


def scan_bytes(configuration: str) -> tuple[bytes, list[ismrmrd.Acquisition], object]:
    header, items = simulate_items(SCAN)
    lines = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
    stream = text_message(CONFIG, configuration) + text_message(HEADER, ToXML(header))
    parts: list[bytes] = []
    for line in lines:
        parts.append(struct.pack("<H", ACQUISITION))
        line.serialize_into(parts.append)
    return stream + b"".join(bytes(part) for part in parts) + struct.pack("<H", CLOSE), lines, header


def conversation(target: str, configuration: str) -> tuple[bytes, int]:
    """All bytes that the node sent, and its exit code."""
    outgoing, _, _ = scan_bytes(configuration)
    with socket.create_server(("localhost", 0)) as server:
        server.settimeout(60)
        command = [sys.executable, "-m", "gadgetron", str(server.getsockname()[1]), "nilatron.pipelines.node", target]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)  # noqa: S603
        peer, _ = server.accept()
        with peer:
            peer.settimeout(60)
            threading.Thread(target=peer.sendall, args=(outgoing,), daemon=True).start()
            received = b""
            while chunk := peer.recv(1 << 20):
                received += chunk
        process.communicate(timeout=60)
    return received, process.returncode


def images_of(received: bytes) -> tuple[list[ismrmrd.Image], bytes]:
    """The images at the start of a stream, and what follows them."""
    stream, images = io.BytesIO(received), []
    while (number := stream.read(2)) == struct.pack("<H", IMAGE):
        images.append(ismrmrd.Image.deserialize_from(stream.read))
    return images, number + stream.read()


def test_every_shipped_target_is_there():
    from nilatron.gadgets.methods import METHODS

    assert all(callable(getattr(node, target)) for target in METHODS)


def test_the_images_are_those_of_the_embedded_host():
    received, code = conversation("cg_sense", "<configuration/>")
    images, rest = images_of(received)
    assert code == 0
    assert rest == struct.pack("<H", CLOSE)
    _, lines, header = scan_bytes("<configuration/>")
    expected = list(build_node("cg_sense", {})(iter(lines), Context(header)))
    assert len(images) == len(expected) == 2
    for got, want in zip(images, expected, strict=True):
        assert got.image_index == want.image_index
        assert np.linalg.norm(got.data - want.data) < 1e-3 * np.linalg.norm(want.data)


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ('<configuration><property name="stepz" value="3"/></configuration>', "has no property 'stepz'"),
        ("this is no XML", "is not XML"),
    ],
)
def test_a_failure_reaches_the_server_as_an_error_before_the_end(configuration, reason):
    received, code = conversation("cg_sense", configuration)
    number, length = struct.unpack_from("<HQ", received)
    assert number == ERROR
    assert reason in received[10 : 10 + length].decode()
    assert received[10 + length :] == struct.pack("<H", CLOSE)
    assert code != 0
