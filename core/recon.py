"""The reconstruction from k-space to an image: coil maps, measurement, warm start, sampler.

maps from the calibration block -> A = P F S -> CG-SENSE -> image scale and noise level -> the sampler with the prior.

Gadgets, training scans and benchmarks all call these functions, so that the network is trained and measured on the same
reconstruction that a scanner gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nilatron.core import scale
from nilatron.core.backend import Array, converted_to, namespace
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.coils.espirit import EspiritSettings, espirit_maps
from nilatron.core.coils.walsh import walsh_maps
from nilatron.core.fft import ifft
from nilatron.core.kspace import centre_window
from nilatron.core.measurement import Measurement, mask_outside_coils
from nilatron.core.oversampling import resize_centre
from nilatron.core.prior.prior import ConditionedDenoiser
from nilatron.core.quality.coverage import unexplained_share
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sense import SenseOperator

FROM_CALIBRATION = "calibration"
FROM_ITS_IMAGE = "the image of the calibration"
FROM_LOW_FREQUENCIES = "low frequencies"
MOST = 0.5  # of the calibration's signal, that maps may leave unexplained


@dataclass(frozen=True)
class InverseProblem:
    """One slice to reconstruct, as arrays on the device that reconstructs it.

    Attributes
    ----------
    operator, data
        The measurement A and its data y, whose noise has variance 1.
    conventional
        CG-SENSE image (z, y, x), the warm start.
    """

    operator: Measurement
    data: Array
    conventional: Array

    @cached_property
    def scale(self) -> float:
        """Image scale: images are divided by it before the prior sees them."""
        return scale.image_scale(self.conventional)

    @cached_property
    def noise_level(self) -> float:
        """Complex standard deviation of the part of the data that the model cannot explain; 1 when this is only noise."""
        return scale.noise_level(self.operator, self.data, self.conventional, self.scale)


def estimate_coil_maps(
    kspace: Array, counts: Array, calibration: Array | None, noise_variance: float = 1.0
) -> tuple[Array, str]:
    """Coil maps of a slice, and what they are from: `FROM_CALIBRATION`, `FROM_ITS_IMAGE` or `FROM_LOW_FREQUENCIES`.

    ESPIRiT where there is a calibration block with signal, else Walsh on an image of the low frequencies that were acquired.
    Maps that do not explain most of the calibration's own signal (0 where the object is, or made of noise) are no maps:
    then Walsh on the image of the calibration.

    Parameters
    ----------
    kspace, counts
        (coil, z, y, x) and (z, y, x); the counts may belong to another array library.
    calibration
        Fully sampled block around DC (coil, z, y, x), or None.
    noise_variance
        Of the samples; 0 where it is not known.
    """
    if calibration is not None and _any(calibration):
        n_z, n_y, n_x = (int(n) for n in counts.shape)
        settings = EspiritSettings(noise_variance=noise_variance)
        maps = espirit_maps(calibration, (n_z, n_y, n_x), settings)
        if _any(maps) and unexplained_share(calibration, maps, noise_variance) <= MOST:
            return maps, FROM_CALIBRATION
        return walsh_maps(_image_of(calibration, (n_z, n_y, n_x))), FROM_ITS_IMAGE
    smooth = kspace * centre_window(kspace, converted_to(counts, kspace))
    return walsh_maps(ifft(smooth)), FROM_LOW_FREQUENCIES


def inverse_problem(kspace: Array, counts: Array, coil_maps: Array) -> InverseProblem:
    """Inverse problem of a slice: its measurement A = P F S, its weighted data and its CG-SENSE image.

    Parameters
    ----------
    kspace
        Mean of the acquired lines, whitened, (coil, z, y, x); 0 where nothing was acquired.
    counts
        How often each sample was acquired, (z, y, x).
    coil_maps
        (coil, z, y, x).

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    operator = SenseOperator(coil_maps, counts)
    return warm_started(operator, operator.data(kspace))


def warm_started(operator: Measurement, data: Array) -> InverseProblem:
    """Inverse problem of any measurement, with its CG-SENSE image."""
    return InverseProblem(operator, data, cg_sense(operator, data))


def nila_image(
    denoiser: ConditionedDenoiser,
    problem: InverseProblem,
    generator: np.random.Generator,
    settings: ImageSettings | None = None,
    levels: Sequence[float] | None = None,
) -> Array:
    """Nila image (z, y, x) of a slice, 0 where no coil has any sensitivity.

    `settings` and noise `levels` are by default those of the shipped chains.
    """
    settings = settings or ImageSettings()
    result = sample_images(
        denoiser,
        problem.operator,
        problem.data,
        levels or settings.levels(),
        settings,
        start=problem.conventional[None],
        sigma=problem.noise_level,
        scale=problem.scale,
        generator=generator,
    )
    return mask_outside_coils(problem.operator, result.image[0])


def _any(array: Array) -> bool:
    return bool(namespace(array).any(array != 0))


def _image_of(block: Array, shape: tuple[int, int, int]) -> Array:
    """Coil images (coil, z, y, x) of `shape` of a block of k-space around DC, its edges smoothed."""
    xp = namespace(block)
    block = block * centre_window(block, xp.ones_like(xp.real(block[0])))
    for axis, n in enumerate(shape):
        block = resize_centre(block, n, axis + 1)
    return ifft(block)
