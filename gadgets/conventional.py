"""A slice on its device, its conventional image, and how images of it are marked."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from nilatron import __version__
from nilatron.core.backend import Array, to_numpy
from nilatron.core.measurement import Measurement
from nilatron.core.quality.residual import residual_of
from nilatron.core.recon import displayed, inverse_problem
from nilatron.gadgets.accumulate import acceleration
from nilatron.gadgets.device import to_device
from nilatron.gadgets.doubt import doubts, judged
from nilatron.gadgets.items import UNCERTAINTY_ROLES, Context, KSpaceSlice, Reconstruction
from nilatron.gadgets.problem import Problem

log = logging.getLogger(__name__)

# whatever a reconstruction may raise but BadInputError, which only the user can mend, and the end of the process
FAILURES = (
    RuntimeError,
    MemoryError,
    ArithmeticError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OSError,
)


@dataclass(frozen=True, eq=False)
class PreparedSlice:
    """A slice that waits for the target's images.

    Attributes
    ----------
    item, problem
        The slice, and as its reconstruction sees it.
    conventional
        Its CG-SENSE image.
    failure
        Why the device could not even make that, so that the CPU did; empty if it could.
    arrived_s
        When its last line came.
    n_before
        Slices of the scan that came before it.
    neighbours
        Which slices it is told of, in words; empty where that is not asked for.
    """

    item: KSpaceSlice
    problem: Problem
    conventional: Reconstruction
    failure: str
    arrived_s: float
    n_before: int
    neighbours: str = ""

    @cached_property
    def has_signal(self) -> bool:
        """Whether there is anything to reconstruct."""
        return bool(np.any(self.conventional.image))

    @property
    def batch_key(self) -> tuple[str, tuple[int, ...], type[Measurement]]:
        """What slices reconstructed at once have in common: device, size (z, y, x), kind of measurement; coils may differ."""
        return self.problem.device, tuple(self.problem.conventional.shape), type(self.problem.operator)


def prepare_slice(item: KSpaceSlice, context: Context, target: str, weights: Path, n_before: int) -> PreparedSlice:
    """The slice on the scan's device with its conventional image; on the CPU if the device fails."""
    arrived_s = context.timing.last_arrival_s()
    try:
        return PreparedSlice(
            item, *_prepared_on(context.device, item, context, target, weights), "", arrived_s, n_before
        )
    except FAILURES as error:
        if context.device == "cpu":
            raise
        failure = f"on {context.device}: {error}"
    return PreparedSlice(item, *_prepared_on("cpu", item, context, target, weights), failure, arrived_s, n_before)


def _prepared_on(
    device: str, item: KSpaceSlice, context: Context, target: str, weights: Path
) -> tuple[Problem, Reconstruction]:
    kspace, counts, maps = (to_device(a, device) for a in (item.kspace, item.counts, item.coil_maps))
    generator = np.random.default_rng(np.random.SeedSequence([context.seed, *slice_identity(item)]))

    def callback(step: int, sigma: float, x: Array) -> None:
        del step, sigma
        context.progress.step(int(x.shape[0]) if x.ndim == 4 else 1)

    slice_ = inverse_problem(kspace, counts, maps)
    problem = Problem.of(slice_, generator, device, weights, context.timing.clock, callback)
    problem = replace(problem, thin_maps=item.thin_maps)
    made = provenance(item, context) | {"sampler": "CG-SENSE", "device": device, "target": target}
    return problem, finished(item, problem, "conventional", problem.conventional, made)


def finished(item: KSpaceSlice, problem: Problem, role: str, image: Array, made: dict[str, str]) -> Reconstruction:
    """An image for display on the host, marked with how well it explains the data and with what makes it doubtful."""
    if role not in UNCERTAINTY_ROLES:
        residual = residual_of(problem.operator, problem.data, image)
        made = made | {"chi2": f"{residual.chi2:.4g}", "unexplained": f"{residual.unexplained:.3g}"}
        method = "cg_sense" if role == "conventional" else made.get("target", "")
        found = doubts(judged(item, problem, image, residual, method))
        if "prior_mismatch" in made:  # an unfamiliar object is no sign of a wrong image, but a reason to compare
            log.warning("%s: %s", item.label, made["prior_mismatch"])
            item = item.with_note(made["prior_mismatch"])
        if found:
            made["doubt"] = "; ".join(found)
        log.info("%s: %s image, chi2 %.3f, unexplained %.3f", item.label, role, residual.chi2, residual.unexplained)
    return Reconstruction(to_numpy(displayed(problem.operator, image)).astype(np.complex64), role, item, made)


def provenance(item: KSpaceSlice, context: Context) -> dict[str, str]:
    """What all images of a slice say about themselves."""
    noise = item.noise
    made = {
        "version": __version__,
        "seed": str(context.seed),
        "acceleration": f"{acceleration(item.counts):.3g}",
        "device": context.device,
    }
    if item.maps_from:
        made["coil_maps"] = item.maps_from
    if item.coil_maps is not None and item.coil_maps.ndim > 4:
        made["map_sets"] = str(item.coil_maps.shape[0])
    if noise is not None:
        made["noise_source"] = noise.source
        made["sigma_header"] = "none" if noise.sigma_header is None else f"{noise.sigma_header:.4g}"
        made["sigma_measured"] = f"{noise.sigma_measured:.4g}"
        made["sigma_used"] = f"{noise.sigma_used:.4g}"
        if noise.measurement_id:
            made["noise_measurement"] = noise.measurement_id
        if noise.bandwidth_ratio:
            made["noise_dwell_us"] = f"{noise.dwell_us:.6g}"
            made["noise_bandwidth_ratio"] = f"{noise.bandwidth_ratio:.4g}"
    return made


def slice_identity(item: KSpaceSlice) -> tuple[int, ...]:
    """Numbers that tell the images of a scan apart, so that each has its own noise whatever the order of arrival."""
    idx = item.head.idx
    names = ("slice", "contrast", "phase", "set", "repetition", "average")
    return (int(item.head.encoding_space_ref), *(int(getattr(idx, name)) for name in names))
