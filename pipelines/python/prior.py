"""A prior as a denoiser, and the samplers that reconstruct with it or with a denoiser of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement, mask_outside_coils
from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate, Prior
from nilatron.core.prior.weights import find_weights
from nilatron.core.recon import nila_image, warm_started
from nilatron.core.sampling.posterior import Posterior
from nilatron.core.sampling.posterior import sample_posterior as draw
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.settings import from_properties
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.python.properties import Property, texts_of


@dataclass(frozen=True)
class Denoiser:
    """D(x, sigma) = E[x0 | x], x = x0 + sigma n with E|n|^2 = 1, of a prior of complex images.

    Attributes
    ----------
    prior
        The prior as the samplers take it: its estimate may be conditioned on that of the step before.
    """

    prior: Prior

    def __call__(self, x: Array, sigma: float) -> Array:
        """Denoised images, in the library of `x`.

        Parameters
        ----------
        x
            Complex images (..., y, x) of NumPy, CuPy or torch, divided by the 99.5th percentile of their magnitude.
        sigma
            Complex standard deviation of their noise, after that division.
        """
        return self.prior.estimate(x, sigma).mean

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights file."""
        return self.prior.sha256


AnyDenoiser: TypeAlias = Denoiser | Prior | Callable[[Array, float], Array]


def load_prior(
    name: str = "default", *, device: str = "auto", engine: str = "torch", precision: str = "auto"
) -> Denoiser:
    """Denoiser of shipped weights (default, tiny) or of a file of safetensors or ONNX.

    Parameters
    ----------
    name
        Name or path.
    device
        auto, cpu or cuda.
    engine, precision
        What computes the network, and how its convolutions: as the properties of these names.

    Raises
    ------
    ValueError
        When the weights or the engine cannot be used.
    """
    chosen = EngineSettings(engine, precision)
    return Denoiser(prior_for(find_weights(name), resolve_device(device), chosen).prior)


def sample_images(
    denoiser: AnyDenoiser, operator: Measurement, data: Array, *, seed: int = 0, **properties: Property
) -> Array:
    """Nila image (z, y, x) of one slice: warm start, levels, coarse steps and self-conditioning as in the chain `nila`.

    What the chain adds, a second look with the shipped weights, `reconstruct` has: any denoiser can be used here.

    Parameters
    ----------
    denoiser
        From `load_prior`, or a function D(x, sigma) of images (batch, z, y, x) of one's own.
    operator
        The measurement A, for example a `SenseOperator`.
    data
        y = A x + n with E|n|^2 = 1: `operator.data(kspace)` of whitened k-space.
    seed
        Of all randomness.
    **properties
        Properties of the target nila, for example steps=12.

    Raises
    ------
    ValueError
        For properties that cannot be used, or data that do not fit the operator.
    """
    settings = from_properties(NilaNodeSettings, texts_of(properties), "nila")
    generator = np.random.default_rng(seed)
    return nila_image(_conditioned(denoiser), warm_started(operator, data), generator, settings)


def sample_posterior(
    denoiser: AnyDenoiser, operator: Measurement, data: Array, *, seed: int = 0, **properties: Property
) -> Posterior:
    """Posterior samples of one slice, with their `mean` and `standard_deviation` (z, y, x), drawn as in the chain `nila`.

    Parameters as for `sample_images`; `samples` is the number of samples, which part at the noise level `split_sigma`. A
    function of one's own predicts no errors from which that level could follow; it is 0.06 by default.

    Raises
    ------
    ValueError
        For properties that cannot be used, or data that do not fit the operator.
    """
    settings = from_properties(NilaNodeSettings, texts_of(properties), "nila")
    problem, estimate = warm_started(operator, data), _conditioned(denoiser)
    generator, chains = np.random.default_rng(seed), settings.chains()
    start = nila_image(estimate, problem, generator, settings) if chains.shared else problem.conventional
    found = draw(
        lambda x, sigma: estimate(x, sigma, None),
        operator,
        data,
        chains.levels,
        n_samples=settings.samples,
        start=start,
        sigma=problem.noise_level,
        scale=problem.scale,
        generator=generator,
        centred=chains.centred,
        solver=settings.solver,
    )
    return Posterior(mask_outside_coils(operator, found.samples), found.balanced)


def _conditioned(denoiser: AnyDenoiser) -> ConditionedDenoiser:
    """The denoiser as samplers take it; a plain function ignores the estimate of the step before."""
    if isinstance(denoiser, Denoiser):
        return denoiser.prior.estimate
    if not callable(denoiser):
        return denoiser.estimate

    def estimate(x: Array, sigma: float, previous_estimate: Array | None = None, /) -> Estimate:
        del previous_estimate
        return Estimate(denoiser(x, sigma))

    return estimate
