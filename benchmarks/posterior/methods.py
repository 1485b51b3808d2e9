"""Posterior samplers behind one signature: ours, annealed Langevin, predictor-corrector, and Nila as published."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement, mask_outside_coils
from nilatron.core.prior.prior import Denoiser, Estimate
from nilatron.core.sampling.nila import NilaSettings, nila
from nilatron.core.sampling.posterior import Posterior, sample_posterior
from nilatron.core.sampling.predictor_corrector import predictor_corrector
from nilatron.core.sampling.pula import pula
from nilatron.core.sampling.sample_settings import DEFAULT_SPLIT, SPLIT_ERRORS, Chains, SampleSettings
from nilatron.gadgets.nila.budget import Stopwatch
from nilatron.gadgets.nila.prior import ReadyPrior
from nilatron.gadgets.nila.run import NilaRun, SliceImage
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem

SETTINGS = NilaNodeSettings(series=("nila", "mean"))
TWO_STEPS = SampleSettings(sample_steps=2)
APART = SampleSettings(split_sigma=0.5, sample_steps=16)
WIDE = SampleSettings(sample_steps=5)
WIDE_ERRORS = 3.0  # level of the split by the predicted error
PUBLISHED_STEPS = 100


@dataclass(frozen=True)
class Scan:
    """What every sampler takes, and where ours starts.

    Attributes
    ----------
    image
        Burn-in of our samples (z, y, x).
    error
        Its predicted rms error, image scale 1.
    share
        Acquired share of the samples.
    """

    denoiser: Denoiser
    operator: Measurement
    data: Array
    sigma: float
    scale: float
    conventional: Array
    image: Array
    error: float | None
    share: float


Draw: TypeAlias = Callable[[Scan, int], Posterior]


@dataclass(frozen=True)
class Method:
    """A sampler.

    Attributes
    ----------
    label
        Of its rows.
    draw
        So many samples of a scan.
    ours
        Whether it is a variant of ours, which takes few evaluations a sample.
    shared
        Whether the samples start from the image, whose cost they have to bear.
    """

    label: str
    draw: Draw
    ours: bool = False
    shared: bool = False


def default(scan: Scan, n: int) -> Posterior:
    """Our samples, as the chain draws them."""
    return _from_chains(scan, n, SETTINGS.chains(scan.error, scan.share))


def independent(scan: Scan, n: int) -> Posterior:
    """Our samples with independent noise, which are not centred either."""
    chains = SETTINGS.chains(scan.error, scan.share)
    return _drawn(scan, n, chains.levels, scan.image, balanced=False, widening=chains.widening, seed=1)


def two_steps(scan: Scan, n: int) -> Posterior:
    """Samples with a second step, which are not widened."""
    return _from_chains(scan, n, TWO_STEPS.chains(scan.error, scan.share))


def wide(scan: Scan, n: int) -> Posterior:
    """Samples that part earlier and take five steps."""
    error = scan.error or DEFAULT_SPLIT
    return _from_chains(scan, n, WIDE.chains(WIDE_ERRORS * error / SPLIT_ERRORS))


def apart(scan: Scan, n: int) -> Posterior:
    """Samples that share nothing."""
    return _drawn(scan, n, APART.chains().levels, scan.conventional, balanced=False)


def langevin(scan: Scan, n: int) -> Posterior:
    """Samples by pULA with its defaults."""
    return _reference(pula, scan, n)


def corrected(scan: Scan, n: int) -> Posterior:
    """Samples by the published predictor-corrector sampler."""
    return _reference(predictor_corrector, scan, n)


def _reference(sampler: Callable[..., Array], scan: Scan, n: int) -> Posterior:
    return Posterior(
        sampler(
            scan.denoiser,
            scan.operator,
            scan.data,
            n_samples=n,
            sigma=scan.sigma,
            scale=scan.scale,
            generator=np.random.default_rng(0),
        )
    )


def published(scan: Scan, n: int, n_steps: int = PUBLISHED_STEPS) -> Posterior:
    """Runs of Nila as published, one after the other."""
    runs = [
        nila(
            scan.denoiser,
            scan.operator,
            scan.data,
            sigma=scan.sigma,
            scale=scan.scale,
            generator=np.random.default_rng(seed),
            settings=NilaSettings(n_steps=n_steps),
        )
        for seed in range(n)
    ]
    return Posterior(np.stack(runs))


def methods(published_steps: int = PUBLISHED_STEPS) -> Mapping[str, Method]:
    """By the names that the command line takes."""
    return {
        "ours": Method("Nila, samples from its image", default, ours=True, shared=True),
        "two-steps": Method("the same, two steps, not widened", two_steps, ours=True, shared=True),
        "wide": Method(f"the same, split at {WIDE_ERRORS:g} errors, 5 steps", wide, ours=True, shared=True),
        "apart": Method("Nila, samples that share nothing, 16 steps", apart, ours=True),
        "pula": Method("pULA, 100 levels", langevin),
        "pc": Method("predictor-corrector, 100 levels", corrected),
        "published": Method(f"Nila as published, {published_steps} steps", partial(published, n_steps=published_steps)),
    }


def scan_with_image(problem: Problem, prior: ReadyPrior) -> tuple[Scan, float]:
    """A scan with our image, and the seconds that this took."""
    began = time.process_time()
    run = NilaRun([problem], SETTINGS, Stopwatch(0.0, 0.0, time.monotonic), prior)
    made: SliceImage = run.images(run.plan())[0]
    seconds = time.process_time() - began
    image = made.outcome.images["main"]
    return (
        Scan(
            prior.prior.estimate,
            problem.operator,
            problem.data,
            problem.noise_level,
            problem.scale,
            problem.conventional,
            image,
            made.predicted_error,
            problem.acquired_share,
        ),
        seconds,
    )


@dataclass
class Counted:
    """A denoiser that counts the images that it is given."""

    denoiser: Denoiser
    n: int = 0

    def __call__(self, x: Array, sigma: float) -> Estimate:
        """As the denoiser."""
        self.n += int(x.shape[0]) if x.ndim == 4 else 1
        return self.denoiser(x, sigma)


def measured(scan: Scan, draw: Draw, n: int) -> tuple[Posterior, int, float]:
    """Samples, evaluations of the network, and seconds of one processor."""
    counted, began = Counted(scan.denoiser), time.process_time()
    found = draw(replace(scan, denoiser=counted), n)
    seconds = time.process_time() - began
    return replace(found, samples=mask_outside_coils(scan.operator, found.samples)), counted.n, seconds


def _from_chains(scan: Scan, n: int, chains: Chains) -> Posterior:
    start = scan.image if chains.shared else scan.conventional
    return _drawn(scan, n, chains.levels, start, centred=chains.centred, widening=chains.widening)


def _drawn(
    scan: Scan,
    n: int,
    levels: tuple[float, ...],
    start: Array,
    *,
    balanced: bool = True,
    centred: float = 0.0,
    widening: float = 0.0,
    seed: int = 0,
) -> Posterior:
    return sample_posterior(
        scan.denoiser,
        scan.operator,
        scan.data,
        levels,
        n_samples=n,
        start=start,
        sigma=scan.sigma,
        scale=scan.scale,
        generator=np.random.default_rng(seed),
        balanced=balanced,
        centred=centred,
        widening=widening,
        solver=SETTINGS.solver,
    )
