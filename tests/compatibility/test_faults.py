"""Faults on either side: what the other end has received, and that nothing hangs."""

import os
import signal
import socket
import struct
import threading
import time
from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.node import build_node
from nilatron.pipelines.wire import Close, Timeouts

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone

QUICK = Timeouts(message_s=0.5, idle_s=0.5, end_s=0.5)


def failing(after):
    """The node, broken after so many images."""

    def build(target, properties):
        node = build_node(target, properties)

        def gadget(items, context):
            if after is None:
                next(iter(items))
                raise RuntimeError("the coil is hot")
            for number, image in enumerate(node(items, context), 1):
                yield image
                if number == after:
                    raise RuntimeError("the coil is hot")

        return gadget

    return build


def cannot_be_made(_target, _properties):
    raise RuntimeError("the coil is hot")


@pytest.mark.row("F2.23")
@pytest.mark.parametrize(
    ("build", "n_images"),
    [(cannot_be_made, 0), (failing(None), 0), (failing(1), 1), (failing(2), 2)],
    ids=["when it is made", "at the first item", "in the middle", "after the last image"],
)
def test_a_node_that_raises_says_so_after_the_images_it_made(simulated, converse, build, n_images):
    reply = converse(simulated(n_slices=2), build_node=build)
    assert len(reply.images) == n_images
    assert "the coil is hot" in reply.error
    assert reply.report.outcome == "failed"


