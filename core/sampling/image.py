"""How the image of a slice is sampled: the settings that reconstruction and training share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement, Shape3
from nilatron.core.prior.prior import ConditionedDenoiser
from nilatron.core.resolution import coarse_shape
from nilatron.core.sampling.coarse_to_fine import nila_coarse_to_fine
from nilatron.core.sampling.nila_fast import Callback, Generators, Numbers, SamplerResult, Solver, SolverSettings
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sampling.self_conditioning import self_conditioned_denoiser
from nilatron.core.sampling.symmetries import with_symmetries
from nilatron.core.solvers import conjugate_gradient


@dataclass(frozen=True)
class ImageSettings:
    """The sampler with tau = 0. The default prior was trained through it as it is by default, but for the symmetries.

    Names that a field had before are still read (`formerly`).
    """

    steps: int = 7  # network evaluations
    coarse_share: float = 0.45  # of the steps, the first ones, are made at half the resolution (image only)
    sigma_max: float = 0.8  # first diffusion noise level, image scale 1
    sigma_min: float = 0.03  # last diffusion noise level, image scale 1
    # of a level, what the network is told; 1 smooths more (image only, not the samples)
    sigma_fraction: float = field(default=0.75, metadata={"formerly": "noise_left"})
    momentum: float = 0.4  # share of a step's change that the next one starts ahead by (image only)
    tolerance: float = 1e-3  # relative residual of the data consistency problems
    # of an iteration, as rms and share of the noise level: less than that ends them
    min_change: float = field(default=0.04, metadata={"formerly": "smallest_change"})
    iterations: int = 8  # at most, of conjugate gradients, for each of them
    # the network sees another symmetry of the image at each step (image only)
    symmetries: bool = field(default=True, metadata={"formerly": "turns"})

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        karras_schedule(self.steps, self.sigma_max, self.sigma_min)
        for name in ("coarse_share", "momentum", "min_change"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if not 0 < self.sigma_fraction <= 1:
            raise ValueError(f"sigma_fraction must be above 0 and at most 1, got {self.sigma_fraction}")
        if not 0 < self.tolerance < 1 or self.iterations < 1:
            raise ValueError(
                f"expected 0 < tolerance < 1 and iterations >= 1, got {self.tolerance} and {self.iterations}"
            )

    @property
    def solver(self) -> SolverSettings:
        """How exactly data consistency is reached."""
        return SolverSettings(tolerance=self.tolerance, min_change=self.min_change, max_iterations=self.iterations)

    def levels(self, n_steps: int | None = None) -> tuple[float, ...]:
        """Diffusion noise levels of `n_steps` evaluations, by default of `steps`."""
        return karras_schedule(n_steps or self.steps, self.sigma_max, self.sigma_min)


def network_shapes(shape: Shape3) -> tuple[Shape3, ...]:
    """Shapes (z, y, x) at which the network sees images of `shape`: at two resolutions, each upright and transposed."""
    upright = (shape, coarse_shape(shape))
    return tuple(dict.fromkeys(seen for n, y, x in upright for seen in ((n, y, x), (n, x, y))))


def sample_images(
    denoiser: ConditionedDenoiser,
    operator: Measurement,
    data: Array,
    levels: Sequence[float],
    settings: ImageSettings,
    *,
    start: Array,
    sigma: Numbers,
    scale: Numbers,
    generator: Generators,
    solve: Solver = conjugate_gradient,
    callback: Callback | None = None,
) -> SamplerResult:
    """Images of one slice or several by `nila_coarse_to_fine`, which explains what is passed."""
    return nila_coarse_to_fine(
        self_conditioned_denoiser(with_symmetries(denoiser) if settings.symmetries else denoiser),
        operator,
        data,
        levels,
        int(settings.coarse_share * len(levels)),
        start=start,
        sigma=sigma,
        scale=scale,
        generator=generator,
        solver=settings.solver,
        sigma_fraction=settings.sigma_fraction,
        momentum=settings.momentum,
        solve=solve,
        callback=callback,
    )
