"""Memory of the server while it takes a scan that is larger than it may hold: resident bytes of its processes.

    python benchmarks/server_memory.py --gigabytes 2

Sends repetitions (or averages) of one simulated scan until so many bytes have gone out, and reads /proc meanwhile.
Repetitions are all reconstructed, so that lines have to wait; averages show the reading alone.
"""

from __future__ import annotations

import argparse
import copy
import socket
import threading
import time
from pathlib import Path

import ismrmrd
from ismrmrd.xsd import ToXML

from latency import start_server
from nilatron.pipelines.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, ConfigName, Connection, Header

PAGE_BYTES = 4096


def tree(pid: int) -> set[int]:
    """A process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def private_bytes(pid: int) -> int:
    """Memory of a process that it does not share."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def main() -> None:
    """Print what was sent, and the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--chain", default="cg_sense")
    parser.add_argument("--dimension", choices=("repetition", "average"), default="repetition")
    arguments = parser.parse_args()
    settings = SimulationSettings(matrix=(256, 256, 1), n_coils=16, acceleration=2, calibration_lines=24)
    header, items = simulate_items(settings)
    lines = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
    scan_bytes = sum(line.data.nbytes + 342 for line in lines)
    n_repetitions = max(1, round(arguments.gigabytes * 1e9 / scan_bytes))
    for encoding in header.encoding:
        limits = encoding.encodingLimits
        limit = copy.copy(limits.kspace_encoding_step_1)
        limit.minimum, limit.center, limit.maximum = 0, 0, n_repetitions - 1
        setattr(limits, arguments.dimension, limit)
    server, port = start_server(["--device", "cpu"])
    peaks: dict[int, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            for pid in tree(server.pid):
                peaks[pid] = max(peaks.get(pid, 0), private_bytes(pid))

    images = 0
    errors: list[str] = []
    try:
        with Connection(socket.create_connection(("127.0.0.1", port))) as connection:
            connection.send(ConfigName(arguments.chain))
            connection.send(Header.of(ToXML(header)))
            threading.Thread(target=watch, daemon=True).start()

            def send() -> None:
                for repetition in range(n_repetitions):
                    for line in lines:
                        setattr(line.idx, arguments.dimension, repetition)
                        connection.send(line)
                connection.send(Close())

            began = time.perf_counter()
            sender = threading.Thread(target=send)
            sender.start()
            for message in connection:
                if isinstance(message, ismrmrd.Image):
                    images += 1
                else:
                    errors.append(message.text)
            sender.join()
            seconds = time.perf_counter() - began
    finally:
        done.set()
        server.terminate()
        server.wait()
    print(
        f"{n_repetitions * scan_bytes / 1e9:.2f} GB sent in {seconds:.1f} s, {images} images, errors: {errors or 'none'}"
    )
    print("largest private memory of each process, MiB:", sorted((n >> 20 for n in peaks.values()), reverse=True))


if __name__ == "__main__":
    main()
