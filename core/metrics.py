"""Image quality against a reference image, over the pixels of the object; each image is first scaled to the reference."""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace, percentile, squared_norm

FOREGROUND = 0.08  # fraction of the image scale; brighter pixels belong to the object


def foreground(reference: Array, fraction: float = FOREGROUND, percent: float = 99.5) -> Array:
    """Object pixels: |reference| > `fraction` of its `percent`-th percentile; boolean, of the reference's shape."""
    magnitude = namespace(reference).abs(reference)
    return magnitude > fraction * percentile(magnitude, percent)


def fitted_scale(image: Array, reference: Array, mask: Array | None = None) -> complex:
    """Complex factor a that minimises |a image - reference|^2 over the mask; 0 if the image is 0 in the mask.

    The factor removes a global phase and the normalisation of other programs, nothing else.
    """
    xp = namespace(image, reference)
    x, r = (image, reference) if mask is None else (image[mask], reference[mask])
    energy = squared_norm(x)
    if energy == 0:
        return 0j
    product = xp.conj(x) * r
    real = float(xp.sum(xp.real(product), dtype=xp.float64))
    if not xp.isdtype(product.dtype, "complex floating"):
        return complex(real / energy)
    return complex(real, float(xp.sum(xp.imag(product), dtype=xp.float64))) / energy


def psnr(image: Array, reference: Array, mask: Array | None = None) -> float:
    """20 log10(max |reference| / rms error) in dB over the mask.

    The error is a |image| - |reference|, with a >= 0 by least squares: only magnitudes count, as a reader sees them. The
    peak is the largest magnitude of the reference inside the mask. `nrmse` judges the complex image.

    Parameters
    ----------
    image, reference
        Complex or real, of one shape.
    mask
        Boolean; `foreground(reference)` by default.

    Returns
    -------
    The PSNR in dB; infinity for an exact image.

    Raises
    ------
    ValueError
        When the shapes differ, the mask is empty or the reference is 0 in the mask.
    """
    mask = _mask(image, reference, mask)
    xp = namespace(image, reference)
    x, r = xp.abs(image[mask]), xp.abs(reference[mask])
    error = squared_norm(fitted_scale(x, r).real * x - r) / r.shape[0]
    return math.inf if error == 0 else 10 * math.log10(float(xp.max(r)) ** 2 / error)


def nrmse(image: Array, reference: Array, mask: Array | None = None, *, rescale: bool = True) -> float:
    """Relative error |a image - reference| / |reference| over the mask, complex: wrong phase counts.

    The factor a is `fitted_scale` or, with rescale=False, 1. Parameters and errors are those of `psnr`.
    """
    mask = _mask(image, reference, mask)
    x, r = image[mask], reference[mask]
    difference = (fitted_scale(x, r) * x if rescale else x) - r
    return math.sqrt(squared_norm(difference) / squared_norm(r))


def ssim(image: Array, reference: Array, mask: Array | None = None, *, window: int = 7) -> float:
    """Mean structural similarity of the magnitudes (Wang et al., IEEE TIP 2004, Eq. 13; fastMRI's uniform 7x7 window).

    K1 = 0.01, K2 = 0.03, range = max |reference|, unbiased local (co)variances over the last two axes. Pixels nearer to
    the border than half a window are left out. The magnitudes are first fitted as in `psnr`.

    Parameters
    ----------
    image, reference
        (..., y, x), one shape, each of the last two axes at least `window`.
    mask
        Pixels to average over; all by default, as in fastMRI.

    Raises
    ------
    ValueError
        When the shapes differ, an image is smaller than the window, the mask is empty or the reference 0.
    """
    if min(reference.shape[-2:]) < window:
        raise ValueError(f"SSIM needs images of at least {window} x {window} pixels, got {tuple(reference.shape[-2:])}")
    xp = namespace(image, reference)
    chosen = _mask(image, reference, mask if mask is not None else xp.ones_like(reference, dtype=xp.bool))
    x, r = (xp.astype(xp.abs(array), xp.float64) for array in (image, reference))
    x = x * fitted_scale(x, r, chosen).real
    mean_x, mean_r = _local_mean(x, window), _local_mean(r, window)
    unbiased = window**2 / (window**2 - 1)
    var_x = unbiased * (_local_mean(x * x, window) - mean_x**2)
    var_r = unbiased * (_local_mean(r * r, window) - mean_r**2)
    covariance = unbiased * (_local_mean(x * r, window) - mean_x * mean_r)
    peak = float(xp.max(r))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    local = (2 * mean_x * mean_r + c1) * (2 * covariance + c2) / ((mean_x**2 + mean_r**2 + c1) * (var_x + var_r + c2))
    half = window // 2
    weights = xp.astype(chosen[..., half : half + local.shape[-2], half : half + local.shape[-1]], xp.float64)
    total = float(xp.sum(weights))
    if total == 0:
        raise ValueError("SSIM needs masked pixels further than half a window from the border")
    return float(xp.sum(local * weights)) / total


def _local_mean(x: Array, window: int) -> Array:
    """Mean over each full window x window block of the last two axes."""
    xp = namespace(x)
    for axis in (-2, -1):
        n = x.shape[axis] - window + 1
        moved = xp.moveaxis(x, axis, -1)
        total = moved[..., :n]
        for i in range(1, window):
            total = total + moved[..., i : i + n]
        x = xp.moveaxis(total / window, -1, axis)
    return x


def _mask(image: Array, reference: Array, mask: Array | None) -> Array:
    if tuple(image.shape) != tuple(reference.shape):
        raise ValueError(f"image {tuple(image.shape)} and reference {tuple(reference.shape)} must have one shape")
    mask = foreground(reference) if mask is None else mask
    xp = namespace(reference)
    if not bool(xp.any(mask)) or float(xp.max(xp.abs(reference[mask]))) == 0:
        raise ValueError("no pixel to compare: the mask is empty or the reference 0 in it; check the reference image")
    return mask
