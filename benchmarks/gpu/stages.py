"""The stages that have to agree in all places, each a function of a place and the reference's arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from gpu.place import Place
from gpu.reference import Reference, same_noise
from nilatron.core.backend import Array, namespace, to_numpy
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import l1_wavelet
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.coils.walsh import walsh_maps
from nilatron.core.fft import ifft
from nilatron.core.kspace import centre_window
from nilatron.core.noise import noise_covariance, whiten, whitening_matrix
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.engine_prior import EnginePrior
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.nila_fast import nila_fast
from nilatron.core.sampling.schedule import karras_schedule

LEVEL = 0.2  # diffusion noise of the single evaluation
N_POSTERIOR, POSTERIOR_STEPS = 2, 8
# data consistency with a fixed number of iterations: where it ends by itself, rounding may add one or leave one out
FIXED = ImageSettings(tolerance=1e-12, min_change=0.0)

Stage: TypeAlias = Callable[[Place, Reference], Array]


@lru_cache(maxsize=4)
def prior_at(weights: Path, device: str) -> EnginePrior:
    """The network in float32, without a graph, on a device."""
    prior = load_prior(weights, device)
    return EnginePrior(Engine(prior.denoiser, "torch fp32"), torch.device(device), prior.sha256)


def whitening(place: Place, reference: Reference) -> Array:
    """Whitened k-space."""
    matrix = whitening_matrix(noise_covariance(place.put(reference.raw.noise)))
    return whiten(matrix, place.put(reference.raw.kspace))


def compression(place: Place, reference: Reference) -> Array:
    """What is left of k-space: eigenvectors of close eigenvalues may turn into each other, what they span may not."""
    kspace, counts = place.put(reference.white[0]), place.put(reference.raw.counts)
    matrix = compression_matrix(kspace * counts**0.5, counts)
    xp = namespace(matrix)
    return compress(xp.conj(matrix).T, compress(matrix, kspace))


def espirit(place: Place, reference: Reference) -> Array:
    """Maps from the calibration lines."""
    return espirit_maps(place.put(reference.compressed[1]), reference.raw.shape)


def walsh(place: Place, reference: Reference) -> Array:
    """Maps from the low frequencies."""
    kspace, counts = place.put(reference.compressed[0]), place.put(reference.raw.counts)
    return walsh_maps(ifft(kspace * centre_window(kspace, counts)))


def sampled(place: Place, reference: Reference, weights: Path, settings: ImageSettings) -> Array:
    """The image, from the noise of the host."""
    with same_noise():
        return sample_images(
            prior_at(weights, place.device).estimate,
            reference.operator(place),
            place.put(reference.problem.data),
            settings.levels(),
            settings,
            start=place.put(reference.problem.conventional)[None],
            sigma=reference.problem.noise_level,
            scale=reference.problem.scale,
            generator=np.random.default_rng(0),
        ).image


def posterior(place: Place, reference: Reference, weights: Path) -> Array:
    """Posterior samples, from the noise of the host."""
    start = place.put(reference.problem.conventional)
    with same_noise():
        return nila_fast(
            prior_at(weights, place.device).estimate,
            reference.operator(place),
            place.put(reference.problem.data),
            karras_schedule(POSTERIOR_STEPS, 0.5, 0.01),
            start=namespace(start).stack([start] * N_POSTERIOR),
            sigma=reference.problem.noise_level,
            scale=reference.problem.scale,
            tau=1.0,
            generator=np.random.default_rng(0),
            solver=FIXED.solver,
        ).image


def classical_stages() -> Mapping[str, Stage]:
    """Those without a network."""
    return {
        "whitening": whitening,
        "compression": compression,
        "ESPIRiT": espirit,
        "Walsh": walsh,
        "SENSE forward": lambda place, given: given.operator(place).forward(place.put(given.problem.conventional)),
        "SENSE adjoint": lambda place, given: given.operator(place).adjoint(place.put(given.problem.data)),
        "SENSE normal": lambda place, given: given.operator(place).normal(place.put(given.problem.conventional)),
        "zero-filled": lambda place, given: zero_filled(given.operator(place), place.put(given.problem.data)),
        "CG-SENSE": lambda place, given: cg_sense(given.operator(place), place.put(given.problem.data), tolerance=0.0),
        "l1-wavelet": lambda place, given: l1_wavelet(given.operator(place), place.put(given.problem.data)),
    }


def network_stages(weights: Path) -> Mapping[str, Stage]:
    """One evaluation, the image and posterior samples, the network in float32."""

    def evaluation(place: Place, reference: Reference) -> Array:
        image = reference.problem.conventional / np.float32(reference.problem.scale)
        return prior_at(weights, place.device).estimate(place.put(image)[None], LEVEL).mean

    return {
        "one evaluation": evaluation,
        "Nila image": lambda place, given: sampled(place, given, weights, FIXED),
        "posterior samples": lambda place, given: posterior(place, given, weights),
    }


def support_changed(found: Array, expected: Array) -> float:
    """Share of the pixels that have maps in one place only: the threshold of the eigenvalue decides by rounding."""
    ours, theirs = (np.any(to_numpy(maps) != 0, axis=0) for maps in (found, expected))
    return float(np.mean(ours != theirs))
