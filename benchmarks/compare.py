"""Every method on the same k-space, in one run on one machine: seconds, PSNR, network evaluations, peak memory.

usage: python benchmarks/compare.py [--data DIR] [--weights default|tiny|FILE] [--quick] [--out DIR]

Ours (Nila fast, l1-wavelet, CG-SENSE, ESPIRiT), Nila as published (1000, 100, 50 steps), DDS and pULA (reimplemented), BART's
program (Debian) and BART 1.0 (PyPI bartorch), SigPy, deepinv's DiffPIR and DPS, PyPI gadgetron's Connection. All get the same
whitened k-space, the same coil maps and, where they take one, the same network. Cases: a simulated 256x256 slice of 16 coils at
two noise levels, and, with --data, a brain of 8 coils as scanned and with 2 and 4 times its noise added (reference: all lines).

Each method runs in a process of its own with all cores that this one may use. Seconds are those of the call, without start and
imports, as the median of several (one, where it takes long). What is not installed, fails or takes too long gets a row that
says so. Writes compare.md, compare.json and compare.png into --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from nilatron.core.prior.weights import SHIPPED, shipped_weights
from nilatron.pipelines.files import atomic_path
from peers import tables
from peers.measurement import RunSettings
from peers.registry import BY_KEY, LONG, METHODS, OURS, Method
from peers.worker import n_cores, run_apart, work
from report import Cell, write_json

BENCHMARKS = Path(__file__).parent


def main() -> int:
    """Run; 2 for a method or case that does not exist, 1 when one of our own methods did not run."""
    options = parsed()
    settings = RunSettings(options.weights, options.rounds, options.shorten)
    if options.work:
        return work(options.work[0], options.work[1].name, settings)
    from peers.cases import sources

    chosen = {source.name: source for source in sources(options.data)}
    unknown = [name for name in options.cases or () if name not in chosen]
    if unknown:
        print(f"no case {', '.join(unknown)}: there are {', '.join(chosen)} (brain: with --data)", file=sys.stderr)
        return 2
    if not any(name.startswith("brain") for name in chosen):
        print("without the brain: --data DIR names the folder of its file", file=sys.stderr)
    names = options.cases or list(chosen)
    methods = [BY_KEY[key] for key in options.methods or BY_KEY]
    methods = [method for method in methods if not (options.quick and method.n_evaluations > LONG)]
    machine = measured_machine()
    results: dict[str, dict[str, Any]] = {name: {} for name in names}
    shapes = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            print(f"\n{chosen[name].title}", flush=True)
            path = Path(folder) / f"{name}.npz"
            case = chosen[name].make()
            case.save(path)
            shapes[name] = case.maps.shape
            for method in methods:
                if method.table == "stream" and name != names[0]:
                    continue  # does not depend on the case
                results[name][method.key] = run(path, method, options)
    titles = {name: chosen[name].title for name in names}
    floors = [
        row
        for name in names
        if (row := floor_row(machine, titles[name], shapes[name], results[name], settings.weights))
    ]
    write(options.out, machine, titles, results, floors, settings)
    print(f"\n{(options.out / 'compare.md').read_text()}")
    ours = [found for by_key in results.values() for key, found in by_key.items() if BY_KEY[key].package == "nilatron"]
    return int(any("missing" in found for found in ours))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the brain's k-space")
    parser.add_argument("--weights", type=weights_file, default="default", help="default, tiny or a file")
    parser.add_argument("--quick", action="store_true", help=f"without runs of more than {LONG} network evaluations")
    parser.add_argument("--methods", nargs="+", choices=BY_KEY, metavar="METHOD", help=", ".join(BY_KEY))
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="brain0x brain2x brain4x simulated0.03 simulated0.1")
    parser.add_argument("--rounds", type=int, default=5, help="timed calls of quick methods")
    parser.add_argument("--limit-s", type=float, default=7200.0, help="of one method on one case")
    parser.add_argument("--shorten", type=int, default=1, help="divide the steps of long runs by this, to try them out")
    parser.add_argument("--out", type=Path, default=Path("compare_output"), metavar="DIR")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def weights_file(text: str) -> Path:
    """Shipped weights by name, or a file."""
    return shipped_weights(text) if text in SHIPPED else Path(text)


def run(path: Path, method: Method, options: argparse.Namespace) -> dict[str, Any]:
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
    load = os.getloadavg()[0]
    return {**found, "load_at_start": load, "python": platform.python_version(), "system": platform.machine()}


def floor_row(
    machine: dict[str, Any], title: str, shape: tuple[int, ...], results: dict[str, Any], weights: Path
) -> dict[str, Cell] | None:
    """What Nila fast could not do without, and what it took."""
    found = results.get(OURS, {})
    if "missing" in found or not found:
        return None
    from floors import Machine, floor_of, network_flops, product_bytes

    known = Machine(*(machine[name] for name in ("n_cores", "convolution_flops", "convolution", "copy_bytes")))
    flops, n_bytes = network_flops(weights, (shape[-2], shape[-1])), product_bytes(shape[0], shape[1:])
    floor = floor_of(known, found["n_evaluations"], flops, found["n_products"], n_bytes)
    return {
        "Nila fast": title,
        "evaluations": f"{found['n_evaluations']} x {flops / 1e9:.2f} GFLOP",
        "network, at least / s": f"{floor.network_s:.3f}",
        "A^H A": f"{found['n_products']} x {n_bytes / 1e6:.0f} MB",
        "Fourier, at least / s": f"{floor.fourier_s:.3f}",
        "achieved / s": f"{found['seconds']:.3f}",
        "achieved / floor": found["seconds"] / floor.total_s,
    }


def write(
    folder: Path,
    machine: dict[str, Any],
    titles: dict[str, str],
    results: dict[str, dict[str, Any]],
    floors: list[dict[str, Cell]],
    settings: RunSettings,
) -> None:
    """Text, figures for programs, and the picture."""
    folder.mkdir(parents=True, exist_ok=True)
    streams = {key: found for by_key in results.values() for key, found in by_key.items()}
    introduction = (
        f"# Comparison\n\n{machine['n_cores']} cores ({n_cores()} for every method), load at the start "
        f"{machine['load_at_start']:.1f}; {machine['convolution_flops'] / 1e9:.0f} GFLOP/s ({machine['convolution']}), "
        f"{machine['copy_bytes'] / 1e9:.1f} GB/s when copying. Network: {settings.weights.stem}.\n"
    )
    parts = [introduction, tables.section("Floors", floors)]
    for name, title in titles.items():
        parts.append(tables.section(title, tables.image_rows(results[name])))
        parts.append(
            tables.section(f"{title}: coil maps", tables.map_rows(results[name]), tables.slice_sentence(results[name]))
        )
    parts.append(tables.section("Streams", tables.stream_rows(streams)))
    with atomic_path(folder / "compare.md") as temporary:
        temporary.write_text("\n".join(parts))
    content = {"machine": machine, "weights": settings.weights.name, "floors": floors, "cases": results}
    write_json(folder / "compare.json", {**content, "labels": {method.key: method.label for method in METHODS}})
    try:
        from peers.figure import draw

        draw(results, titles, folder / "compare.png")
    except ImportError as error:
        print(f"no compare.png: {error} (pip install matplotlib)", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
