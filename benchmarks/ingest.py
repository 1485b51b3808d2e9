"""Acquisitions a second from a TCP socket: `wire.Connection`, with and without the eager reader, against PyPI's Connection.

    python benchmarks/ingest.py --coils 16 --samples 512 --lines 2000 --turns 7

A process of its own sends; the readers take turns, each in a process of its own, for they leave the allocator in different
states. Three consumers: one that drops each line at once, one that keeps the lines of a slice and drops them together (as
gadgets do), one that keeps all. Wall and processor seconds of the reading process.

"no messages" has the bytes put into memory and makes nothing of them: it shows how fast this machine can send.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np
from gadgetron.external.connection import Connection as StockConnection

from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.wire import Close, Config, Connection, Header, encode

SENDER = """
import socket, sys
n_bytes, count = int(sys.argv[1]), int(sys.argv[2])
chunk, rest = sys.stdin.buffer.read(n_bytes), sys.stdin.buffer.read()
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        peer, _ = server.accept()
        with peer:
            begin = peer.recv(1, socket.MSG_WAITALL)
            if begin == b"e":
                break
            peer.sendall(rest[:-2])
            peer.recv(1, socket.MSG_WAITALL)
            for _ in range(count):
                peer.sendall(chunk)
            peer.sendall(rest[-2:])
            peer.recv(1)
"""
XML = (
    b'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions><H1resonanceFrequency_Hz>1'
    b"</H1resonanceFrequency_Hz></experimentalConditions></ismrmrdHeader>"
)


@dataclass(frozen=True)
class Sender:
    """The sending process, its port, how many lines it sends a turn, and how long each is on the wire."""

    process: subprocess.Popen[bytes]
    port: int
    n_lines: int
    line_bytes: int


def stream_bytes(*messages: Any) -> bytes:
    """Messages as they are sent."""
    return b"".join(bytes(part) for message in messages for part in encode(message))


def start_sender(n_coils: int, n_samples: int, n_lines: int, at_once: int) -> Sender:
    """A process that sends so many lines to everyone who connects."""
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((n_coils, 2 * n_samples), np.float32).view(np.complex64)
    line = ismrmrd.Acquisition.from_array(samples)
    chunk = stream_bytes(*[line] * at_once)
    words = [sys.executable, "-c", SENDER, str(len(chunk)), str(n_lines // at_once)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipes to the sender")
    process.stdin.write(chunk + stream_bytes(Config(b"<configuration/>"), Header(XML), Close()))
    process.stdin.close()
    port = int(process.stdout.readline())
    return Sender(process, port, n_lines // at_once * at_once, len(chunk) // at_once)


def stock(sock: socket.socket, _: Sender, begin: Callable[[], None]) -> Iterator[Any]:
    """Items of PyPI's Connection."""
    connection = StockConnection(sock)
    begin()
    return iter(connection)


def ours(sock: socket.socket, _: Sender, begin: Callable[[], None]) -> Iterator[Any]:
    """Items of our Connection."""
    return iter(opened(sock, begin))


def eager(sock: socket.socket, _: Sender, begin: Callable[[], None]) -> Iterator[Any]:
    """Items of our Connection through a thread that reads ahead."""
    connection = opened(sock, begin)
    return iter(EagerReader(connection.receive_some))


def bare(sock: socket.socket, sender: Sender, begin: Callable[[], None]) -> Iterator[Any]:
    """The bytes of each line."""
    StockConnection(sock)
    begin()
    n_left = sender.n_lines
    while n_left:
        n_lines = min(BARE_LINES, n_left)
        block = np.empty((n_lines, sender.line_bytes), np.uint8)
        sock.recv_into(block.data, 0, socket.MSG_WAITALL)
        yield from block
        n_left -= n_lines
    sock.recv(2, socket.MSG_WAITALL)  # CLOSE


def opened(sock: socket.socket, begin: Callable[[], None]) -> Connection:
    """Behind configuration and header."""
    connection = Connection(sock)
    connection.receive(), connection.receive()
    begin()
    return connection


READERS = {"PyPI": stock, "ours": ours, "ours, eager": eager, "no messages": bare}
BARE_LINES = 64


def drop(lines: Iterable[Any], _: int) -> int:
    """Count."""
    return sum(1 for _ in lines)


def keep(lines: Iterable[Any], at_once: int) -> int:
    """Count, and keep so many at a time."""
    kept, count = [], 0
    for line in lines:
        kept.append(line)
        count += 1
        if len(kept) == at_once:
            kept.clear()
    return count


CONSUMERS = {"dropped": (drop, 0), "256 kept": (keep, 256), "all kept": (keep, 1 << 40)}


def turn(sender: Sender, reader: str, consumer: str) -> tuple[float, float]:
    """Wall and processor seconds a line."""
    consume, at_once = CONSUMERS[consumer]
    with socket.create_connection(("127.0.0.1", sender.port)) as sock:
        sock.sendall(b"b")
        started: list[float] = []

        def begin() -> None:
            started.extend((time.perf_counter(), time.process_time()))
            sock.sendall(b"g")

        count = consume(READERS[reader](sock, sender, begin), at_once)
        wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
    if count != sender.n_lines:
        raise RuntimeError(f"{reader}: {count} of {sender.n_lines} lines came")
    return wall / count, processor / count


def apart(sender: Sender, reader: str, consumer: str) -> tuple[float, float]:
    """`turn` in a process of its own, forked from this one."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=lambda: there.send(turn(sender, reader, consumer)))
    process.start()
    there.close()
    measured: tuple[float, float] = here.recv()
    process.join()
    return measured


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coils", type=int, default=16)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=7)
    settings = parser.parse_args()
    sender = start_sender(settings.coils, settings.samples, settings.lines, 50)
    seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with sender.process:
        for _ in range(settings.turns):
            for consumer in CONSUMERS:
                for reader in READERS:
                    seconds.setdefault((consumer, reader), []).append(apart(sender, reader, consumer))
        with socket.create_connection(("127.0.0.1", sender.port)) as sock:
            sock.sendall(b"e")
    print(
        f"{sender.n_lines} lines of {settings.coils} coils x {settings.samples} samples, medians of {settings.turns} turns"
    )
    print(f"{'lines are':10} {'reader':12} {'1/s, wall':>10} {'times':>6} {'1/s, processor':>15} {'times':>6}")
    for (consumer, reader), measured in seconds.items():
        wall, processor = (statistics.median(values) for values in zip(*measured, strict=True))
        ratios = [
            [theirs / mine for theirs, mine in zip(stock_turn, our_turn, strict=True)]
            for stock_turn, our_turn in zip(seconds[consumer, "PyPI"], measured, strict=True)
        ]
        wall_ratio, processor_ratio = (statistics.median(values) for values in zip(*ratios, strict=True))
        print(
            f"{consumer:10} {reader:12} {1 / wall:10.0f} {wall_ratio:6.2f} {1 / processor:15.0f} {processor_ratio:6.2f}"
        )


if __name__ == "__main__":
    main()
