"""Slices become images: that of the target, and the conventional one beside it or in its place."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nilatron.core.backend import namespace
from nilatron.core.errors import BadInputError
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.budget import BudgetSettings, budget_from_now, n_slices_of
from nilatron.gadgets.conventional import FAILURES, Begun, begin, finished, provenance
from nilatron.gadgets.items import Context, KSpaceSlice, Reconstruction
from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.problem import Outcome, Together

log = logging.getLogger(__name__)


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

    @property
    def n_together(self) -> int:
        """Slices that wait for each other: one where the target takes one at a time, or where waiting costs its budget."""
        if not isinstance(self.methods[self.target].run, Together) or getattr(self.settings, "slice_budget_s", 0.0) > 0:
            return 1
        return int(getattr(self.settings, "batch_slices", 1))

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Slices with coil maps in, reconstructions out; everything else passes.

        A conventional image that stands first leaves before the target's own is begun. The others leave when `n_together`
        slices of the same size are there, or anything else comes: a slice of another size, another item, the end, an error.
        """
        waiting: list[Begun] = []
        try:
            for item in items:
                if not isinstance(item, KSpaceSlice):
                    yield from self._release(waiting, context)
                    yield item
                    continue
                context.log.counts["images expected"] += len(self.series)
                n_before = context.log.counts["images expected"] // len(self.series) - 1
                begun = begin(item, context, self.target, self.weights, n_before)
                if self.series[0] == "conventional":
                    yield self._timed(begun.conventional, context, begun.arrived_s)
                if waiting and waiting[0].likeness != begun.likeness:
                    yield from self._release(waiting, context)
                waiting.append(begun)
                if len(waiting) >= self.n_together:
                    yield from self._release(waiting, context)
        except Exception:
            yield from self._release(waiting, context)  # slices before the error have their images all the same
            raise
        yield from self._release(waiting, context)

    def reconstruct(self, item: KSpaceSlice, context: Context) -> Iterator[Reconstruction]:
        """All series of one slice, in their order."""
        return self([item], context)

    def _release(self, waiting: list[Begun], context: Context) -> Iterator[Reconstruction]:
        """What is left to be sent of the slices that waited; nobody waits afterwards."""
        batch = list(waiting)
        waiting.clear()
        for begun, outcome in zip(batch, self._together(batch, context), strict=True):
            yield from self._rest(begun, outcome, context)

    def _together(self, batch: Sequence[Begun], context: Context) -> list[Outcome | None]:
        """What comes of the slices at once; None for those that have to be done alone, all of them if the batch fails."""
        able = [begun for begun in batch if begun.has_signal and not begun.failure]
        run = self.methods[self.target].run
        if len(able) < 2 or not isinstance(run, Together) or self.series == ("conventional",):
            return [None] * len(batch)
        # copies: a slice that is done alone after all has the noise that it always has
        problems = [replace(begun.problem, generator=copy.deepcopy(begun.problem.generator)) for begun in able]
        try:
            outcomes = run.together(problems, self._settings(able, context))
        except BadInputError:
            raise
        except FAILURES as error:
            log.warning("%d slices at once failed (%s: %s); one by one", len(able), type(error).__name__, error)
            context.log.counts["batches done slice by slice"] += 1
            return [None] * len(batch)
        found = dict(zip(map(id, able), outcomes, strict=True))
        return [found.get(id(begun)) for begun in batch]

    def _rest(self, begun: Begun, outcome: Outcome | None, context: Context) -> Iterator[Reconstruction]:
        """All series of a slice but a conventional image that has left.

        If the target fails or no time is left for it, the conventional image takes its place and says why: in the
        conventional series, or, if it has left already, once more in the target's.
        """
        waiting = [role for place, role in enumerate(self.series) if place or role != "conventional"]
        images = {"conventional": begun.conventional}
        try:
            if begun.failure:
                raise RuntimeError(begun.failure)
            if waiting:
                images |= self._images(begun, outcome or self._alone(begun, context), context)
        except BadInputError:
            raise
        except FAILURES as error:
            yield self._replacement(begun, error, "conventional" in waiting, context)
            return
        for role in waiting:
            if role in images:
                yield self._timed(images[role], context, begun.arrived_s)
            else:
                why = images["nila"].provenance.get("shortened", "not made")
                context.log.problem(log, f"{begun.item.label}: no {role} image: {why}")

    def _replacement(self, begun: Begun, error: Exception, waits: bool, context: Context) -> Reconstruction:
        reason = f"{self.target} failed ({type(error).__name__}: {error})"
        context.log.problem(log, f"{begun.item.label}: {reason}; the conventional image replaces it")
        context.log.counts["fall-backs"] += 1
        made = {**begun.conventional.provenance, "fallback": reason}
        image = replace(begun.conventional, provenance=made)
        if "conventional" in self.series and not waits:
            image = replace(image, role="main", provenance=made | {"target": "cg_sense"})
        return self._timed(image, context, begun.arrived_s)

    def _alone(self, begun: Begun, context: Context) -> Outcome:
        settings = self._settings([begun], context)
        if not begun.has_signal:
            return Outcome(dict.fromkeys(self.series, 0 * begun.problem.conventional), {"sampler": "none: no signal"})
        return self.methods[self.target].run(begun.problem, settings)

    def _images(self, begun: Begun, outcome: Outcome, context: Context) -> dict[str, Reconstruction]:
        """The target's own images by their names in the settings."""
        made = provenance(begun.item, context) | outcome.provenance | {"target": self.target}
        images = {}
        for role in set(outcome.images) - {"conventional"}:
            image = outcome.images[role]
            if not bool(namespace(image).all(namespace(image).isfinite(abs(image)))):
                raise FloatingPointError(f"the {role} image holds values that are not finite")
            images[role] = finished(begun.item, begun.problem, "main" if role == "nila" else role, image, made)
        return images

    def _settings(self, batch: Sequence[Begun], context: Context) -> Any:
        """Settings of the method, their budgets counted from now."""
        if not isinstance(self.settings, BudgetSettings):
            return self.settings
        first = batch[0]
        n_left = n_slices_of(context.header) - first.n_before if self.settings.scan_budget_s else 1
        return budget_from_now(self.settings, context.timing, first.arrived_s, n_left, len(batch))

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
