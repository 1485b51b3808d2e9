"""The reconstruction from k-space to an image: coil maps, measurement, warm start, sampler.

maps from the calibration block -> A = P F S -> CG-SENSE -> image scale and noise level -> the sampler with the prior.

Gadgets, training scans and benchmarks all call these functions, so that the network is trained and measured on the same
reconstruction that a scanner gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nilatron.core import scale
from nilatron.core.backend import Array, converted_to, namespace, squared_norm
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.coils.espirit import EspiritSettings, espirit_sets
from nilatron.core.coils.joint.calibration import BLOCK_THRESHOLD, joint_calibration
from nilatron.core.coils.moved import agrees, moved, shift_of_calibration
from nilatron.core.coils.walsh import walsh_maps
from nilatron.core.fft import ifft
from nilatron.core.kspace import calibration_block, centre_window
from nilatron.core.measurement import Measurement, mask_outside_coils
from nilatron.core.oversampling import resize_centre
from nilatron.core.prior.prior import ConditionedDenoiser
from nilatron.core.quality.coverage import unexplained_share
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sense import SenseOperator
from nilatron.core.sets import SetsOperator

FROM_CALIBRATION = "calibration"
FROM_MOVED = "calibration, moved"
FROM_ITS_IMAGE = "the image of the calibration"
FROM_LOW_FREQUENCIES = "low frequencies"
FROM_JOINT = "joint estimation"
WAYS = ("auto", "espirit", "joint", "walsh")
FEW_LINES = 16  # of calibration, below which the lines around them are needed for the maps, too
SAME = 1e-8  # relative squared difference of samples that are the same
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

    @cached_property
    def acquired_share(self) -> float:
        """Acquired samples per sample of the whole grid, at most 1."""
        n_coils, n_pixels = int(self.data.shape[-4]), math.prod(map(int, self.conventional.shape))
        return min(1.0, self.operator.n_samples / (n_coils * n_pixels))


def estimate_coil_maps(
    kspace: Array,
    counts: Array,
    calibration: Array | None,
    noise_variance: float = 1.0,
    way: str = "auto",
    n_sets: int | None = 1,
) -> tuple[Array, str]:
    """Coil maps of a slice, and what they are from: one of the `FROM_...`.

    ESPIRiT on the calibration block, moved if its maps fit the lines better elsewhere. Where that is absent, or the scan's own
    and of few lines, joint estimation completes one from all lines around it. Maps that do not explain most of the block's own
    signal (0 where the object is, or made of noise) are no maps: then Walsh on the image of the calibration or, without one,
    of the low frequencies that were acquired.

    Parameters
    ----------
    kspace, counts
        (coil, z, y, x) and (z, y, x); the counts may belong to another array library.
    calibration
        Fully sampled block around DC (coil, z, y, x), or None.
    noise_variance
        Of the samples; 0 where it is not known.
    way
        "auto", or "espirit", "joint" or "walsh" wherever the data allow it.
    n_sets
        Of ESPIRiT, which makes maps (set, coil, z, y, x) if there are several; None: 2 where the object is larger than the
        field of view.
    """
    if calibration is not None and not _any(calibration):
        calibration = None
    shape = (int(counts.shape[0]), int(counts.shape[1]), int(counts.shape[2]))
    if way == "joint" or (way == "auto" and needs_joint_estimation(kspace, counts, calibration)):
        block, source = joint_calibration(kspace, counts, noise_variance).block, FROM_JOINT
    else:
        block, source = calibration, FROM_CALIBRATION
    if source == FROM_CALIBRATION and way != "walsh" and block is not None:
        shift = shift_of_calibration(block, kspace, counts, noise_variance)
        if shift is not None:
            block, source = moved(block, shift), FROM_MOVED
    if way != "walsh" and block is not None and _any(block):
        if source == FROM_JOINT:  # its model has one set: what else its block holds is error
            n_sets = 1
        espirit = EspiritSettings(noise_variance=noise_variance)
        if source == FROM_JOINT:
            espirit = replace(espirit, threshold=BLOCK_THRESHOLD)
        sets = espirit_sets(block, shape, espirit, n_sets)
        if _any(sets) and unexplained_share(block, sets, noise_variance) <= MOST:
            return (sets if sets.shape[0] > 1 else sets[0]), source
    if calibration is not None:
        return walsh_maps(_image_of(calibration, shape)), FROM_ITS_IMAGE
    smooth = kspace * centre_window(kspace, converted_to(counts, kspace))
    return walsh_maps(ifft(smooth)), FROM_LOW_FREQUENCIES


def needs_joint_estimation(kspace: Array, counts: Array, calibration: Array | None) -> bool:
    """Whether the calibration block (coil, z, y, x) is too small for ESPIRiT, and the scan may hold more than it does."""
    if int(kspace.shape[0]) == 1:
        return False
    if calibration is None:
        return True
    sides = zip(calibration.shape[1:], counts.shape, strict=True)
    if all(int(side) >= min(FEW_LINES, int(n)) for side, n in sides):
        return False
    own = calibration_block(kspace, converted_to(counts, kspace))
    return own is not None and _is_same(own, calibration)


def has_thin_maps(
    source: str, kspace: Array, counts: Array, calibration: Array | None, noise_variance: float = 1.0
) -> bool:
    """Whether maps of a source (`FROM_...`) are from few lines or none, or from a calibration that these lines contradict."""
    if int(kspace.shape[0]) == 1:
        return False
    if source != FROM_CALIBRATION or calibration is None:
        return source in (FROM_JOINT, FROM_MOVED)
    return not agrees(calibration, kspace, counts, noise_variance)


def _is_same(block: Array, other: Array) -> bool:
    """Whether two blocks hold the same samples, but for rounding; those of a scan of its own have other noise at least."""
    if tuple(block.shape) != tuple(other.shape):
        return False
    return squared_norm(block - other) <= SAME * squared_norm(other)


def inverse_problem(kspace: Array, counts: Array, coil_maps: Array) -> InverseProblem:
    """Inverse problem of a slice: its measurement A = P F S, its weighted data and its CG-SENSE image.

    Parameters
    ----------
    kspace
        Mean of the acquired lines, whitened, (coil, z, y, x); 0 where nothing was acquired.
    counts
        How often each sample was acquired, (z, y, x).
    coil_maps
        (coil, z, y, x), or (set, coil, z, y, x).

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    operator = measurement_of(coil_maps, counts)
    return warm_started(operator, operator.data(kspace))


def measurement_of(coil_maps: Array, counts: Array) -> SenseOperator | SetsOperator:
    """The measurement with one set of maps (coil, z, y, x), or with several (set, coil, z, y, x)."""
    return SetsOperator(coil_maps, counts) if coil_maps.ndim > 4 else SenseOperator(coil_maps, counts)


def displayed(operator: Measurement, image: Array) -> Array:
    """The image (z, y, x) of what solvers and samplers return: that of several sets is combined."""
    return operator.combined(image) if isinstance(operator, SetsOperator) else image


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
    settings = (settings or ImageSettings()).for_data(problem.noise_level / problem.scale, problem.acquired_share)
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
