"""The prior as samplers see it: an estimate of the image in a noisy image, with a variance if the prior has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from nilatron.core.backend import Array


@dataclass(frozen=True)
class Estimate:
    """Estimate of the image x0, given x = x0 + sigma n.

    Attributes
    ----------
    mean
        E[x0 | x], complex, of the shape of x.
    variance
        E[|x0 - mean|^2 | x] of each pixel, real, of the shape of x; None if the prior does not estimate it.
    """

    mean: Array
    variance: Array | None = None


# (x, sigma) -> estimate, for complex images x (batch, z, y, x) of image scale 1
Denoiser: TypeAlias = Callable[[Array, float], Estimate]
MeanDenoiser: TypeAlias = Callable[[Array, float], Array]  # a denoiser that returns only the mean of its estimate


class ConditionedDenoiser(Protocol):
    """A denoiser that is also given its estimate of the previous step."""

    def __call__(self, x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
        """Denoise x; `previous_estimate` is the mean of the previous step or None, and may be ignored."""


class Prior(Protocol):
    """A prior of images of image scale 1, as every sampler takes it.

    A new kind of prior needs one class, and one loader in `core.prior.loaders` for its file.
    """

    @property
    def sha256(self) -> str:
        """SHA-256 of the file from which the prior was read."""

    @property
    def label(self) -> str:
        """Name of the engine that computes the prior, for log and image metadata."""

    def estimate(self, x: Array, sigma: float, previous_estimate: Array | None = None, /) -> Estimate:
        """Estimate of x0 from x = x0 + sigma n, E|n|^2 = 1, for arrays (batch, z, y, x) of any library."""
