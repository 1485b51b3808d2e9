"""The way of a slice from the host and back, stage by stage: what the gadgets of the chain `nila` do, on arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gpu.place import Place
from gpu.scan import RawSlice
from nilatron.core.backend import Array, on_host, to_numpy
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.core.noise import noise_covariance, sigma_from_data, whiten, whitening_matrix
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.engine_prior import EnginePrior
from nilatron.core.recon import estimate_coil_maps, inverse_problem
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem


class FellBackError(RuntimeError):
    """Something was computed otherwise than asked for."""


@dataclass(frozen=True)
class OnDevice:
    """K-space and calibration (coil, z, y, x) and counts (z, y, x) of a slice."""

    kspace: Array
    calibration: Array
    counts: Array


@dataclass(frozen=True)
class Chain:
    """The stages, each from the result of the one before."""

    raw: RawSlice
    place: Place
    weights: Path
    settings: NilaNodeSettings

    @cached_property
    def whitening(self) -> Array:
        """W of the noise scan: made once a scan, on the host."""
        return whitening_matrix(noise_covariance(self.raw.noise))

    def upload(self) -> OnDevice:
        """The slice on the device."""
        return OnDevice(*(self.place.put(array) for array in (self.raw.kspace, self.raw.calibration, self.raw.counts)))

    def whiten(self, item: OnDevice) -> OnDevice:
        """With noise of variance 1, which the data are asked to confirm."""
        matrix = self.place.put(self.whitening)
        white = replace(item, kspace=whiten(matrix, item.kspace), calibration=whiten(matrix, item.calibration))
        sigma_from_data(white.kspace, white.counts)
        return white

    def compress(self, item: OnDevice) -> OnDevice:
        """In the virtual coils that hold more than noise."""
        matrix = compression_matrix(item.kspace * item.counts**0.5, item.counts)
        return replace(item, kspace=compress(matrix, item.kspace), calibration=compress(matrix, item.calibration))

    def maps(self, item: OnDevice) -> Array:
        """Coil maps (coil, z, y, x)."""
        return estimate_coil_maps(item.kspace, item.counts, item.calibration)[0]

    def start(self, item: OnDevice, maps: Array) -> Problem:
        """The measurement model, and CG-SENSE, the warm start."""
        made = inverse_problem(item.kspace, item.counts, maps)
        generator = np.random.default_rng(0)
        return Problem(made.operator, made.data, made.conventional, generator, self.place.device, self.weights)

    def sample(self, problem: Problem) -> Outcome:
        """The images.

        Raises
        ------
        FellBackError
            When some of them were left out, or not made on the device.
        """
        outcome = run_nila(problem, self.settings)
        if "shortened" in outcome.provenance:
            raise FellBackError(outcome.provenance["shortened"])
        if engine(self.weights, self.place.device, self.settings).remark():
            raise FellBackError(outcome.provenance["engine"])
        if self.place.device != "cpu" and any(on_host(image) for image in outcome.images.values()):
            raise FellBackError("the image was made on the host")
        return outcome

    def download(self, outcome: Outcome) -> dict[str, Array]:
        """The images on the host."""
        return {role: to_numpy(image) for role, image in outcome.images.items()}

    def problem(self) -> Problem:
        """All stages before the sampler."""
        item = self.compress(self.whiten(self.upload()))
        return self.start(item, self.maps(item))

    def run(self) -> dict[str, Array]:
        """All stages."""
        return self.download(self.sample(self.problem()))


def engine(weights: Path, device: str, settings: NilaNodeSettings) -> Engine:
    """What computes the network."""
    prior = prior_for(weights, device, settings.engine_settings).prior
    if not isinstance(prior, EnginePrior):
        raise TypeError(f"{weights} is computed by no engine")
    return prior.engine


def node_settings(n_samples: int = 0) -> NilaNodeSettings:
    """The defaults of the chain, with posterior samples on request."""
    if not n_samples:
        return NilaNodeSettings()
    return NilaNodeSettings(series=("nila", "uncertainty"), samples=n_samples)
