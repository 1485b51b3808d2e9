"""Whether the noise of whitened data is white, as far as data tell: a noise scan may be of other coils or of another setting.

The quietest samples of a slice hold its noise and, where the signal is strong, some of the object, so that no direction of
channels has less than the noise: with Psi right, the smallest eigenvalue of W E[y y^H] W^H is 1. Where it is far smaller, Psi
has noise that the data do not have; where the mean is too large and most directions are not, Psi lacks noise in some.
"""

from __future__ import annotations

import math

import numpy as np

from nilatron.core.backend import namespace, to_numpy
from nilatron.core.noise import quiet_samples
from nilatron.gadgets.items import KSpaceSlice
from nilatron.gadgets.known_noise import NoiseCovariance
from nilatron.gadgets.noise.slices import TRUSTED, device_counts

LEAST = 0.6  # of the smallest eigenvalue that chance leaves: right noise scans have 1 or more, other orders up to 0.53
MOST_UNEVEN = 4.0  # ratio of variances, beyond chance, in data that have more noise than the noise scan
SAMPLES_PER_COIL = 8  # of the data, at least: fewer do not tell


def silent_channels(item: KSpaceSlice, noise: NoiseCovariance) -> list[int]:
    """Channels without any noise in the noise scan that have samples in the slice."""
    alive = to_numpy(namespace(item.kspace).any(item.kspace != 0, axis=(1, 2, 3)))
    return [int(channel) for channel in np.flatnonzero(alive & (np.real(np.diagonal(noise.covariance)) <= 0))]


def is_uneven(white: KSpaceSlice, n_noise: int, measured: float) -> bool:
    """Whether channels of a slice that was whitened with `n_noise` noise samples have unlike noise, beyond what chance makes.

    Parameters
    ----------
    white, n_noise
        The slice, and the number of noise samples of each coil that it was whitened with; 0 where that is not known.
    measured
        Standard deviation of its noise as measured; 0 where it could not be.
    """
    if measured <= 0:
        return False
    samples = to_numpy(quiet_samples(white.kspace, device_counts(white)))
    samples = samples[samples.any(axis=1)]
    n_coils, n = samples.shape
    if n < SAMPLES_PER_COIL * n_coils:
        return False
    values = np.linalg.eigvalsh(samples @ samples.conj().T / n)
    spread = (1 + math.sqrt(n_coils / n_noise)) if n_noise else 1.0
    by_chance = ((1 - math.sqrt(n_coils / n)) / spread) ** 2
    level = min(1.0, float(np.median(values)))  # a level that is too high as a whole is another matter
    if values[0] < LEAST * by_chance * level:
        return True
    return measured > TRUSTED[1] and values[-1] * by_chance**2 > MOST_UNEVEN * values[0]
