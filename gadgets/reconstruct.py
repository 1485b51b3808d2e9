"""Slices become images: that of the target, and the conventional one beside it or in its place."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from nilatron.gadgets.items import Context, KSpaceSlice, Reconstruction
from nilatron.gadgets.methods import METHODS, Outcome, Problem, to_device

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconstructor:
    """The gadget: a target with its settings."""

    target: str
    settings: Any
    weights: Path = DEFAULT_WEIGHTS

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
        """All series of one slice, in their order. If the target fails, the conventional image goes out with the reason."""
        started = time.perf_counter()
        context.log.counts["images expected"] += len(self.series)
        problem = self._problem(item, context)
        common = self._provenance(item, context)
        roles, conventional = self.series, common | {"sampler": "CG-SENSE"}
        try:
            outcome = self._run(problem)
        except BadInputError:
            raise
        except (RuntimeError, MemoryError, ArithmeticError, ValueError) as error:
            reason = f"{self.target} failed ({type(error).__name__}: {error})"
            context.log.problem(log, f"{item.label}: {reason}; the conventional image replaces it")
            context.log.counts["fall-backs"] += 1
            roles, outcome = ("conventional",), Outcome({})
            conventional = conventional | {"fallback": reason}
        for role in roles:
            if role == "conventional":
                yield self._finish(item, problem, role, problem.conventional, conventional)
            else:
                made = common | outcome.provenance
                yield self._finish(item, problem, "main" if role == "nila" else role, outcome.images[role], made)
        log.info("%s: %s in %.2f s", item.label, self.target, time.perf_counter() - started)

    def _problem(self, item: KSpaceSlice, context: Context) -> Problem:
        kspace, counts, maps = (to_device(a, context.device) for a in (item.kspace, item.counts, item.coil_maps))
        operator = SenseOperator(maps, counts)
        data = operator.data(kspace)
        seed = np.random.SeedSequence([context.seed, *slice_identity(item)])
        return Problem(
            operator, data, cg_sense(operator, data), np.random.default_rng(seed), context.device, self.weights
        )

    def _run(self, problem: Problem) -> Outcome:
        if not np.any(to_numpy(abs(problem.conventional).max())):
            return Outcome(dict.fromkeys(self.series, 0 * problem.conventional), {"sampler": "none: no signal"})
        outcome = METHODS[self.target].run(problem, self.settings)
        for role, image in outcome.images.items():
            if not bool(namespace(image).all(namespace(image).isfinite(abs(image)))):
                raise FloatingPointError(f"the {role} image holds values that are not finite")
        return outcome

    def _finish(
        self, item: KSpaceSlice, problem: Problem, role: str, image: Array, provenance: dict[str, str]
    ) -> Reconstruction:
        if role != "uncertainty":
            chi2 = chi_squared(problem.operator, problem.data, image)
            provenance = provenance | {"chi2": f"{chi2:.4g}"}
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
