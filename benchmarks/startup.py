"""Seconds from the start of the process to the first acquisition and to the first images of `nilatron replay`.

usage: python benchmarks/startup.py [RAW.h5 ...] [--repeats 7] [--json FILE]

Every row is a new process; rows take turns, medians are printed, with the fastest and the slowest. Without a file, a scan of
256 x 256 with 8 coils and two slices is simulated. For comparison: an empty Python, the packages that the stock Python
client of Gadgetron imports before it can read a line, and torch. The second table has where the time to the first
acquisition goes: own import time by package (`python -X importtime`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from report import markdown, write_json

MARK = "@ "  # in front of what the measured process prints: seconds of the clock all processes share, and what happened
END = f"import time; print('{MARK}' + str(time.monotonic()), 'done')"
PEERS = {
    "python -c pass": END,
    "python -c 'import gadgetron, ismrmrd'": f"import gadgetron, ismrmrd; {END}",
    "python -c 'import torch'": f"import torch; {END}",
}
SERIES = {1: "first image of the target", 2: "first conventional image"}
COMMANDS = (["--help"], ["configs", "list"], ["doctor", "--help"])


def main() -> int:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, nargs="*")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--chain", default="nila")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--replay", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay:
        return replay_with_marks(*arguments.replay, arguments.chain)
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.raw or [simulated(Path(folder) / "simulated.h5")]
        replays = {
            f"nilatron replay {raw.name}": [
                __file__,
                "--chain",
                arguments.chain,
                "--replay",
                str(raw),
                str(Path(folder) / "images.h5"),
            ]
            for raw in files
        }
        programs = {name: ["-c", code] for name, code in PEERS.items()}
        programs |= {f"nilatron {' '.join(words)}": ["-m", "nilatron", *words] for words in COMMANDS}
        rounds = [{name: run(words) for name, words in (programs | replays).items()} for _ in range(arguments.repeats)]
        imports = import_seconds(next(iter(replays.values())))
    seconds = {name: {event: [one[name][event] for one in rounds] for event in rounds[0][name]} for name in rounds[0]}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"seconds, median of {arguments.repeats} (fastest to slowest):\n")
    print(table(seconds))
    print("\nto the first acquisition, imports of the first file:\n")
    total = sum(imports.values())
    largest = sorted(imports.items(), key=lambda item: -item[1])[:12]
    print(markdown([{"package": name, "ms": round(1e3 * spent)} for name, spent in [*largest, ("all", total)]]))
    if arguments.json:
        write_json(arguments.json, {"seconds": seconds, "imports": imports})
    return 0


def simulated(path: Path) -> Path:
    """A scan as large as they commonly are."""
    from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

    simulate(path, SimulationSettings(matrix=(256, 256, 1), n_coils=8, n_slices=2, acceleration=4, noise_std=0.05))
    return path


def run(words: list[str]) -> dict[str, float]:
    """Seconds from the start of a process to each of its marks, or to its end where it makes none."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True)
    ended = time.monotonic()
    marks = [line.removeprefix(MARK).split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(MARK)]
    return {name: float(moment) - started for moment, name in marks} or {"done": ended - started}


def replay_with_marks(raw: Path, output: Path, chain: str) -> int:
    """Run the command line, and print when the first acquisition was read and the first image of each series written."""
    import ismrmrd

    from nilatron.pipelines.files.images import ImageFile
    from nilatron.pipelines.files.raw import RawFile

    read, write = RawFile.items, ImageFile.write
    seen: set[str] = set()

    def mark(event: str) -> None:
        if event not in seen:
            seen.add(event)
            print(f"{MARK}{time.monotonic()} {event}", flush=True)

    def items(self: RawFile) -> object:
        for item in read(self):
            mark("first acquisition")
            yield item

    def written(self: ImageFile, image: ismrmrd.Image) -> None:
        write(self, image)
        mark(SERIES.get(image.image_series_index, "first other image"))

    RawFile.items, ImageFile.write = items, written
    from nilatron.pipelines.cli import main as command_line

    sys.argv = ["nilatron", "replay", str(raw), "-o", str(output), "-c", chain, "--overwrite", "-G", "images"]
    command_line()
    return 0


def import_seconds(words: list[str]) -> dict[str, float]:
    """Own import time by top-level package, of modules imported before the first acquisition."""
    process = subprocess.run(
        [sys.executable, "-u", "-X", "importtime", *words],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    spent: dict[str, float] = defaultdict(float)
    for line in process.stdout.splitlines():
        if line.startswith(MARK):
            break
        fields = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and fields[0].strip().isdigit():
            name = fields[2].strip().split(".")[0]
            spent["standard library" if name in sys.stdlib_module_names else name] += 1e-6 * int(fields[0])
    return dict(spent)


def table(seconds: Mapping[str, Mapping[str, list[float]]]) -> str:
    """One row a program, one column an event."""
    events = list(dict.fromkeys(event for row in seconds.values() for event in row))
    return markdown(
        [{"": f"`{name}`"} | {event: spread(row.get(event)) for event in events} for name, row in seconds.items()]
    )


def spread(values: list[float] | None) -> str | None:
    """Median, and the fastest and slowest."""
    if values is None:
        return None
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
