"""Memory of the server while it takes a scan that is larger than it may hold: resident bytes of its processes.

    python benchmarks/server_memory.py --gigabytes 2

Sends repetitions (or averages) of one simulated slice until so many bytes have gone out, and reads /proc meanwhile.
Repetitions are all reconstructed, so that lines have to wait; averages show the reading alone. What grows with the scan
shows from quarter to quarter of the images (of the lines, where there is one image).
"""

from __future__ import annotations

import argparse
import copy
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import ismrmrd
from ismrmrd.xsd import ToXML

from latency import start_server
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import Close, ConfigName, Connection, Header

QUARTERS = 4


def children() -> dict[int, set[int]]:
    """Processes by their parent."""
    found: dict[int, set[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        found.setdefault(parent, set()).add(int(entry.name))
    return found


def forked_for(server: int) -> set[int]:
    """What the fork server of a server has started: workers and sessions."""
    below = children()
    return {pid for helper in below.get(server, ()) for pid in below.get(helper, ())}


def resident(pid: int) -> tuple[int, int]:
    """All resident memory of a process, and what of it no other process shares, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    n_bytes = {words[0]: int(words[1]) * 1024 for line in lines if len(words := line.split()) == 3}
    return n_bytes.get("Rss:", 0), n_bytes.get("Private_Clean:", 0) + n_bytes.get("Private_Dirty:", 0)


@dataclass
class Peaks:
    """The largest memory of each part of a server, by quarter of the scan; `look` again and again."""

    server: int
    workers: set[int]
    quarter: int = 0
    resident: dict[tuple[str, int], int] = field(default_factory=Counter)
    private: dict[tuple[str, int], int] = field(default_factory=Counter)

    def look(self) -> None:
        """Measure once."""
        found = {"front": {self.server}, "worker": self.workers, "session": forked_for(self.server) - self.workers}
        for part, pids in found.items():
            now = [resident(pid) for pid in pids]
            for peaks, n_bytes in zip((self.resident, self.private), map(sum, zip(*now, strict=True)), strict=False):
                key = part, self.quarter
                peaks[key] = max(peaks[key], n_bytes)

    def table(self) -> str:
        """Megabytes, a line a part."""
        titles = "".join(f"{f'quarter {number + 1}':>16}" for number in range(QUARTERS))
        rows = [f"{'MiB (private)':14}{titles}"]
        for part in ("front", "session", "worker"):
            cells = [
                f"{self.resident[part, number] >> 20} ({self.private[part, number] >> 20})"
                for number in range(QUARTERS)
            ]
            rows.append(f"{part:14}" + "".join(f"{cell:>16}" for cell in cells))
        return "\n".join(rows)


def main() -> None:
    """Print what was sent, and the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--chain", default="cg_sense")
    parser.add_argument("--dimension", choices=("repetition", "average"), default="repetition")
    parser.add_argument("--matrix", type=int, default=256, help="of the slice, both ways")
    parser.add_argument("--coils", type=int, default=16)
    arguments = parser.parse_args()
    settings = SimulationSettings(
        matrix=(arguments.matrix, arguments.matrix, 1), n_coils=arguments.coils, acceleration=2, calibration_lines=24
    )
    header, items = simulate_items(settings)
    lines = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
    scan_bytes = sum(line.data.nbytes + 342 for line in lines)
    n_repetitions = max(QUARTERS, round(arguments.gigabytes * 1e9 / scan_bytes))
    for encoding in header.encoding:
        limits = encoding.encodingLimits
        limit = copy.copy(limits.kspace_encoding_step_1)
        limit.minimum, limit.center, limit.maximum = 0, 0, n_repetitions - 1
        setattr(limits, arguments.dimension, limit)
    server, port = start_server(["--device", "cpu"])
    peaks = Peaks(server.pid, forked_for(server.pid))
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            peaks.look()

    images = 0
    errors: list[str] = []
    try:
        with Connection(socket.create_connection(("127.0.0.1", port))) as connection:
            connection.send(ConfigName(arguments.chain))
            connection.send(Header.of(ToXML(header)))
            threading.Thread(target=watch, daemon=True).start()

            def send() -> None:
                for repetition in range(n_repetitions):
                    if arguments.dimension == "average":
                        peaks.quarter = QUARTERS * repetition // n_repetitions
                    for line in lines:
                        setattr(line.idx, arguments.dimension, repetition)
                        connection.send(line)
                connection.send(Close())

            began = time.perf_counter()
            sender = threading.Thread(target=send)
            sender.start()
            for message in connection:
                if not isinstance(message, ismrmrd.Image):
                    errors.append(message.text)
                    continue
                images += 1
                if arguments.dimension == "repetition":
                    peaks.quarter = min(QUARTERS * images // n_repetitions, QUARTERS - 1)
            sender.join()
            seconds = time.perf_counter() - began
    finally:
        done.set()
        server.terminate()
        server.wait()
    print(
        f"{n_repetitions * scan_bytes / 1e9:.2f} GB sent in {seconds:.1f} s, {n_repetitions} {arguments.dimension}s of "
        f"{len(lines)} lines, {images} images, errors: {errors or 'none'}"
    )
    print(peaks.table())


if __name__ == "__main__":
    main()
