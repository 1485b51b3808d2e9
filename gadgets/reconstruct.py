"""Slices become images: that of the target, and the conventional one beside it or in its place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nilatron import __version__
from nilatron.core.backend import Array, namespace, to_numpy
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.errors import BadInputError
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.sense import SenseOperator, chi_squared
from nilatron.gadgets.accumulate import acceleration
from nilatron.gadgets.budget import BudgetSettings, budget_from_now, n_slices_of
from nilatron.gadgets.device import to_device
from nilatron.gadgets.items import Context, KSpaceSlice, Reconstruction
from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.problem import Outcome, Problem

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


SUSPICIOUS_CHI2 = 1.5


@dataclass(frozen=True)
class Reconstructor:
    """The gadget: a target with its settings, and what runs it: `methods`, by target."""

    target: str
    settings: Any
    weights: Path = DEFAULT_WEIGHTS
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)

    @property
    def series(self) -> tuple[str, ...]:
        """Roles that each slice is to deliver; the target's own image is "nila" in settings and "main" in the output."""
        return tuple(getattr(self.settings, "series", ("nila",)))

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Slices with coil maps in, reconstructions out; everything else passes."""
        for item in items:
            if isinstance(item, KSpaceSlice):
                yield from self.reconstruct(item, context)
            else:
                yield item

    def reconstruct(self, item: KSpaceSlice, context: Context) -> Iterator[Reconstruction]:
        """All series of one slice, in their order.

        A conventional image that stands first leaves before the target's own is begun. If the target fails or no time is
        left for it, the conventional image takes its place and says why: in the conventional series, or, if it has left
        already, once more in the target's.
        """
        arrived_s = context.timing.last_arrival_s()
        context.log.counts["images expected"] += len(self.series)
        n_before = context.log.counts["images expected"] // len(self.series) - 1
        problem, conventional, reason = self._begin(item, context)
        waiting = list(self.series)
        if waiting[0] == "conventional":
            yield self._timed(conventional, context, arrived_s)
            del waiting[0]
        images = {"conventional": conventional}
        try:
            if reason:
                raise RuntimeError(reason)
            if waiting:
                images |= self._images(item, problem, context, self._settings(context, arrived_s, n_before))
        except BadInputError:
            raise
        except FAILURES as error:
            reason = f"{self.target} failed ({type(error).__name__}: {error})"
            context.log.problem(log, f"{item.label}: {reason}; the conventional image replaces it")
            context.log.counts["fall-backs"] += 1
            made = {**conventional.provenance, "fallback": reason}
            copy = replace(conventional, provenance=made)
            if "conventional" in self.series and "conventional" not in waiting:
                copy = replace(copy, role="main", provenance=made | {"target": "cg_sense"})
            yield self._timed(copy, context, arrived_s)
            return
        for role in waiting:
            if role in images:
                yield self._timed(images[role], context, arrived_s)
            else:
                why = images["nila"].provenance.get("shortened", "not made")
                context.log.problem(log, f"{item.label}: no {role} image: {why}")

    def _settings(self, context: Context, arrived_s: float, n_before: int) -> Any:
        """Settings of the method, their budgets counted from now."""
        if not isinstance(self.settings, BudgetSettings):
            return self.settings
        n_left = n_slices_of(context.header) - n_before if self.settings.scan_budget_s else 1
        return budget_from_now(self.settings, context.timing, arrived_s, n_left)

    def _timed(self, image: Reconstruction, context: Context, arrived_s: float) -> Reconstruction:
        """The image, with the time that it took since the slice was complete if there is a budget for that."""
        seconds = context.timing.clock() - arrived_s
        log.info("%s: %s image after %.2f s", image.source.label, image.role, seconds)
        if not isinstance(self.settings, BudgetSettings) or not self.settings.limited:
            return image  # the same input gives the same bytes
        made = {
            "seconds": f"{seconds:.3f}",
            "slice_budget_s": f"{self.settings.slice_budget_s:g}",
            "scan_budget_s": f"{self.settings.scan_budget_s:g}",
        }
        return replace(image, provenance=image.provenance | made)

    def _begin(self, item: KSpaceSlice, context: Context) -> tuple[Problem, Reconstruction, str]:
        """The slice on its device and its conventional image; on the CPU, with the reason, if that cannot be had there."""
        try:
            return *self._begin_on(context.device, item, context), ""
        except FAILURES as error:
            if context.device == "cpu":
                raise
            return *self._begin_on("cpu", item, context), f"on {context.device}: {error}"

    def _begin_on(self, device: str, item: KSpaceSlice, context: Context) -> tuple[Problem, Reconstruction]:
        kspace, counts, maps = (to_device(a, device) for a in (item.kspace, item.counts, item.coil_maps))
        operator = SenseOperator(maps, counts)
        data = operator.data(kspace)
        generator = np.random.default_rng(np.random.SeedSequence([context.seed, *slice_identity(item)]))
        start = cg_sense(operator, data)
        problem = Problem(operator, data, start, generator, device, self.weights, context.timing.clock)
        made = self._provenance(item, context) | {"sampler": "CG-SENSE", "device": device}
        return problem, self._finish(item, problem, "conventional", start, made)

    def _images(
        self, item: KSpaceSlice, problem: Problem, context: Context, settings: Any
    ) -> dict[str, Reconstruction]:
        """The target's own images by their names in the settings."""
        outcome = self._run(problem, settings)
        made = self._provenance(item, context) | outcome.provenance
        images = {}
        for role in set(outcome.images) - {"conventional"}:
            image = outcome.images[role]
            if not bool(namespace(image).all(namespace(image).isfinite(abs(image)))):
                raise FloatingPointError(f"the {role} image holds values that are not finite")
            images[role] = self._finish(item, problem, "main" if role == "nila" else role, image, made)
        return images

    def _run(self, problem: Problem, settings: Any) -> Outcome:
        if not np.any(to_numpy(abs(problem.conventional).max())):
            return Outcome(dict.fromkeys(self.series, 0 * problem.conventional), {"sampler": "none: no signal"})
        return self.methods[self.target].run(problem, settings)

    def _finish(
        self, item: KSpaceSlice, problem: Problem, role: str, image: Array, provenance: dict[str, str]
    ) -> Reconstruction:
        if role != "uncertainty":
            chi2 = chi_squared(problem.operator, problem.data, image)
            provenance = provenance | {"chi2": f"{chi2:.4g}"}
            if chi2 > SUSPICIOUS_CHI2:
                warning = f"chi2 is {chi2:.3g} instead of about 1: coil maps and data do not agree, look for ghosts"
                provenance["warning"] = warning
                log.warning("%s: %s image: %s", item.label, role, warning)
            log.info("%s: %s image, chi2 %.3f", item.label, role, chi2)
        pixels = to_numpy(image).astype(np.complex64)
        return Reconstruction(pixels, role, item, provenance | {"target": self.target})

    def _provenance(self, item: KSpaceSlice, context: Context) -> dict[str, str]:
        noise = item.noise
        made = {
            "version": __version__,
            "seed": str(context.seed),
            "acceleration": f"{acceleration(item.counts):.3g}",
            "device": context.device,
        }
        if noise is not None:
            made["noise_source"] = noise.source
            made["sigma_header"] = "none" if noise.sigma_header is None else f"{noise.sigma_header:.4g}"
            made["sigma_measured"] = f"{noise.sigma_measured:.4g}"
            made["sigma_used"] = f"{noise.sigma_used:.4g}"
        return made


def slice_identity(item: KSpaceSlice) -> tuple[int, ...]:
    """Numbers that tell the images of a scan apart, so that each has its own noise whatever the order of arrival."""
    idx = item.head.idx
    names = ("slice", "contrast", "phase", "set", "repetition", "average")
    return (int(item.head.encoding_space_ref), *(int(getattr(idx, name)) for name in names))
