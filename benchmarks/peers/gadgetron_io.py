"""Lines in and images out: PyPI gadgetron's Connection against ours, over a loopback socket.

Reading is that of `ingest.py` (256 lines kept at a time); writing sends images to a process that reads them off the socket
and answers at the end.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ismrmrd
import numpy as np
from gadgetron.external.connection import Connection as StockConnection

from ingest import XML, apart, start_sender, stream_bytes
from nilatron.pipelines.wire import Config, Connection, Header
from peers.case import Case
from peers.measurement import Measurement, RunSettings

N_COILS, N_SAMPLES, N_LINES, AT_ONCE = 16, 512, 2000, 50
IMAGE_SIZE, N_IMAGES = 256, 200
DRAIN = """
import socket, sys
opening = sys.stdin.buffer.read()
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    peer, _ = server.accept()
    with peer:
        peer.sendall(opening)
        left, buffer = int(sys.argv[1]), memoryview(bytearray(1 << 20))
        while left:
            n = peer.recv_into(buffer, min(left, len(buffer)))
            if not n:
                break
            left -= n
        peer.sendall(b"d" if not left else b"s")
"""


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """Variant: "read:PyPI", "read:ours" or "read:ours, eager"; "write:PyPI" or "write:ours". The case does not matter."""
    del case
    task, _, who = variant.partition(":")
    per_item = read_seconds(who, settings.rounds) if task == "read" else write_seconds(who, settings.rounds)
    kind = f"lines of {N_COILS} x {N_SAMPLES}" if task == "read" else f"images of {IMAGE_SIZE} x {IMAGE_SIZE} float32"
    return Measurement(per_item, settings.rounds, per_second=1 / per_item, note=kind)


def read_seconds(reader: str, rounds: int) -> float:
    """Wall seconds a line, median of rounds after one that does not count."""
    sender = start_sender(N_COILS, N_SAMPLES, N_LINES, AT_ONCE)
    with sender.process:
        taken = [apart(sender, reader, "256 kept")[0] for _ in range(rounds + 1)]
        with socket.create_connection(("127.0.0.1", sender.port)) as sock:
            sock.sendall(b"e")
    return statistics.median(taken[1:])


def write_seconds(writer: str, rounds: int) -> float:
    """Wall seconds an image, from the first to the answer of the reader; median of rounds after one."""
    return statistics.median([write_turn(writer) for _ in range(rounds + 1)][1:])


def write_turn(writer: str) -> float:
    """Wall seconds an image of one turn.

    Raises
    ------
    RuntimeError
        When not all bytes arrived.
    """
    pixels = np.random.default_rng(1).standard_normal((1, 1, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    image = ismrmrd.Image.from_array(pixels, transpose=False)
    with drain(N_IMAGES * len(stream_bytes(image))) as port, socket.create_connection(("127.0.0.1", port)) as sock:
        if writer == "PyPI":
            send = StockConnection(sock).send
        else:
            connection = Connection(sock)
            connection.receive(), connection.receive()
            send = connection.send
        started = time.perf_counter()
        for _ in range(N_IMAGES):
            send(image)
        answer = sock.recv(1, socket.MSG_WAITALL)
        seconds = time.perf_counter() - started
    if answer != b"d":
        raise RuntimeError(f"{writer}: the reader did not get {N_IMAGES} images")
    return seconds / N_IMAGES


@contextmanager
def drain(n_bytes: int) -> Iterator[int]:
    """Port of a process that begins a conversation, reads `n_bytes` and says so."""
    words = [sys.executable, "-c", DRAIN, str(n_bytes)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no pipes to the reader")
        process.stdin.write(stream_bytes(Config(b"<configuration/>"), Header(XML)))
        process.stdin.close()
        yield int(process.stdout.readline())
