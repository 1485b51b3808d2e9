"""Peak memory of a replay through nila.xml on the CPU, and that it does not grow with the number of slices.

usage: python benchmarks/memory.py [--chain nila] [--acceleration 3]

Simulates scans of 256 x 256 pixels, 16 coils, 2-fold readout oversampling, slices in interleaved order, of 5 and of 20
slices, and replays each in a process of its own, whose peak resident memory (VmHWM of Linux) is taken. Exit code 1 when a peak
is above 2 GB or the peak of 20 slices is more than 5 % above that of 5.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MATRIX, N_COILS = (256, 256, 1), 16
N_SLICES = (5, 20)
BOUND_BYTES = 2e9
GROWTH = 1.05


def main() -> int:
    """Print a line per scan; 0 if the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chain", default="nila")
    parser.add_argument("--acceleration", type=int, default=3)
    parser.add_argument("--replay", type=Path, metavar="RAW", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay:
        print(json.dumps(replay_and_measure(arguments.replay, arguments.chain)))
        return 0
    print(f"{MATRIX[0]}x{MATRIX[1]}, {N_COILS} coils, R={arguments.acceleration}, chain {arguments.chain}, CPU")
    peaks = [measure(n_slices, arguments.chain, arguments.acceleration) for n_slices in N_SLICES]
    growth = peaks[-1] / peaks[0]
    print(f"growth from {N_SLICES[0]} to {N_SLICES[-1]} slices: {100 * (growth - 1):+.1f} %")
    good = max(peaks) < BOUND_BYTES and growth < GROWTH
    print("within the bounds" if good else f"expected below {BOUND_BYTES / 1e9:g} GB and growth below {GROWTH:g}")
    return 0 if good else 1


def measure(n_slices: int, chain: str, acceleration: int) -> float:
    """Peak resident bytes of the replay of one simulated scan."""
    from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.h5"
        settings = SimulationSettings(
            matrix=MATRIX, n_coils=N_COILS, n_slices=n_slices, acceleration=acceleration, noise_std=0.05
        )
        simulate(raw, settings)
        words = [sys.executable, __file__, "--chain", chain, "--replay", str(raw)]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        n_megabytes = raw.stat().st_size / 1e6
    print(
        f"{n_slices:3d} slices ({n_megabytes:.0f} MB raw): {found['n_images']} images in {found['seconds']:.1f} s, "
        f"peak {found['peak_bytes'] / 1e6:.0f} MB (of it {found['imports_bytes'] / 1e6:.0f} MB after imports)"
    )
    return float(found["peak_bytes"])


def replay_and_measure(raw: Path, chain: str) -> dict[str, float]:
    """Replay in this process."""
    from nilatron.pipelines.replay.run import replay
    from nilatron.pipelines.replay.settings import ReplaySettings

    imports_bytes = peak_bytes()
    report = replay(ReplaySettings(raw, raw.with_name("images.h5"), chain, device="cpu"))
    return {
        "imports_bytes": imports_bytes,
        "peak_bytes": peak_bytes(),
        "n_images": report.n_images,
        "seconds": report.seconds,
    }


def peak_bytes() -> float:
    """Peak resident memory of this process so far; `ru_maxrss` would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


if __name__ == "__main__":
    sys.exit(main())
