"""Good scans while a server is attacked, against the same scans alone, with all its memory.

    python benchmarks/attacks/run.py                # all attacks
    python benchmarks/attacks/run.py steps silent

For each attack: what it says itself; images of ten good scans of another peer, and their slowest and median time against
those alone on the same server; how often /readyz was not 200; the peak of the proportional memory of all processes of the
server, against that at rest; descriptors of the front. The memory limit is 1500 MiB.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor

from server import Friend, GoodScan, Server, Watch

from attacks import ATTACKS, Attack

N_SCANS, AT_ONCE = 10, 5
LIMIT_MIB = 1500
LEAD_S = 1.5  # of the attack, before the good scans come


def times(scans: list[GoodScan]) -> tuple[float, float]:
    """Median and slowest."""
    seconds = [scan.last_s for scan in scans]
    return statistics.median(seconds), max(seconds)


def row(name: str, attack: Attack, friend: Friend) -> str:
    """One attack on a server of its own."""
    server = Server.start("--memory-mb", str(LIMIT_MIB), *attack.options)
    try:
        friend.scan(server)
        with Watch(server) as resting:
            alone = friend.scans(server, N_SCANS, AT_ONCE)
        stop = threading.Event()
        with Watch(server) as watch, ThreadPoolExecutor(1) as pool:
            running = pool.submit(attack.run, server, stop)
            stop.wait(LEAD_S)
            under = friend.scans(server, N_SCANS, AT_ONCE)
            stop.set()
            figure = running.result()
        lines = len(server.log)
        alive = server.alive
    finally:
        server.end()
    (median, slowest), (median_alone, slowest_alone) = times(under), times(alone)
    n_images = sum(scan.n_images for scan in under)
    problems = sorted({scan.problem for scan in under if scan.problem})
    return (
        f"{name:18} images {n_images}/{N_SCANS * friend.n_images}, time x{median / median_alone:.2f} (median), "
        f"x{slowest / slowest_alone:.2f} (slowest, {slowest:.1f} s); memory {watch.peak_bytes >> 20} MiB "
        f"(without attack {resting.peak_bytes >> 20}); descriptors {watch.most_descriptors}; not ready "
        f"{watch.not_ready}; log {lines} lines; front {'alive' if alive else 'DEAD'}\n"
        f"{'':18} {figure}" + (f"\n{'':18} good scans: {'; '.join(problems)}" if problems else "")
    )


def main() -> None:
    """Print two lines an attack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], help="all by default")
    names = parser.parse_args().attacks or list(ATTACKS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # of this process; a server is started with what there was
    friend = Friend()
    for name in names:
        print(row(name, ATTACKS[name], friend), flush=True)


if __name__ == "__main__":
    main()
