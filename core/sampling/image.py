"""Sampling of the image of a slice, with the settings that reconstruction and training share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from nilatron.core.backend import Array
from nilatron.core.bounds import bounded, check_bounds
from nilatron.core.measurement import Measurement, Shape3
from nilatron.core.prior.prior import ConditionedDenoiser
from nilatron.core.resolution import coarse_shape
from nilatron.core.sampling.coarse_to_fine import nila_coarse_to_fine
from nilatron.core.sampling.nila_fast import (
    Callback,
    PerElement,
    RandomGenerators,
    Renewal,
    SamplerResult,
    Solver,
    SolverSettings,
)
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sampling.self_conditioning import self_conditioned_denoiser
from nilatron.core.sampling.symmetries import with_symmetries
from nilatron.core.solvers import conjugate_gradient

DETAIL_GAIN = 0.4  # by how much full detail lowers the noise level that the network is told
DETAIL_NOISE = (0.032, 0.055)  # of the data, image scale 1: automatic detail rises between these
DETAIL_ACCELERATION = (2.0, 3.0)  # and between these; with more samples faint structures stay as they are
DETAIL_STEPS, DETAIL_STEP = 5, 0.06  # few values, so that slices of a scan can be reconstructed together

Settings = TypeVar("Settings", bound="ImageSettings")


@dataclass(frozen=True)
class ImageSettings:
    """Settings of the sampler for the image (tau = 0).

    The default prior was trained through the sampler with these defaults, but without `symmetries` and with `detail` 0. Former
    names of a field ("formerly") are still read. "Image only" settings are not used for posterior samples.
    """

    steps: int = bounded(7, 1, 1000)  # network evaluations
    coarse_share: float = (
        0.45  # fraction of the steps, from the first, that is made at half the resolution (image only)
    )
    sigma_max: float = 0.8  # first diffusion noise level, image scale 1
    sigma_min: float = 0.03  # last diffusion noise level, image scale 1
    # noise level that the network is given, as a fraction of the step's level; 1 smooths more (image only)
    sigma_fraction: float = field(default=0.75, metadata={"formerly": "noise_left"})
    # trades smoothness against small and faint structures, from 0 (smoothest) to 1: lowers that fraction further (image only).
    # By default it follows noise and acceleration: 0 up to a noise of 0.032 of the image scale or with half of the samples,
    # 0.3 from 0.055 with a third of them; the last level rises with it
    detail: float | None = None
    momentum: float = 0.4  # fraction of the last step's change that is added to the next step's input (image only)
    tolerance: float = 1e-3  # relative residual of the data consistency problems
    # rms change, as a fraction of the noise level; a smaller change in an iteration ends the iterations
    min_change: float = field(default=0.04, metadata={"formerly": "smallest_change"})
    iterations: int = bounded(8, 1, 100)  # largest number of conjugate gradient iterations in a step
    # the network sees another symmetry of the image at each step (image only)
    symmetries: bool = field(default=True, metadata={"formerly": "turns"})
    # a small network corrects the image once more, where the weights have one and the settings but detail are the defaults
    second_look: bool = True

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_bounds(self)
        karras_schedule(self.steps, self.sigma_max, self.sigma_min)
        for name in ("coarse_share", "momentum", "min_change"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if not 0 < self.sigma_fraction <= 1:
            raise ValueError(f"sigma_fraction must be above 0 and at most 1, got {self.sigma_fraction}")
        if self.detail is not None and not 0 <= self.detail <= 1:
            raise ValueError(f"detail must be from 0 to 1, got {self.detail}")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be above 0 and below 1, got {self.tolerance}")

    @property
    def network_fraction(self) -> float:
        """Noise level that the network is given, as a fraction of the step's level, with the wanted detail (automatic: 0).

        A network that is told of less noise removes less: faint structures keep more of their contrast, and noise its grain.
        """
        return self.sigma_fraction * (1 - DETAIL_GAIN * (self.detail or 0.0))

    def for_data(self: Settings, noise: float, share: float) -> Settings:
        """The settings with the automatic detail d of such data: see `automatic_detail`.

        The last level becomes sigma_min (1 + d): data of this noise have more to say than a network at a lower level.
        """
        if self.detail is not None:
            return self
        detail = automatic_detail(noise, share)
        return replace(self, detail=detail, sigma_min=min(self.sigma_min * (1 + detail), self.sigma_max))

    @property
    def solver(self) -> SolverSettings:
        """Settings of the solver for data consistency."""
        return SolverSettings(tolerance=self.tolerance, min_change=self.min_change, max_iterations=self.iterations)

    def levels(self, n_steps: int | None = None) -> tuple[float, ...]:
        """Diffusion noise levels of `n_steps` evaluations, by default `steps`."""
        return karras_schedule(n_steps or self.steps, self.sigma_max, self.sigma_min)


def automatic_detail(noise: float, share: float) -> float:
    """Detail that keeps faint structures where few and noisy samples hide them, and costs other scans nothing.

    It rises in steps from 0 to 0.3.

    Parameters
    ----------
    noise
        Complex standard deviation of the data's noise, image scale 1.
    share
        Acquired samples per sample of the whole grid.
    """
    of_noise, of_samples = _risen(noise, DETAIL_NOISE), _risen(1 / max(share, 1e-6), DETAIL_ACCELERATION)
    return DETAIL_STEP * round(DETAIL_STEPS * of_noise * of_samples)


def _risen(value: float, between: tuple[float, float]) -> float:
    """Where a value lies between two others, from 0 to 1; 0 for one that is no number."""
    first, last = between
    return min(max(0.0, (value - first) / (last - first)), 1.0)


def network_shapes(shape: Shape3) -> tuple[Shape3, ...]:
    """Shapes (z, y, x) of the network's input for images of `shape`: two resolutions, each upright and transposed."""
    upright = (shape, coarse_shape(shape))
    return tuple(dict.fromkeys(view for n, y, x in upright for view in ((n, y, x), (n, x, y))))


def sample_images(
    denoiser: ConditionedDenoiser,
    operator: Measurement,
    data: Array,
    levels: Sequence[float],
    settings: ImageSettings,
    *,
    start: Array,
    sigma: PerElement,
    scale: PerElement,
    generator: RandomGenerators,
    solve: Solver = conjugate_gradient,
    callback: Callback | None = None,
    renewal: Renewal | None = None,
) -> SamplerResult:
    """Images of one or several slices by `nila_coarse_to_fine`, where the parameters are explained.

    Levels and settings are those for the slices' data (`ImageSettings.for_data`); an automatic detail is 0 here.
    """
    upright = with_symmetries(denoiser) if settings.symmetries else denoiser
    return nila_coarse_to_fine(
        self_conditioned_denoiser(upright),
        operator,
        data,
        levels,
        int(settings.coarse_share * len(levels)),
        start=start,
        sigma=sigma,
        scale=scale,
        generator=generator,
        solver=settings.solver,
        sigma_fraction=settings.network_fraction,
        momentum=settings.momentum,
        solve=solve,
        callback=callback,
        renewal=renewal,
    )
