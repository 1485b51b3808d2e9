"""Every method on the same k-space, in one run on one machine: seconds, PSNR, network evaluations, peak memory.

usage: python benchmarks/compare.py [--data DIR] [--weights NAME|FILE] [--quick] [--out DIR]

Ours (Nila fast, l1-wavelet, CG-SENSE, ESPIRiT), Nila as published (1000, 100, 50 steps), DDS and pULA (reimplemented), BART's
program (Debian) and BART 1.0 (PyPI bartorch), SigPy, deepinv's DiffPIR and DPS, PyPI gadgetron's Connection. All get the same
whitened k-space, the same coil maps and, where they take one, the same network. Cases: a simulated 256x256 slice of 16 coils at
two noise levels, and, with --data, a brain of 8 coils as scanned and with 2 and 4 times its noise added (reference: all lines).

Each method runs in a process of its own with all cores that this one may use. Seconds are those of the call, without start and
imports, as the median of several (one, where it takes long). A shared machine is faster now and slower then, so the row of ours
that others are divided by is measured anew after each of them; it shows the median. What is not installed, fails or takes too
long gets a row that says so. Writes compare.md, compare.json and compare.png into --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from nilatron.core.prior.weights import find_weights
from peers.cases import CaseSource, sources
from peers.interleaved import interleaved
from peers.measurement import RunSettings
from peers.registry import BY_KEY, LONG, Method
from peers.results import Report
from peers.worker import run_apart, work

BENCHMARKS = Path(__file__).parent


def main() -> int:
    """Run; 2 for a method or case that does not exist, 1 when one of our own methods did not run."""
    options = parsed()
    settings = RunSettings(options.weights, options.rounds, options.shorten)
    if options.work:
        return work(options.work[0], options.work[1].name, settings)
    chosen = cases(options)
    if not chosen:
        return 2
    methods = [BY_KEY[key] for key in options.methods or BY_KEY]
    methods = [method for method in methods if not (options.quick and method.n_evaluations > LONG)]
    report = Report(options.out, measured_machine(), settings.weights)
    print(report.introduction, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in chosen:
            print(f"\n{source.title}", flush=True)
            case = source.make()
            path = Path(folder) / f"{source.name}.npz"
            case.save(path)
            # streams do not depend on the case
            wanted = [method for method in methods if method.table != "stream" or source is chosen[0]]
            found = interleaved(wanted, partial(run, path, options))
            report.add(source.name, source.title, case.maps.shape, found)  # written anew: the next case may take hours
    print(f"\n{(options.out / 'compare.md').read_text()}")
    ours = [found for by_key in report.results.values() for key, found in by_key.items() if BY_KEY[key].is_ours]
    return int(any("missing" in found for found in ours))


def cases(options: argparse.Namespace) -> list[CaseSource]:
    """Those asked for; none, with a message, where one does not exist."""
    known = {source.name: source for source in sources(options.data)}
    if not any(name.startswith("brain") for name in known):
        print("without the brain: --data DIR names the folder of its file", file=sys.stderr)
    unknown = [name for name in options.cases or () if name not in known]
    if unknown:
        print(f"no case {', '.join(unknown)}: there are {', '.join(known)}", file=sys.stderr)
        return []
    return [known[name] for name in options.cases or known]


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the brain's k-space")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--quick", action="store_true", help=f"without runs of more than {LONG} network evaluations")
    parser.add_argument("--methods", nargs="+", choices=BY_KEY, metavar="METHOD", help=", ".join(BY_KEY))
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="brain0x brain2x brain4x simulated0.03 simulated0.1")
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of quick methods")
    parser.add_argument("--limit-s", type=float, default=7200.0, help="of one method on one case")
    parser.add_argument("--shorten", type=int, default=1, help="divide the steps of long runs by this, to try them out")
    parser.add_argument("--out", type=Path, default=Path("compare_output"), metavar="DIR")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def run(path: Path, options: argparse.Namespace, method: Method) -> dict[str, Any]:
    """One method in its process; a line on the terminal."""
    values = {"--weights": options.weights, "--rounds": options.rounds, "--shorten": options.shorten}
    words = [sys.executable, __file__, *(str(part) for pair in values.items() for part in pair)]
    found = run_apart([*words, "--work", str(path), method.key], method, options.limit_s)
    if options.shorten > 1 and method.n_evaluations > LONG and "note" in found:
        found["note"] = f"steps divided by {options.shorten}; {found['note']}"
    quality = found.get("psnr_db")
    told = found.get("missing") or f"{found['seconds']:8.3g} s" + (f"  {quality:6.2f} dB" if quality else "")
    print(f"  {method.label.replace('*', ''):36} {told}", flush=True)
    return found


def measured_machine() -> dict[str, Any]:
    """Rates of this machine, measured in a process of its own, and what it is."""
    words = [sys.executable, str(BENCHMARKS / "floors.py"), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return {**found, "load_at_start": os.getloadavg()[0], "processor": platform.machine()}


if __name__ == "__main__":
    sys.exit(main())
