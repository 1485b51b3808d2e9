"""One reconstruction problem, the same for every method, as a file of plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.core.metrics import psnr
from nilatron.core.recon import inverse_problem
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.problem import Problem
from nilatron.pipelines.files.atomic import atomic_path


@dataclass(frozen=True)
class Case:
    """Undersampled whitened k-space with its coil maps and the image that is looked for.

    Attributes
    ----------
    kspace, counts, calibration
        Complex (coil, z, y, x), noise variance 1; real (z, y, x), 1 where measured; the fully sampled centre.
    maps
        Complex (coil, z, y, x), estimated from `calibration`; the ones that every method gets.
    reference
        Complex (z, y, x).
    """

    kspace: ComplexArray
    counts: npt.NDArray[np.float32]
    calibration: ComplexArray
    maps: ComplexArray
    reference: ComplexArray

    def operator(self) -> SenseOperator:
        """A of this case."""
        return SenseOperator(self.maps, self.counts)

    def problem(self, weights: Path, seed: int = 0) -> Problem:
        """The same for our gadgets: the CG-SENSE image, which is their warm start, is made here."""
        made = inverse_problem(self.kspace, self.counts, self.maps)
        return Problem.of(made, np.random.default_rng(seed), weights=weights)

    def compressed(self) -> Case:
        """The same in the virtual coils that hold more than noise, as our chains go on with it."""
        matrix = compression_matrix(self.operator().data(self.kspace), self.counts)
        kspace, calibration, maps = (compress(matrix, array) for array in (self.kspace, self.calibration, self.maps))
        return replace(self, kspace=kspace, calibration=calibration, maps=maps)

    def psnr(self, image: ComplexArray) -> float:
        """Foreground PSNR in dB."""
        return psnr(np.asarray(image, np.complex64).reshape(self.reference.shape), self.reference)

    def save(self, path: Path) -> None:
        """All of it or nothing; no pickle."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})


def load_case(path: Path) -> Case:
    """Read what `Case.save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Case(**{field.name: arrays[field.name] for field in fields(Case)})
