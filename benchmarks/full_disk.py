"""Every command that writes, on a disk of 1 MB that is full or read-only: exit code, what is told, what is left.

    sudo python benchmarks/full_disk.py

Expected: one line that starts with "nilatron: ", exit code 3 (2 where it is clear before the work), no traceback, no temporary
files, and nothing that cannot be read. Needs the right to mount a tmpfs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import ismrmrd
import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import find_weights

PROGRAM = (sys.executable, "-m", "nilatron")
SIZE_KIB = 1024
READERS = {
    ".h5": lambda path: h5py.File(path).visit(lambda _: None),
    ".npy": np.load,
    ".png": lambda path: Image.open(path).load(),
}


class Case(NamedTuple):
    """A command; {disk} is the full disk, {data} the folder with its input."""

    name: str
    words: str
    free_kib: int = SIZE_KIB  # before it starts
    codes: tuple[int, ...] = (3,)
    left: tuple[str, ...] = ()  # that must be there in the end, beside what is on the disk


SIGMA_DATA = load_prior(find_weights("tiny")).denoiser.sigma_data
CONVENTION = f"--architecture tiny --convention edm --multiple 8 --licence x --sigma-data {SIGMA_DATA}"
CASES = (
    Case("replay, images", "replay {data}/scan.h5 -o {disk}/out.h5 -c cg_sense", left=("out.h5",)),
    Case("replay, no room for one image", "replay {data}/scan.h5 -o {disk}/out.h5 -c cg_sense", 100),
    Case(
        "replay, pictures",
        "replay {data}/scan.h5 -o {data}/a.h5 --overwrite -c cg_sense --png {disk}/png",
        60,
        left=("png",),
    ),
    Case(
        "replay, no room for a folder",
        "replay {data}/scan.h5 -o {data}/a.h5 --overwrite -c cg_sense --png {disk}/png",
        0,
    ),
    Case(
        "replay, DICOM",
        "replay {data}/scan.h5 -o {data}/a.h5 --overwrite -c cg_sense --dicom {disk}/dcm",
        60,
        left=("dcm",),
    ),
    Case("replay, report", "replay {data}/scan.h5 -o {data}/a.h5 --overwrite -c cg_sense --report {disk}/out.html", 60),
    Case("replay, noise store", "replay {data}/noise.h5 -o {data}/b.h5 -c cg_sense --noise-store {disk}", 0),
    Case("simulate", "simulate {disk}/scan.h5 --matrix 256,256"),
    Case("simulate, truth", "simulate {data}/c.h5 --overwrite --matrix 256,256 --slices 3 --truth {disk}/truth.npy"),
    Case("train", "train {data}/images {disk}/run --architecture tiny --steps 2 --batch-size 1 --device cpu"),
    Case("export", "export {disk}/prior.onnx --weights tiny"),
    Case("convert", "convert {data}/own.safetensors -o {disk}/prior.safetensors " + CONVENTION),
    Case("prior denoise", "prior denoise {data}/large.npy {disk}/out.npy --sigma 0.1 --weights tiny"),
    Case("prior evaluate", "prior evaluate {data}/images -o {disk}/table --weights tiny --limit 1 -s 0.1", 8),
    Case("phases", "phases {data}/images {disk}/phases --weights {data}/tiny.safetensors", 40),
    Case("demo", "demo {disk}/demo"),
    Case("configs to a full file", "configs show nila"),
)


def main() -> None:
    """Run all cases and print a table; exit code 1 where one is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    only = parser.parse_args().only
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        data = prepare(Path(name))
        for case in (case for case in CASES if only in case.name):
            for way in ("full", "read-only"):
                if way == "read-only" and case.name.startswith("configs"):
                    continue
                with small_disk(way, case.free_kib) as disk:
                    code, told, problems = run(case, data, disk, way)
                bad += bool(problems)
                print(
                    f"{case.name}, {way}: {code}, {told}{''.join(f'  !! {problem}' for problem in problems)}",
                    flush=True,
                )
    sys.exit(bool(bad))


def prepare(data: Path) -> Path:
    """Input of the commands."""
    nilatron("simulate", data / "scan.h5", "--matrix", "128,128", "--slices", "24", "--coils", "3")
    nilatron("simulate", data / "noise.h5", "--matrix", "64,64", "--acceleration", "1", "--coils", "3")
    with h5py.File(data / "noise.h5", "r+") as file:
        file["dataset/data"].resize(16, axis=0)  # the noise lines
    (data / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = np.kron(rng.random((8, 8)), np.ones((16, 16))) * 255
        Image.fromarray(pixels.astype(np.uint8)).save(data / "images" / f"{number}.png")
    np.save(data / "large.npy", np.tile(rng.random((64, 64)).astype(np.float32), (10, 10)))
    shutil.copy(find_weights("tiny"), data / "tiny.safetensors")
    tensors = load_prior(find_weights("tiny")).denoiser.network.state_dict()
    tensors["first.weight"] = tensors["first.weight"][:, :2]  # as it is without a step before
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, data / "own.safetensors")
    return data


def nilatron(*words: object) -> None:
    """Run a command that must not fail."""
    subprocess.run([*PROGRAM, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def small_disk(way: str, free_kib: int) -> Iterator[Path]:
    """A tmpfs with so much room, or one that cannot be written."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_KIB}k", "tmpfs", name], check=True)
        try:
            if free_kib < SIZE_KIB:
                (Path(name) / "filler").write_bytes(bytes((SIZE_KIB - free_kib) << 10))
            if way == "read-only":
                subprocess.run(["mount", "-o", "remount,ro", name], check=True)
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def run(case: Case, data: Path, disk: Path, way: str) -> tuple[int, str, list[str]]:
    """Exit code, what was told, and what is not as expected."""
    command = [*PROGRAM, *case.words.format(data=data, disk=disk).split()]
    to_full_file = case.name.startswith("configs")
    with Path("/dev/full" if to_full_file else os.devnull).open("w") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if line.startswith("nilatron: ")]
    codes = (*case.codes, 2) if way == "read-only" else case.codes
    problems = [] if done.returncode in codes else [f"expected exit code {codes}"]
    if len(told) != 1 or "Traceback" in done.stderr:
        problems.append(f"not one line: {done.stderr[-600:]}")
    for path in disk.rglob("*"):
        if path.name.startswith(".") or path.suffix in (".tmp", ".partial"):
            problems.append(f"left behind: {path.name}")
        problems += unreadable(path)
    problems += [f"not there: {name}" for name in case.left if way == "full" and not (disk / name).exists()]
    if "{data}/a.h5" in case.words and done.returncode != 2:
        with ismrmrd.Dataset(data / "a.h5", group_of(data / "a.h5"), mode="r") as file:
            if file.number_of_images("image_1") != 24:
                problems.append("the full folder cost images")
    return done.returncode, " | ".join(told).replace(str(disk), "DISK").replace(str(data), "DATA"), problems


def group_of(path: Path) -> str:
    """The only group of a file."""
    with h5py.File(path) as file:
        (group,) = file
    return str(group)


def unreadable(path: Path) -> list[str]:
    """Why a file cannot be read, if it cannot."""
    try:
        if path.suffix in READERS:
            READERS[path.suffix](path)
        elif path.suffix == ".safetensors":
            with safe_open(path, "np") as file:
                file.metadata()
        elif path.suffix == ".dcm":
            import pydicom

            pydicom.dcmread(path).pixel_array  # noqa: B018
    except (OSError, ValueError, RuntimeError, SyntaxError, AttributeError, EOFError) as error:
        return [f"half written: {path.name} ({error})"]
    return []


if __name__ == "__main__":
    main()