@pytest.mark.row("F2.23")
def test_a_sampler_that_fails_leaves_the_conventional_images(simulated, converse, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the sampler is hot")

    monkeypatch.setitem(METHODS, "nila", replace(METHODS["nila"], run=broken))
    reply = converse(simulated(n_slices=2), target="nila")
    assert [image.image_series_index for image in reply.images] == [2, 1, 2, 1]
    assert "the sampler is hot" in reply.error
    replaced = [image for image in reply.images if image.image_series_index == 1]
    assert all("the sampler is hot" in image.meta["nilatron_fallback"] for image in replaced)


@pytest.mark.row("F2.23")
def test_a_package_that_cannot_be_imported_is_an_error(load, serving, tmp_path):
    nodes = load("tests/pipelines/node/test_started.py")
    nodes.broken_torch(tmp_path)
    header, lines = nodes.scan()
    with serving(nodes.launch("nila", tmp_path)) as server:
        server.send(*nodes.opening(header), *lines)
        server.send(struct.pack("<H", 4))
        error, _ = server.read_to_end()
        assert "ImportError: libnothing.so" in error.text
        assert server.exit_code() == 3


@pytest.mark.row("F2.24")
@pytest.mark.parametrize(
    ("signal_number", "when"),
    [(signal.SIGKILL, "before"), (signal.SIGKILL, "during"), (signal.SIGKILL, "after"), (signal.SIGTERM, "during")],
)
def test_a_killed_node_is_no_success(nodes, forked, signal_number, when):
    header, lines = nodes.scan()
    n_lines = {"before": 10, "during": 60, "after": len(lines)}[when]
    n_images = {"before": 0, "during": 1, "after": 2}[when]
    with forked() as server:
        server.send(nodes.opening(header), *lines[:n_lines])
        server.read_messages(n_images)
        if when == "before":
            time.sleep(0.2)
        os.kill(server.process.pid, signal_number)
        if signal_number == signal.SIGTERM:
            server.read_messages(n_images + 1)
            server.send(Close())
        messages = server.read_to_end()
        images = [message for message in messages if isinstance(message, ismrmrd.Image)]
        assert len(images) == n_images
        if signal_number == signal.SIGTERM:
            error, close = messages[n_images:]
            assert "asked to terminate (SIGTERM)" in error.text
            assert isinstance(close, Close)
            assert server.exit_code() == 128 + signal_number
        else:
            assert len(messages) == n_images  # no CLOSE: Gadgetron takes it for the failure that it is
            assert server.exit_code() == -signal_number


@pytest.mark.row("F2.25")
@pytest.mark.parametrize(
    "n_bytes", [0, 1, 100, 600], ids=["between messages", "in the id", "in the header", "in the data"]
)
def test_a_peer_that_is_gone_ends_the_scan(simulated, converse, n_bytes):
    scan = simulated(n_slices=2)
    n_whole = len(scan.noise) + 41
    cut = struct.pack("<H", 1008) + scan.lines[n_whole].to_bytes()
    reply = converse(scan, [*scan.items[:n_whole], cut[:n_bytes]], close=False, half_close=True)
    assert scan.error_of(reply.images[0]) < 0.06
    assert reply.report.outcome == "failed"
    assert ("without CLOSE" if n_bytes == 0 else "inside a message") in reply.error


@pytest.mark.row("F2.25")
@pytest.mark.parametrize("n_bytes", [0, 100])
def test_silence_ends_the_scan(simulated, converse, n_bytes):
    scan = simulated()
    cut = struct.pack("<H", 1008) + scan.lines[5].to_bytes()
    reply = converse(scan, [*scan.items[:5], cut[:n_bytes]], close=False, timeouts=QUICK)
    assert "nothing came from the other end for 0.5 s" in reply.error


@pytest.mark.row("F2.25")
def test_a_reset_ends_the_scan(simulated, start_node):
    scan = simulated()
    peer, wait = start_node(scan)
    peer.sendall(struct.pack("<H", 1008) + scan.lines[0].to_bytes())
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert wait().outcome == "peer gone"


N_LARGE = int(os.environ.get("NILATRON_LARGE_MB", "128"))


@pytest.mark.row("F2.27")
def test_more_data_than_the_queue_may_hold(simulated, start_node):
    """With NILATRON_LARGE_MB=2048 it is the scan of 2 GB."""
    scan = simulated(n_coils=16, matrix=(256, 64, 1))
    peer, wait = start_node(scan, queue_mib=16)
    before = resident_mb()
    line = struct.pack("<H", 1008) + scan.imaging[3].to_bytes()
    block, peak = line * 16, 0.0
    for _ in range(N_LARGE * (1 << 20) // len(block)):
        peer.sendall(block)
        peak = max(peak, resident_mb() - before)
    peer.sendall(b"".join(struct.pack("<H", 1008) + one.to_bytes() for one in scan.imaging[:3]) + struct.pack("<H", 4))
    received = bytearray()
    with peer:
        while chunk := peer.recv(1 << 16):
            received += chunk
    report = wait()
    assert report.outcome == "failed"  # a line that comes a thousand times with the same noise: its image is doubtful
    assert report.peak_queue_bytes <= (16 + 5) << 20  # lines come in blocks of up to 4 MiB
    assert peak < 80
    assert report.n_images == 1


def resident_mb():
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / (1 << 20)


@pytest.mark.row("F2.27")
def test_a_slow_reader_gets_all_images(simulated, converse):
    scan = simulated(n_slices=4, recon_matrix=(512, 512))
    reply = converse(scan, pause_s=0.02)
    assert reply.error is None
    assert [image.data.nbytes for image in reply.images] == [1 << 20] * 4


@pytest.mark.row("F2.27")
def test_a_slow_sender_gets_its_images_as_they_are_ready(simulated, start_node):
    scan = simulated(n_slices=2)
    peer, wait = start_node(scan)
    first = threading.Event()

    def read():
        while chunk := peer.recv(1 << 16):
            received.extend(chunk)
            first.set()

    received = bytearray()
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    half = len(scan.noise) + 40
    for line in scan.lines[:half]:
        peer.sendall(struct.pack("<H", 1008) + line.to_bytes())
        time.sleep(0.002)
    assert first.wait(30), "the first image does not come before the lines of the second"
    for line in scan.lines[half:]:
        peer.sendall(struct.pack("<H", 1008) + line.to_bytes())
    peer.sendall(struct.pack("<H", 4))
    thread.join(30)
    peer.close()
    assert wait().n_images == 2
    assert np.frombuffer(received[-2:], "<u2") == 4
