"""Whether the images of scans with odd headers, orders, samples and noise are right, and if not, whether anybody is told.

usage: python benchmarks/odd_scans.py [NAME...] [--chain nila] [--weights tiny] [--stream] [-o table.md]

Each situation of `situations/` is an edit of a plain scan. Both are reconstructed with `nilatron replay` (with `--stream`
through a warm server, which knows only the lines that have come) and compared with the truth: PSNR of magnitudes over the
foreground after one scale, of the image that loses most against its control. Ends with 1 if an image is 3 dB or more below its
control, or missing, and the exit code is 0; or if a situation whose image ought to be right lost it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

import nilatron.gadgets.methods
import nilatron.pipelines.replay.run  # noqa: F401  imported once, before processes are forked
from latency import start_server
from nilatron.pipelines.cli import main as command_line
from nilatron.pipelines.simulation.settings import SimulationSettings
from situations import calibration, directions, geometry, header, lengths, noise, order, references, samples, validity
from situations.scan import SITUATIONS, Scan, Situation, plain, write

# importing them fills SITUATIONS
ROOMS = (samples, lengths, directions, order, calibration, references, validity, header, geometry, noise)
COUNTERS = ("slice", "contrast", "repetition")
WRONG_DB = 3.0
SUBSTANCE = re.compile(r"^(error|warning|\S*:? ?(warning|error))|doubtful|left out|missing|not |without", re.IGNORECASE)


@dataclass(frozen=True)
class Outcome:
    """What a replay did: exit code, messages, PSNR of each image of the truth (nan where there is none)."""

    code: int
    lines: list[str]
    psnr_db: tuple[float, ...]


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """PSNR over the foreground in dB, magnitudes, after one least-squares scale."""
    if image.shape != truth.shape:
        return float("nan")
    truth = np.abs(truth).astype(float)
    error = (image * truth).sum() / max((image**2).sum(), 1e-30) * image - truth
    foreground = truth > 0.05 * truth.max()
    return float(10 * np.log10(truth.max() ** 2 / np.mean(error[foreground] ** 2)))


def images_of(path: Path) -> list[np.ndarray]:
    """Magnitudes (z, y, x) of series 1, by slice, contrast, repetition."""
    found = []
    if path.exists():
        with h5py.File(path) as file:
            for name, group in file["images"].items():
                if re.fullmatch(r"image_1(_\d+)?", name):
                    found += zip(group["header"][()], group["data"][()], strict=True)
    found.sort(key=lambda pair: [int(pair[0][name]) for name in COUNTERS])
    return [np.abs(data[0].astype(np.float64)) for _, data in found]


def replay(scan: Scan, folder: Path, options: list[str]) -> Outcome:
    """Write a scan, reconstruct it, compare it with its truth."""
    raw, out = folder / "raw.h5", folder / "out.h5"
    out.unlink(missing_ok=True)
    write(raw, scan)
    words = ["replay", str(raw), "-o", str(out), "-G", "images", *options, *scan.options]
    words += ["--noise", str(folder / "raw_noise.h5")] if scan.noise else []
    code, lines = run(words, folder / "messages.txt")
    images = images_of(out)
    complete = len(images) == len(scan.truth)
    figures = [psnr(*pair) for pair in zip(images, scan.truth, strict=True)] if complete else [float("nan")]
    return Outcome(code, lines, tuple(figures))


def run(words: list[str], messages: Path) -> tuple[int, list[str]]:
    """Exit code and messages of a command, in a copy of this process, whose imports are done."""
    child = os.fork()
    if child == 0:
        with messages.open("w") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
        sys.argv = ["nilatron", *words]
        try:
            command_line()
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        finally:
            sys.stderr.flush()
            os._exit(70)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), [line for line in messages.read_text().splitlines() if line.strip()]


def verdict(situation: Situation, loss_db: float, code: int) -> str:
    """`ok`, or what is wrong: WRONG (nobody was told), LOST (told, but the image ought to be right)."""
    bad = not loss_db < WRONG_DB  # nan: there is no image
    if bad and code == 0:
        return "WRONG"
    if situation.right == "image" and (not loss_db < situation.loss_db or code != 0):
        return "LOST" if not loss_db < situation.loss_db else "ALARM"
    if situation.right == "refused" and code == 0:
        return "TAKEN"
    return "ok"


def message_of(lines: list[str]) -> str:
    """The last line that says something about the scan."""
    telling = [line for line in lines if SUBSTANCE.search(line)]
    return (telling or lines or [""])[-1].replace("|", "/")[:170]


def main() -> int:
    """Print a row for each situation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="situations or kinds; all by default")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--chain", default="nila")
    parser.add_argument("--stream", action="store_true", help="through a warm server")
    parser.add_argument("-o", "--output", type=Path, help="the table as a file")
    chosen = parser.parse_args()
    situations = [s for s in SITUATIONS.values() if not chosen.names or {s.name, s.kind} & set(chosen.names)]
    options, server = ["-c", chosen.chain, "--weights", chosen.weights], None
    if chosen.stream:
        server, port = start_server(["--weights", chosen.weights])
        options = ["-c", chosen.chain, "--address", f"127.0.0.1:{port}"]
    rows = ["| kind | situation | report | control dB | image dB | exit | verdict | message |", "|" + "---|" * 8]
    controls: dict[SimulationSettings, Outcome] = {}
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for situation in situations:
            if situation.settings not in controls:
                controls[situation.settings] = replay(plain(situation.settings), folder, options)
            control = controls[situation.settings]
            scan = plain(situation.settings)
            situation.edit(scan)
            outcome = replay(scan, folder, options)
            expected = control.psnr_db * (len(scan.truth) // len(control.psnr_db))
            losses = [c - p for c, p in zip(expected, outcome.psnr_db, strict=False)]
            worst = int(np.argmax(np.nan_to_num(losses, nan=np.inf)))
            found = verdict(situation, losses[worst], outcome.code)
            wrong += found != "ok"
            report = situation.source or "variation"
            image = f"{outcome.psnr_db[worst]:.1f}" if np.isfinite(losses[worst]) else "-"
            rows.append(
                f"| {situation.kind} | {situation.name.replace('_', ' ')} | {report} | {expected[worst]:.1f} "
                f"| {image} | {outcome.code} | {found} | {message_of(outcome.lines)} |"
            )
            print(rows[-1], flush=True)
    if server is not None:
        server.terminate()
    if chosen.output:
        chosen.output.write_text("\n".join(rows) + "\n")
    print(f"{len(situations) - wrong} of {len(situations)} as they ought to be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
