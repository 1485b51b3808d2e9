"""Memory and descriptors of a server over many scans, a tenth of them hostile, with kills in between; images that are lost.

    python benchmarks/attacks/soak.py --scans 2000 --plot soak.png

Good scans come two at a time. Hostile ones: bytes that are no messages, a header that ends in the middle, a scan whose peer
hangs up, lines of 128 channels under a header of one, a header with a million elements, a chain that there is not. Of a hundred
scans one is followed by the death of the worker, and one by that of a session of another peer.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from contextlib import suppress
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from server import Friend, Server, descriptors_of, memory_of, tree_of

from attacks import bytes_of, made, properties
from nilatron.pipelines.simulation.simulate import SimulationSettings
from nilatron.pipelines.wire import Close, ConfigName, Header

TINY = SimulationSettings(matrix=(32, 32, 1), n_coils=2, n_slices=1, acceleration=2, calibration_lines=12)
SETTLED = 20  # turns after which the first look counts
REPORTED_TURNS = 50  # between lines that say how it goes
HOSTILE_TURNS = 0.18  # with two good scans in each of the others, a tenth of the scans

HEADER, LINES = made(TINY)
WIDE = HEADER.replace("</ismrmrdHeader>", "<userParameters>" + "<a/>" * 1_000_000 + "</userParameters></ismrmrdHeader>")


def hostile_streams() -> list[bytes]:
    """What hostile peers send before they leave."""
    wide = made(SimulationSettings(matrix=(32, 32, 1), n_coils=128, n_slices=1, acceleration=2))[1]
    return [
        os.urandom(4096),
        bytes_of(properties(), Header.of(HEADER))[:900],
        bytes_of(properties(), Header.of(HEADER), *LINES[: len(LINES) // 2]),
        bytes_of(properties(steps=1000), Header.of(HEADER), *LINES, Close()),
        bytes_of(properties(), Header.of(HEADER.replace(">2<", ">1<")), *wide, Close()),
        bytes_of(properties(), Header.of(WIDE)),
        bytes_of(ConfigName("no such chain"), Header.of(HEADER), Close()),
    ]


def attack(server: Server, stream: bytes, *, stay_s: float) -> None:
    """Send it, stay for a moment, and leave."""
    with suppress(OSError), server.connect() as sock:
        sock.sendall(stream)
        time.sleep(stay_s)


def kill_one(server: Server, part: str) -> None:
    """Kill a worker or a session, if there is one."""
    worker = next((line["pid"] for line in reversed(server.log) if "worker is ready" in str(line["message"])), 0)
    helpers = [pid for pid in tree_of(server.process.pid) if pid != worker and b"forkserver" in command(pid)]
    pid = worker if part == "worker" else max(helpers, default=0)
    with suppress(ProcessLookupError):
        if pid:
            os.kill(int(str(pid)), signal.SIGKILL)


def command(pid: int) -> bytes:
    """Command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def plot(seconds: list[float], looks: dict[str, list[float]], path: Path) -> None:
    """One panel a figure."""
    _, axes = plt.subplots(len(looks), 1, sharex=True, figsize=(8, 2.2 * len(looks)))
    for axis, (name, values) in zip(axes, looks.items(), strict=True):
        axis.plot(seconds, values, linewidth=1)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("scans")
    plt.tight_layout()
    plt.savefig(path, dpi=110)


def main() -> None:
    """Print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=240.0, help="to stop after, however many scans there were")
    parser.add_argument("--plot", type=Path, default=Path("soak.png"))
    parser.add_argument("--no-kills", action="store_true")
    arguments = parser.parse_args()
    rng, streams, friend = np.random.default_rng(1), hostile_streams(), Friend(TINY)
    server = Server.start("--memory-mb", "1500")
    names = ("memory of all, MiB", "memory of the front, MiB", "descriptors of the front", "processes")
    looks: dict[str, list[float]] = {name: [] for name in names}
    counted: list[float] = []
    n_good = n_images = n_hostile = n_kills = 0
    problems: list[str] = []
    began = time.monotonic()
    try:
        while (
            n_good + n_hostile < arguments.scans and server.alive and time.monotonic() - began < 60 * arguments.minutes
        ):
            if rng.random() < HOSTILE_TURNS:
                n_hostile += 1
                attack(server, streams[rng.integers(len(streams))], stay_s=0.2 * (rng.random() < 0.3))
            else:
                for scan in friend.scans(server, 2, 2):
                    n_good += 1
                    n_images += scan.n_images
                    if scan.n_images != friend.n_images:
                        problems.append(scan.problem)
            if not arguments.no_kills and rng.random() < 0.02:
                n_kills += 1
                kill_one(server, "worker" if rng.random() < 0.5 else "session")
            root = server.process.pid
            pids = (root, *tree_of(root))
            now = (sum(map(memory_of, pids)) >> 20, memory_of(root) >> 20, descriptors_of(root), len(pids))
            for name, value in zip(names, now, strict=True):
                looks[name].append(float(value))
            counted.append(float(n_good + n_hostile))
            if len(counted) % REPORTED_TURNS == 0:
                seconds = time.monotonic() - began
                print(
                    f"{counted[-1]:.0f} scans, {n_kills} kills, {seconds:.0f} s: {now}, {len(problems)} bad", flush=True
                )
        alive = server.alive
    finally:
        server.end()
    print(
        f"{n_good} good scans, {n_hostile} hostile ones, {n_kills} kills in {time.monotonic() - began:.0f} s: "
        f"{n_images} of {n_good * friend.n_images} images, front {'alive' if alive else 'DEAD'}"
    )
    for line in () if alive else server.log[-5:]:
        print(f"  {line}")
    for text in sorted(set(problems)):
        print(f"  {problems.count(text)} x {text}")
    for name, values in looks.items():
        settled = values[SETTLED:] or values
        quarter = max(1, len(settled) // 4)
        first, last = settled[:quarter], settled[-quarter:]
        print(
            f"{name:26} median {statistics.median(first):.0f} in the first quarter, {statistics.median(last):.0f} in the last"
        )
    plot(counted, looks, arguments.plot)


if __name__ == "__main__":
    main()
