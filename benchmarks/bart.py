"""BART's command line tools as a peer, with their files in a temporary folder."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.threads import ENVIRONMENT

ComplexArray: TypeAlias = npt.NDArray[np.complex64]

ITERATIONS = 60
LAMBDAS = tuple(0.0005 * 2 ** (i / 2) for i in range(17))  # of BART's own data scale


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
        # without the settings of our own threads
        environment = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        words = [self.program, *arguments]
        start = time.perf_counter()
        subprocess.run(words, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, env=environment)
        return time.perf_counter() - start

    def ecalib(self, n_calibration: int) -> float:
        """Estimate "maps" from the centre of "kspace"; seconds."""
        return self.run("ecalib", "-m1", f"-r{n_calibration}", "kspace", "maps")

    def l1_wavelet(self, regularisation: float, kspace: str = "kspace") -> tuple[ComplexArray, float]:
        """Image (z, y, x) of `kspace` with "maps", and seconds."""
        seconds = self.run("pics", "-R", f"W:3:0:{regularisation:.6f}", f"-i{ITERATIONS}", kspace, "maps", "image")
        return self.read("image")[0], seconds


def oracle(
    score: Callable[[float], float], *, start: int | None = None, grid: Sequence[float] = LAMBDAS
) -> tuple[float, float]:
    """Best score over the grid, and its lambda.

    With `start`, an index: only the three values around it are tried at first, then more while the best is the outermost.

    Raises
    ------
    ValueError
        When the best lambda lies at the end of the grid.
    """
    last = len(grid) - 1
    low, high = (0, last) if start is None else (max(start - 1, 0), min(start + 1, last))
    scores = {i: score(grid[i]) for i in range(low, high + 1)}
    while True:
        best = max(scores, key=scores.__getitem__)
        if best in (0, last):
            raise ValueError(f"the best lambda {grid[best]} lies at the end of the grid: widen LAMBDAS")
        missing = [i for i in (best - 1, best + 1) if i not in scores]
        if not missing:
            return scores[best], grid[best]
        scores.update({i: score(grid[i]) for i in missing})
