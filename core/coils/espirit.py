"""ESPIRiT coil sensitivities (Uecker et al., MRM 2014;71:990, Eq. 9 to 14).

Every window of the calibration k-space lies in the span V of the calibration matrix's leading singular vectors.
Averaged over the positions in the window this is a condition on each pixel r of the image,

    G(r) S(r) = lambda(r) S(r),  lambda(r) = 1 inside the object,
    G_cd(r) = 1/|K| sum_l R_cd(l) exp(2 pi i l r),  R_cd(l) = sum_k sum_{s - s' = l} V_k[c, s] conj(V_k[d, s']),

so the kernels V_k enter only through their autocorrelation R, which has at most 11 samples along an axis.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from nilatron.core.backend import Array, namespace, squared_norm
from nilatron.core.coils.eigen import eigenvectors, virtual_coils
from nilatron.core.coils.phase import better_reference, referenced
from nilatron.core.coils.pixels import pixel_eigenvectors
from nilatron.core.fft import SPATIAL_AXES, ifft, uncentred

MIN_COILS = 3  # two sets of two coils explain anything


@dataclass(frozen=True)
class EspiritSettings:
    """Settings of the map estimation; the defaults are those of BART's `ecalib`.

    Attributes
    ----------
    kernel_size
        Samples of the k-space window along each axis.
    calibration_size
        Samples of the calibration that are used along each axis; more along the longest axis if that gives too few windows.
    threshold
        Eigenvalues of the windows' covariance below this fraction of the largest are noise.
    noise_variance
        Of a calibration sample, E|n|^2; 1 after whitening, 0 where it is not known. Eigenvalues that noise alone reaches are
        noise, too: a span that holds it explains every window, and the maps of that are nobody's.
    crop
        Pixels whose eigenvalue lambda is below this lie outside the object.
    wrapped_crop
        The same with two sets: eigenvalues fall, too, where the seams of two axes cross.
    n_iterations
        Number of power iterations at each pixel.
    virtual_coil_tolerance
        Fraction of the calibration's energy that may be lost by leaving out its weakest virtual coils.
    max_virtual_coils
        Largest number of virtual coils: the work grows with its cube, and in arrays of 64 or 128 coils the virtual coils
        beyond the first 32 hold noise only.
    wrapped_share
        Share of the calibration's energy that a second set holds, above which the object counts as wrapped. Objects inside
        their field of view have up to 5e-5 (1e-4 at the edges of a slab), a head that is 10 % too wide for it has 9e-4.
    slab_bytes
        Memory for the matrices G of one group of pixels; about the size of a CPU core's cache.
    """

    kernel_size: int = 6
    calibration_size: int = 24
    threshold: float = 0.001
    noise_variance: float = 0.0
    crop: float = 0.8
    wrapped_crop: float = 0.7
    n_iterations: int = 30
    virtual_coil_tolerance: float = 1e-5
    max_virtual_coils: int = 32
    wrapped_share: float = 3e-4
    slab_bytes: int = 1 << 20


def espirit_maps(
    calibration: Array, image_shape: tuple[int, int, int], settings: EspiritSettings | None = None
) -> Array:
    """Coil maps with sum_c |S_c|^2 = 1 inside the object and 0 outside: the first set of `espirit_sets`."""
    return espirit_sets(calibration, image_shape, settings, n_sets=1)[0]


def espirit_sets(
    calibration: Array,
    image_shape: tuple[int, int, int],
    settings: EspiritSettings | None = None,
    n_sets: int | None = None,
) -> Array:
    """One or two sets of coil maps: orthogonal at each pixel, sum_c |S_c|^2 = 1 inside the object and 0 outside.

    Where the field of view is smaller than the object a pixel holds two places of it, and G has two eigenvalues of 1. The
    second set is 0 elsewhere. The object counts as wrapped where that concerns more than `wrapped_share` of the energy.

    The phase is relative to the strongest virtual coil (first principal component of the calibration over the coils), or to
    another combination of coils where that one vanishes inside the object. A single coil gets a map of 1 everywhere; a
    calibration without signal gives maps of 0.

    Parameters
    ----------
    calibration
        Fully sampled block of k-space around DC (n // 2), complex (coil, z, y, x), whitened.
    image_shape
        (z, y, x) of the maps; an axis of size 1 must have size 1 in the calibration, too.
    n_sets
        1 or 2; None: 2 where the object wraps.

    Returns
    -------
    Complex (set, coil, z, y, x).

    Raises
    ------
    ValueError
        When the calibration does not have four axes, is larger than the image or is not finite.
    """
    settings = settings or EspiritSettings()
    xp = namespace(calibration)
    _check(calibration, image_shape)
    n_coils = int(calibration.shape[0])
    if n_coils == 1:
        return xp.ones((1, 1, *image_shape), dtype=calibration.dtype, device=calibration.device)
    kernels = CalibrationKernels.of(calibration, settings)
    if kernels is None:
        return xp.zeros((1, n_coils, *image_shape), dtype=calibration.dtype, device=calibration.device)
    return kernels.sets(image_shape, n_sets)


@dataclass(frozen=True, eq=False)
class CalibrationKernels:
    """What the calibration tells of the maps, before they are evaluated at pixels.

    Attributes
    ----------
    block
        The samples that were used, of virtual coils (virtual, z, y, x), scaled to a peak of about 1.
    to_coils
        Coils from virtual coils (coil, virtual).
    lags
        The kernels' autocorrelation (virtual, virtual, z, y, x).
    settings
        Their noise variance is that of `block`.
    """

    block: Array
    to_coils: Array
    lags: Array
    settings: EspiritSettings

    @classmethod
    def of(cls, calibration: Array, settings: EspiritSettings) -> CalibrationKernels | None:
        """Those of a block of two coils or more (coil, z, y, x); None where it has no signal."""
        xp = namespace(calibration)
        block = _central_block(calibration, settings)
        peak = float(xp.max(xp.abs(block)))
        if peak == 0:
            return None
        virtual, to_coils = virtual_coils(block / peak, settings.virtual_coil_tolerance, settings.max_virtual_coils)
        settings = replace(settings, noise_variance=settings.noise_variance / peak**2)
        return cls(virtual, to_coils, _kernel_autocorrelation(virtual, settings), settings)

    def sets(self, image_shape: tuple[int, int, int], n_sets: int | None) -> Array:
        """Sets of maps (set, coil, z, y, x) as in `espirit_sets`."""
        xp = namespace(self.block)
        n_z, n_y, n_x = (int(n) for n in self.block.shape[1:])
        coarse = self.vectors((n_z, n_y, n_x), 2 if n_sets is None else n_sets)
        if n_sets is None:
            n_sets = 2 if _wraps(self.block, coarse[1], self.settings) else 1
        maps = self.vectors(image_shape, n_sets, self.settings.crop if n_sets == 1 else self.settings.wrapped_crop)
        for number in range(n_sets):
            if (reference := better_reference(coarse[number])) is not None:
                maps[number] = referenced(maps[number], reference)
        flat = xp.reshape(maps, (n_sets, maps.shape[1], -1))
        return xp.reshape(self.to_coils @ flat, (n_sets, self.to_coils.shape[0], *image_shape))

    def vectors(self, image_shape: tuple[int, int, int], n_sets: int, crop: float | None = None) -> Array:
        """Maps of virtual coils (set, virtual, z, y, x), their phases those of the first one."""
        return pixel_eigenvectors(
            self.lags,
            image_shape,
            n_sets,
            crop=self.settings.crop if crop is None else crop,
            n_iterations=self.settings.n_iterations,
            slab_bytes=self.settings.slab_bytes,
        )


def _wraps(block: Array, second: Array, settings: EspiritSettings) -> bool:
    """Whether a second set (coil, z, y, x) holds signal of the calibration: sum |S_2^H I|^2 / sum |I|^2."""
    xp = namespace(block)
    if int(block.shape[0]) < MIN_COILS:
        return False
    noise = settings.noise_variance * int(xp.sum(xp.astype(xp.any(second != 0, axis=0), xp.int64)))
    energy = squared_norm(xp.sum(xp.conj(second) * ifft(block), axis=0))
    return energy - noise > settings.wrapped_share * squared_norm(block)


def _check(calibration: Array, image_shape: tuple[int, int, int]) -> None:
    xp = namespace(calibration)
    shape = tuple(calibration.shape)
    if len(shape) != 4 or any(n > size for n, size in zip(shape[1:], image_shape, strict=True)):
        raise ValueError(
            f"the calibration (coil, z, y, x) = {shape} must have four axes and fit into the image {image_shape}"
        )
    if not bool(xp.all(xp.isfinite(xp.abs(calibration)))):
        raise ValueError("the calibration holds NaN or infinite samples: check the acquisition")


def _kernel_shape(shape: tuple[int, ...], settings: EspiritSettings) -> tuple[int, ...]:
    """Window (z, y, x), along each axis at most half as long as the calibration."""
    return tuple(min(settings.kernel_size, (n + 1) // 2) for n in shape)


def _central_block(calibration: Array, settings: EspiritSettings) -> Array:
    """The samples around DC that are used: enough windows to span their space, and no more."""
    shape = tuple(int(n) for n in calibration.shape[1:])
    size = [min(n, settings.calibration_size) for n in shape]
    kernel = _kernel_shape(tuple(size), settings)
    n_columns = int(calibration.shape[0]) * math.prod(kernel)

    def n_windows() -> int:
        return math.prod(n - k + 1 for n, k in zip(size, kernel, strict=True))

    longest = max(range(3), key=lambda axis: shape[axis])
    while n_windows() < n_columns and size[longest] < shape[longest]:
        size[longest] += 1
    first = [n // 2 - used // 2 for n, used in zip(shape, size, strict=True)]
    return calibration[(slice(None), *(slice(f, f + used) for f, used in zip(first, size, strict=True)))]


def _signal_kernels(block: Array, kernel: tuple[int, ...], threshold: float, noise_variance: float) -> Array:
    """Orthonormal basis (kernel, coil, z, y, x) of the windows of the calibration.

    Noise reaches n_windows sigma^2 (1 + sqrt(size / n_windows))^2 (Marchenko and Pastur, Math USSR Sb 1967;1:457).
    """
    xp = namespace(block)
    n_coils = block.shape[0]
    n_z, n_y, n_x = (n - k + 1 for n, k in zip(block.shape[1:], kernel, strict=True))
    size = n_coils * math.prod(kernel)
    gram = xp.zeros((size, size), dtype=block.dtype, device=block.device)
    for z in range(n_z):  # only one plane of windows at a time, to save memory
        windows = xp.stack(
            [
                xp.reshape(block[:, z + k_z, k_y : k_y + n_y, k_x : k_x + n_x], (n_coils, n_y * n_x))
                for k_z, k_y, k_x in itertools.product(*(range(k) for k in kernel))
            ],
            axis=1,
        )
        windows = xp.reshape(windows, (size, n_y * n_x))
        gram = gram + windows @ xp.conj(windows).T
    values, vectors = eigenvectors(gram)
    n_windows = math.prod(n - k + 1 for n, k in zip(block.shape[1:], kernel, strict=True))
    of_noise = noise_variance * (math.sqrt(n_windows) + math.sqrt(size)) ** 2
    n_noise = int(xp.sum(xp.astype(values < max(threshold * float(values[-1]), of_noise), xp.int64)))
    return xp.reshape(vectors[:, n_noise:].T, (size - n_noise, n_coils, *kernel))


def _kernel_autocorrelation(block: Array, settings: EspiritSettings) -> Array:
    """R_cd(l) / |K| on the lags l = 0, 1, ..., K-1, -(K-1), ..., -1 of each axis: (coil, coil, z, y, x)."""
    xp = namespace(block)
    kernel = _kernel_shape(tuple(block.shape[1:]), settings)
    kernels = _signal_kernels(block, kernel, settings.threshold, settings.noise_variance)
    n_kernels, n_coils = kernels.shape[:2]
    lags = tuple(2 * k - 1 for k in kernel)
    n_lags = math.prod(lags)
    axes = tuple(axis for axis, n in zip(SPATIAL_AXES, lags, strict=True) if n > 1)
    spectrum = xp.zeros((n_lags, n_coils, n_coils), dtype=block.dtype, device=block.device)
    chunk = max(1, settings.slab_bytes // (8 * n_coils * n_lags))
    for first in range(0, n_kernels, chunk):
        some = kernels[first : first + chunk]
        padded = xp.zeros((*some.shape[:2], *lags), dtype=block.dtype, device=block.device)
        padded[(..., *(slice(k) for k in kernel))] = some
        transformed = xp.reshape(uncentred(padded, axes, inverse=False), (*some.shape[:2], n_lags))
        by_lag = xp.permute_dims(transformed, (2, 1, 0))
        spectrum = spectrum + by_lag @ xp.conj(xp.permute_dims(by_lag, (0, 2, 1)))
    spectrum = xp.reshape(xp.permute_dims(spectrum, (1, 2, 0)), (n_coils, n_coils, *lags))
    # the orthonormal transforms leave one factor sqrt(n_lags) of the plain ones
    return uncentred(spectrum, axes, inverse=True) * (math.sqrt(n_lags) / math.prod(kernel))
