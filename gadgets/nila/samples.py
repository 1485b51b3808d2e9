"""Posterior samples of a slice, and the series that are made of them."""

from __future__ import annotations

from collections.abc import Sequence

from nilatron.core.backend import Array
from nilatron.core.measurement import mask_outside_coils
from nilatron.core.prior.prior import Prior
from nilatron.core.sampling.nila_fast import Callback
from nilatron.core.sampling.posterior import most_probable, sample_posterior
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem


def sampled_images(
    prior: Prior,
    problem: Problem,
    settings: NilaNodeSettings,
    roles: Sequence[str],
    *,
    n_samples: int,
    image: Array,
    predicted_error: float | None,
    callback: Callback,
) -> Outcome:
    """The images of some of the roles mean, map, sample, std and uncertainty.

    Parameters
    ----------
    image
        Of the slice (z, y, x): the burn-in that the samples share.
    predicted_error
        Its rms error, image scale 1; None for weights that predict none.
    callback
        Before each step; what it raises ends the samples.
    """
    chains = settings.chains(predicted_error, problem.acquired_share)
    posterior = sample_posterior(
        prior.estimate,
        problem.operator,
        problem.data,
        chains.levels,
        n_samples=n_samples,
        start=image if chains.shared else problem.conventional,
        sigma=problem.noise_level,
        scale=problem.scale,
        generator=problem.generator,
        centred=chains.centred,
        widening=chains.widening,
        solver=settings.solver,
        callback=callback,
    )
    made = {"mean": posterior.mean, "sample": posterior.samples[0]}
    made |= dict.fromkeys(("std", "uncertainty"), posterior.magnitude_deviation)
    if "map" in roles:
        made["map"] = most_probable(
            prior.estimate,
            problem.operator,
            problem.data,
            settings.map_levels,
            sample=posterior.samples[0],
            sigma=problem.noise_level,
            scale=problem.scale,
            generator=problem.generator,
            solver=settings.solver,
            callback=callback,
        )
    images = {role: mask_outside_coils(problem.operator, made[role]) for role in roles}
    provenance = {
        "samples": str(n_samples),
        "split_sigma": f"{chains.levels[0]:.4g}",
        "sample_widening": f"{chains.widening:.3g}",
    }
    return Outcome(images, provenance)
