"""What samplers know of a prior: an estimate of the image behind a noisy one, with its variance where the prior tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from nilatron.core.backend import Array


@dataclass(frozen=True)
class Estimate:
    """What a prior says of x0, given x = x0 + sigma n.

    Attributes
    ----------
    mean
        E[x0 | x], complex, of the shape of x.
    variance
        E[|x0 - mean|^2 | x] of each pixel, real, of the shape of x; None where the prior does not tell.
    """

    mean: Array
    variance: Array | None = None


Denoiser: TypeAlias = Callable[
    [Array, float], Estimate
]  # of complex images (batch, z, y, x) of image scale 1, and sigma
MeanDenoiser: TypeAlias = Callable[[Array, float], Array]  # the same, but the mean alone


class ConditionedDenoiser(Protocol):
    """A denoiser that is also shown what it made of the step before."""

    def __call__(self, x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
        """Denoise x; the previous estimate is that of the step before, None where there is none. A prior may ignore it."""


class Prior(Protocol):
    """A prior of images of image scale 1, whatever computes it: what every sampler takes.

    Another kind of prior is one class, and one loader in `core.prior.loaders` for its file.
    """

    @property
    def sha256(self) -> str:
        """Of the file that it was read from."""

    @property
    def label(self) -> str:
        """What computes it, for log and image metadata."""

    def estimate(self, x: Array, sigma: float, previous_estimate: Array | None = None, /) -> Estimate:
        """Estimate of x0 from x = x0 + sigma n, E|n|^2 = 1; arrays of any library, (batch, z, y, x), the same kind out."""
