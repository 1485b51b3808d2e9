"""Replays interrupted at random times by Ctrl-C and SIGTERM: what they leave behind.

    python benchmarks/interrupted.py --runs 200

Every other one goes through a server (`--address`), every third replaces the complete file of an earlier run. After each the
folder must hold nothing but whole files, and images, as many as there are, that equal those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

PROGRAM = (sys.executable, "-m", "nilatron")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
WAIT_S = 120.0


def main() -> None:
    """Interrupt, look, count; exit code 1 where anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)  # noqa: S311
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell has its background jobs ignore it, and their children
    with tempfile.TemporaryDirectory() as name, server() as address:
        folder = Path(name)
        raw = folder / "scan.h5"
        words = ("--matrix", "96,96", "--slices", "6", "--coils", "4")
        subprocess.run([*PROGRAM, "simulate", raw, *words], check=True, stdout=subprocess.DEVNULL)
        outcomes, problems = Counter[str](), list[str]()
        here, there = (Expected(raw, folder / f"whole_{kind}", ways) for kind, ways in ways_of(address).items())
        for number in range(arguments.runs):
            expected = there if number % 2 else here
            after_s = rng.uniform(0.0, expected.seconds)
            outcome, found = interrupted(
                expected, folder / f"run_{number}", after_s, rng.choice(SIGNALS), number % 3 == 0
            )
            outcomes[outcome] += 1
            problems += [f"run {number}, after {after_s:.2f} s: {problem}" for problem in found]
    print(
        f"{arguments.runs} replays of {here.seconds:.1f} s here and {there.seconds:.1f} s on a server, interrupted at random"
    )
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:5d} {outcome}")
    print("\n".join(problems) or "no debris, no half image, no earlier file lost")
    sys.exit(bool(problems))


def ways_of(address: str) -> dict[str, tuple[str, ...]]:
    """Options of a replay in its own process and on a server."""
    return {
        "here": ("-c", "nila", "--set", "steps=3"),
        "there": ("-c", "cg_sense", "--address", address, "--real-time"),
    }


class Expected:
    """A replay that nobody interrupts: its time, its images and its pictures."""

    def __init__(self, raw: Path, folder: Path, ways: tuple[str, ...]) -> None:
        self.command = (*PROGRAM, "replay", str(raw), "-G", "images", "--overwrite", *ways)
        folder.mkdir()
        started = time.perf_counter()
        subprocess.run(
            [*self.command, "-o", folder / "out.h5", "--png", folder / "png"], check=True, stdout=subprocess.DEVNULL
        )
        self.seconds = time.perf_counter() - started
        self.images, self.pictures = read_images(folder / "out.h5"), read_pictures(folder / "png")
        self.file = (folder / "out.h5").read_bytes()


def interrupted(expected: Expected, folder: Path, after_s: float, number: int, replaces: bool) -> tuple[str, list[str]]:
    """What came of one replay that gets a signal after some seconds, in words, and what is wrong with it."""
    folder.mkdir()
    if replaces:
        (folder / "out.h5").write_bytes(expected.file)
    command = [*expected.command, "-o", folder / "out.h5", "--png", folder / "png"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, told = process.communicate(timeout=WAIT_S)
    expected.seconds = (
        min(expected.seconds, time.perf_counter() - started) if not process.returncode else expected.seconds
    )
    problems = look(expected, folder)
    if process.returncode not in (0, 128 + number, -number, 1):
        problems.append(f"exit code {process.returncode}: {told[-300:]}")
    if replaces and not whole(expected, folder / "out.h5"):
        problems.append("the complete file of an earlier run is gone")
    found = re.search(r"(\d+) finished images were kept", told)
    kept = (
        sum(map(len, read_images(folder / "out.h5").values())) if (folder / "out.h5").exists() and not replaces else 0
    )
    if found and not replaces and int(found.group(1)) != kept:
        problems.append(f"{found.group(1)} images are said to be kept, {kept} are")
    if process.returncode == 0:
        return "ended by itself", problems
    if process.returncode != 128 + number:
        return "ended by the signal while Python started", problems
    return ("stopped, finished images kept" if found else "stopped before the first image"), problems


def look(expected: Expected, folder: Path) -> list[str]:
    """What lies in the folder and should not, and images that are not whole."""
    problems = [f"left behind: {path.name}" for path in folder.rglob("*") if path.name.startswith(".")]
    for path in folder.glob("*.h5"):
        for series, images in read_images(path).items():
            same = [np.array_equal(image, other) for image, other in zip(images, expected.images[series], strict=False)]
            if not all(same):
                problems.append(
                    f"{path.name}: {same.count(False)} of {len(same)} images of {series} are not those of a whole run"
                )
    for name, pixels in read_pictures(folder / "png").items():
        if name not in expected.pictures or not np.array_equal(pixels, expected.pictures[name]):
            problems.append(f"{name} is not the picture of a whole run")
    n_images = sum(map(len, read_images(folder / "out.h5").values())) if (folder / "out.h5").exists() else 0
    if (folder / "png").exists() and not n_images:
        problems.append("pictures without images")
    return problems


def whole(expected: Expected, path: Path) -> bool:
    """Whether a file has all images."""
    found = read_images(path)
    return {name: len(images) for name, images in found.items()} == {
        name: len(images) for name, images in expected.images.items()
    }


def read_images(path: Path) -> dict[str, list[np.ndarray]]:
    """Pixels by series; as many as there are heads and attributes."""
    with h5py.File(path) as file:
        group = file["images"]
        for name in group:
            counts = {part: len(group[name][part]) for part in ("data", "header", "attributes")}
            if len(set(counts.values())) > 1:
                raise ValueError(f"{path}: {name} holds {counts}")
            for text in group[name]["attributes"][:]:
                if not text.endswith(b"</ismrmrdMeta>"):
                    raise ValueError(f"{path}: {name} holds half a text")
        return {name: list(group[name]["data"][:]) for name in group}


def read_pictures(folder: Path) -> dict[str, np.ndarray]:
    """Grey levels by name."""
    found = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            found[path.name] = np.asarray(picture)
    return found


@contextmanager
def server():
    """Address of a Nilatron server."""
    port = 20000 + os.getpid() % 20000
    command = [*PROGRAM, "serve", "--port", str(port), "--health-port", "0", "--log-format", "text"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        time.sleep(15)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(WAIT_S)


if __name__ == "__main__":
    main()
