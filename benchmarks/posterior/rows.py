"""What the tables of posterior samplers say about samples whose truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from nilatron.core.backend import ComplexArray
from nilatron.core.metrics import foreground, psnr, ssim
from nilatron.core.sampling.posterior import Posterior
from report import Cell

LEVEL = 0.9
POOLED = 5  # pixels along each side
Pixels = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Judged:
    """Samples against the truth, of magnitudes, over the foreground of the truth.

    Attributes
    ----------
    coverage
        Share of the pixels within the interval of Student's distribution about the samples' mean.
    ratio
        Mean squared error of the mean's magnitude by the variance that the samples predict for it.
    pooled
        The same of means over 5 x 5 pixels.
    """

    coverage: float
    ratio: float
    pooled: float


def judged(posterior: Posterior, truth: ComplexArray) -> Judged:
    """Samples of a truth (z, y, x)."""
    inside, n = foreground(truth), len(posterior.samples)
    error = np.abs(posterior.mean) - np.abs(truth)
    deviation = np.asarray(posterior.magnitude_deviation)
    of_mean = 1.0 if posterior.balanced else 1 + 1 / n
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, n - 1))  # few samples do not know the deviation well
    covered = np.abs(error) <= quantile * deviation * math.sqrt(of_mean)
    magnitudes = np.abs(posterior.samples)
    spreads = _pooled(magnitudes - magnitudes.mean(axis=0))
    pooled_variance = (spreads**2).sum(axis=0) / (n if posterior.balanced else n - 1)
    whole = _pooled(inside.astype(np.float64)) > 0.999
    return Judged(
        float(covered[inside].mean()),
        _ratio(error[inside] ** 2, deviation[inside] ** 2),
        _ratio(_pooled(error)[whole] ** 2, pooled_variance[whole]),
    )


def row_of(label: str, posterior: Posterior, truth: ComplexArray, evaluations: int, seconds: float) -> dict[str, Cell]:
    """A sampler's row; PSNR and SSIM are those of its mean."""
    found = judged(posterior, truth)
    return {
        "sampler": label,
        "samples": len(posterior.samples),
        "PSNR / dB": psnr(posterior.mean, truth),
        "of one sample / dB": psnr(posterior.samples[0], truth),
        "SSIM": f"{ssim(posterior.mean, truth):.3f}",
        "coverage": f"{found.coverage:.2f}",
        "variance ratio": found.ratio,
        "of 5 x 5 means": found.pooled,
        "evaluations": evaluations,
        "seconds": seconds,
    }


def image_row(
    label: str, image: ComplexArray, truth: ComplexArray, evaluations: int, seconds: float
) -> dict[str, Cell]:
    """The row of an image without samples."""
    unknown: dict[str, Cell] = dict.fromkeys(("coverage", "variance ratio", "of 5 x 5 means"))
    return {
        "sampler": label,
        "samples": None,
        "PSNR / dB": psnr(image, truth),
        "of one sample / dB": None,
        "SSIM": f"{ssim(image, truth):.3f}",
        **unknown,
        "evaluations": evaluations,
        "seconds": seconds,
    }


def _pooled(images: Pixels) -> Pixels:
    """Means over 5 x 5 pixels (..., y, x), none of which overlap."""
    size = (1,) * (images.ndim - 2) + (POOLED, POOLED)
    means: Pixels = ndimage.uniform_filter(images, size)[..., POOLED // 2 :: POOLED, POOLED // 2 :: POOLED]
    return means


def _ratio(squares: Pixels, variances: Pixels) -> float:
    return float(np.mean(squares) / np.mean(variances))
