"""What an image leaves unexplained of its data, r = A x - y: against the noise, against the signal, and where.

chi2 = |r|^2 / (M sigma^2)                          about 1 where image, maps and noise agree
unexplained = sqrt(max(|r|^2 - M sigma^2, 0)) / |y|  of the signal, the noise taken out

Neither is enough: at a high signal-to-noise ratio the smallest error of the coil maps is many times the noise, and at a low
one the noise is a large part of the data. A residual tells of a wrong image where it is large against both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import Array, complex_normal, namespace, to_numpy
from nilatron.core.measurement import DATA_AXES, Measurement

Doubles = npt.NDArray[np.float64]
SIGNIFICANT = 5.0  # standard deviations of the energy that the noise leaves in a line
MARGIN = 0.25  # of the noise of a line: less is no excess
NEIGHBOURS, LEAK = 2, 0.04  # lines to either side, and the share of their energy
FEW = 24  # lines along an axis that are all neighbours
QUIET_PERCENT = 20.0  # of the lines, whose residual is noise if that of any is


@dataclass(frozen=True, eq=False)
class Residual:
    """r = A x - y of one image, with its energies by line of k-space on the host.

    Attributes
    ----------
    samples
        r itself (coil, k2, k1, k0), where the data are.
    energy, data_energy
        |r|^2 and |y|^2 summed over coils and readout (k2, k1).
    n_samples
        Measured complex samples of coils with signal (k2, k1).
    n_total
        Of all lines; at least 1.
    """

    samples: Array
    energy: Doubles
    data_energy: Doubles
    n_samples: Doubles
    n_total: float

    @cached_property
    def chi2(self) -> float:
        """|r|^2 / M, for noise of variance 1."""
        return float(self.energy.sum()) / self.n_total

    @cached_property
    def signal_to_noise(self) -> float:
        """|y| / sqrt(M): root mean square of the data, noise included."""
        return math.sqrt(float(self.data_energy.sum()) / self.n_total)

    @cached_property
    def unexplained(self) -> float:
        """sqrt(max(|r|^2 - M, 0)) / |y|; 0 without data."""
        return _ratio(self.energy.sum() - self.n_total, self.data_energy.sum())

    @cached_property
    def line_chi2(self) -> Doubles:
        """|r|^2 / M of the measured lines, in ascending order."""
        measured = self.n_samples > 0
        return np.sort(self.energy[measured] / self.n_samples[measured])

    @cached_property
    def noise_floor(self) -> float:
        """Variance that the noise has by the residual of the quietest lines; at least 1."""
        return max(1.0, float(np.percentile(self.line_chi2, QUIET_PERCENT))) if self.line_chi2.size else 1.0

    @cached_property
    def evenness(self) -> float:
        """Chi2 of the quiet lines over that of the loud ones: 1 for white noise, which is the same in all."""
        if not self.line_chi2.size:
            return 1.0
        quiet, loud = np.percentile(self.line_chi2, (QUIET_PERCENT, 100 - QUIET_PERCENT))
        return float(quiet / loud) if loud > 0 else 1.0

    @cached_property
    def line_excess(self) -> Doubles:
        """Energy of each line (k2, k1) beyond the noise, however strong that is, where it stands out."""
        measured, floor = self.n_samples > 0, self.noise_floor
        excess = self.energy - floor * (self.n_samples + SIGNIFICANT * np.sqrt(self.n_samples))
        return np.where(measured & (excess > MARGIN * floor * self.n_samples), excess, 0.0)

    @cached_property
    def line_unexplained(self) -> Doubles:
        """sqrt(excess / signal) of each line (k2, k1): the signal of data or image, whichever is larger.

        A weak line beside a strong one, where few partitions are among all of them, has what the errors of the coil maps leak
        into it: it counts as at least LEAK of that.
        """
        modelled = (
            np.sqrt(self.energy) - np.sqrt(self.data_energy)
        ) ** 2  # at least so much, by the triangle inequality
        signal = np.maximum(self.data_energy, modelled)
        strongest = self.data_energy
        for axis, n in enumerate(strongest.shape):
            reach = NEIGHBOURS if n > FEW else n // 2
            strongest = np.max([np.roll(strongest, shift, axis) for shift in range(-reach, reach + 1)], axis=0)
        signal = np.maximum(signal, LEAK * strongest)
        return np.sqrt(self.line_excess / np.where(signal > 0, signal, 1.0))

    def share_of(self, lines: npt.NDArray[np.bool_]) -> float:
        """sqrt(excess of these lines (k2, k1)) / |y|: what they are worth in the image."""
        return _ratio(self.line_excess[lines].sum(), self.data_energy.sum())

    @cached_property
    def structured(self) -> float:
        """The same of all lines: what stands out of the noise, however strong that is. Less than `unexplained`."""
        return _ratio(self.line_excess.sum(), self.data_energy.sum())

    def central_share(self, radius: float = 0.25) -> float:
        """Share of the energy beyond the noise that lies in the middle of k-space, up to `radius` of its half width."""
        excess = np.maximum(self.energy - self.n_samples, 0.0)
        away = [np.abs(np.arange(n) - n // 2) <= max(radius * n / 2, 0.5) for n in excess.shape]
        total = float(excess.sum())
        return float(excess[np.ix_(*away)].sum()) / total if total else 0.0


def residual_of(operator: Measurement, data: Array, image: Array) -> Residual:
    """The residual of an image (z, y, x) of data (coil, k2, k1, k0) with noise of variance 1.

    Coils without any signal are no measurement and do not count among the M samples.
    """
    xp = namespace(data)
    samples = operator.forward(image) - data
    of_residual, of_data = (
        xp.sum(xp.real(a) ** 2 + xp.imag(a) ** 2, axis=DATA_AXES[0], dtype=xp.float64) for a in (samples, data)
    )
    alive = float(xp.mean(xp.astype(xp.any(data != 0, axis=DATA_AXES[1:]), xp.float64)))
    measured = xp.astype((of_residual > 0) | (of_data > 0), xp.float64)
    by_line = xp.stack([xp.sum(part, axis=-1) for part in (of_residual, of_data, measured)])
    energy, data_energy, n_columns = to_numpy(by_line)
    n_samples = n_columns * (alive * int(data.shape[DATA_AXES[0]]))
    return Residual(samples, energy, data_energy, n_samples, max(operator.n_samples * alive, 1.0))


def residual_map(operator: Measurement, residual: Residual) -> Array:
    """|A^H r| of each pixel (z, y, x), in units of what noise alone leaves there on average."""
    xp = namespace(residual.samples)
    noise = complex_normal(np.random.default_rng(0), tuple(residual.samples.shape), residual.samples)
    level = float(xp.mean(xp.abs(operator.adjoint(noise)) ** 2))
    return xp.abs(operator.adjoint(residual.samples)) / math.sqrt(level or 1.0)


def _ratio(energy: float, of: float) -> float:
    return math.sqrt(max(float(energy), 0.0) / float(of)) if of > 0 else 0.0
