"""Seconds a slice against BART on a raw file: coil maps and reconstruction, start-up and reading excluded.

usage: python benchmarks/seconds_per_slice.py RAW.h5 [--weights tiny] [--engine openvino]

Ours: coil compression, maps, conventional image and Nila image of the chain `nila`. BART: `ecalib -m1` and
`pics -R W:3:0:0.01 -i60`, as processes, on the same whitened k-space. The two take turns; the median of the ratios is printed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bart import ITERATIONS, Bart
from nilatron.core.prior.weights import SHIPPED, shipped_weights
from nilatron.gadgets.compression import CoilCompression, CompressionSettings
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.gadgets.sensitivities import with_maps
from nilatron.pipelines.threads import calm_threads
from slices import first_slice


def ours(item: KSpaceSlice, context: Context, settings: NilaNodeSettings, weights: Path) -> float:
    """Seconds of compression, maps and images."""
    started = time.perf_counter()
    (compressed,) = CoilCompression(CompressionSettings())([item], context)
    images = list(Reconstructor("nila", settings, weights).reconstruct(with_maps(compressed, context), context))
    if len(images) != 2:
        raise RuntimeError(f"expected a conventional and a Nila image, got {len(images)}")
    return time.perf_counter() - started


def barts(bart: Bart, n_calibration: int) -> float:
    """Seconds of ecalib and pics."""
    seconds = bart.run("ecalib", "-m1", f"-r{n_calibration}", "kspace", "maps")
    return seconds + bart.run("pics", "-R", "W:3:0:0.01", f"-i{ITERATIONS}", "kspace", "maps", "image")


def main() -> int:
    """Print every round and the median; 2 when BART or the file are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--weights", choices=SHIPPED, default="default")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    program = shutil.which("bart")
    if program is None or not options.raw.is_file():
        print("needs the program bart (Debian package bart) and a raw file", file=sys.stderr)
        return 2
    calm_threads()  # as in our commands
    item, context = first_slice(options.raw)
    if item.calibration is None:
        print(f"{options.raw} has no calibration lines for ecalib", file=sys.stderr)
        return 2
    settings, weights = (
        NilaNodeSettings(engine=options.engine, precision=options.precision),
        shipped_weights(options.weights),
    )
    ours(item, context, settings, weights)  # the first call pays for loading weights and tuning convolutions
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(program, Path(folder))
        bart.write("kspace", item.kspace)
        for _ in range(options.rounds):
            pairs.append((ours(item, context, settings, weights), barts(bart, item.calibration.shape[2])))
            print("ours {:.2f} s, BART {:.2f} s, ratio {:.2f}".format(*pairs[-1], pairs[-1][0] / pairs[-1][1]))
    print(f"median ratio ours / BART: {statistics.median(a / b for a, b in pairs):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
