"""BART's command line tools as a peer, with their files in a temporary folder."""

from __future__ import annotations

import math
import subprocess
import time
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

ComplexArray: TypeAlias = npt.NDArray[np.complex64]

ITERATIONS = 60


class Bart:
    """The command line program, with its files in a temporary folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder = program, folder

    def write(self, name: str, array: ComplexArray) -> None:
        """Store (coil, z, y, x) as BART's column-major (x, y, z, coil)."""
        sizes = [*reversed(array.shape), *[1] * (16 - array.ndim)]
        (self.folder / f"{name}.hdr").write_text(f"# Dimensions\n{' '.join(map(str, sizes))}\n")
        np.ascontiguousarray(array, np.complex64).tofile(self.folder / f"{name}.cfl")

    def read(self, name: str) -> ComplexArray:
        """Load as (coil, z, y, x)."""
        sizes = [int(size) for size in (self.folder / f"{name}.hdr").read_text().splitlines()[1].split()]
        if math.prod(sizes[4:]) != 1:
            raise ValueError(f"{name} has BART dimensions {sizes}, expected only (x, y, z, coil)")
        return np.fromfile(self.folder / f"{name}.cfl", np.complex64).reshape(sizes[3::-1])

    def run(self, *arguments: str) -> float:
        """Run a BART tool; seconds."""
        start = time.perf_counter()
        subprocess.run([self.program, *arguments], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start
