"""What every stage is computed from in all places alike: the results of NumPy, so that no stage inherits another's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from unittest.mock import patch

import numpy as np

from gpu.place import Place
from gpu.scan import RawSlice
from nilatron.core.backend import Array, ComplexArray, complex_normal, converted_to, to_numpy
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.noise import noise_covariance, whiten, whitening_matrix
from nilatron.core.recon import InverseProblem, inverse_problem
from nilatron.core.sense import SenseOperator

HOST = np.empty(0, np.complex64)


@dataclass(frozen=True)
class Reference:
    """A slice, whitened and compressed, with maps and warm start; all of it NumPy's."""

    raw: RawSlice

    @cached_property
    def white(self) -> tuple[ComplexArray, ComplexArray]:
        """K-space and calibration with noise of variance 1."""
        matrix = whitening_matrix(noise_covariance(self.raw.noise))
        return whiten(matrix, self.raw.kspace), whiten(matrix, self.raw.calibration)

    @cached_property
    def compressed(self) -> tuple[ComplexArray, ComplexArray]:
        """The same in virtual coils."""
        kspace, calibration = self.white
        matrix = compression_matrix(kspace * np.sqrt(self.raw.counts), self.raw.counts)
        return compress(matrix, kspace), compress(matrix, calibration)

    @cached_property
    def problem(self) -> InverseProblem:
        """Measurement, data, warm start, scale and noise level."""
        return inverse_problem(self.compressed[0], self.raw.counts, self.maps)

    @cached_property
    def maps(self) -> ComplexArray:
        """Coil maps (coil, z, y, x)."""
        maps: ComplexArray = espirit_maps(self.compressed[1], self.raw.shape)
        return maps

    def operator(self, place: Place) -> SenseOperator:
        """A, in a place."""
        return SenseOperator(place.put(self.maps), place.put(self.raw.counts))


@contextmanager
def same_noise() -> Iterator[None]:
    """The sampler's noise from the host's generator wherever it computes; a GPU draws numbers of its own otherwise."""

    def from_host(generator: np.random.Generator, shape: tuple[int, ...], reference: Array) -> Array:
        return converted_to(complex_normal(generator, shape, HOST), reference)

    with patch("nilatron.core.sampling.nila_fast.complex_normal", from_host):
        yield


def relative(found: Array, expected: ComplexArray) -> float:
    """|found - expected| / |expected|, in double precision."""
    difference = np.linalg.norm((to_numpy(found) - expected).astype(np.complex128))
    return float(difference / np.linalg.norm(expected.astype(np.complex128)))
