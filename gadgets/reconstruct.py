"""Slices become images: that of the target, and the conventional one beside it or in its place."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nilatron.core.backend import namespace
from nilatron.core.errors import BadInputError
from nilatron.core.prior.neighbours.planes import Neighbour
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.conventional import FAILURES, PreparedSlice, finished, prepare_slice, provenance
from nilatron.gadgets.device import to_device
from nilatron.gadgets.doubt import DoubtfulError, DoubtSettings
from nilatron.gadgets.items import Context, KSpaceSlice, Reconstruction
from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.nila.budget import BudgetSettings, budget_from_now, n_slices_of
from nilatron.gadgets.nila.memory import SliceMemory, described
from nilatron.gadgets.nila.refined import is_to_be_refined
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reconstructor:
    """The gadget: a target with its settings, what runs it: `methods`, by target, and what becomes of doubtful images."""

    target: str
    settings: Any
    weights: Path = DEFAULT_WEIGHTS
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)
    doubt: DoubtSettings = field(default_factory=DoubtSettings)

    @property
    def series(self) -> tuple[str, ...]:
        """Roles of the images that each slice is to deliver; the settings call the main one "nila"."""
        return tuple("main" if name == "nila" else name for name in getattr(self.settings, "series", ("nila",)))

    @property
    def batch_size(self) -> int:
        """Slices that wait for each other: one where the target takes one at a time, or where waiting costs its budget."""
        if self.methods[self.target].run_batch is None or getattr(self.settings, "slice_budget_s", 0.0) > 0:
            return 1
        if getattr(self.settings, "neighbours", "off") != "off":
            return 1
        return int(getattr(self.settings, "batch_slices", 1))

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Slices with coil maps in, reconstructions out; everything else passes.

        A conventional image that stands first leaves before the target's own is prepared. The others leave when `batch_size`
        slices of the same size are there, or anything else comes: a slice of another size, another item, the end, an error. A
        slice whose coil maps are refined waits for nobody.
        """
        waiting: list[PreparedSlice] = []
        memory = self._memory(context)
        n_before = 0
        context.progress.steps_per_slice = getattr(self.settings, "evaluations", 1)
        try:
            for item in items:
                if not isinstance(item, KSpaceSlice):
                    yield from self._release(waiting, memory, context)
                    yield item
                    continue
                context.log.counts["images expected"] += len(self.series)
                prepared = prepare_slice(item, context, self.target, self.weights, n_before)
                n_before += 1
                if self.series[0] == "conventional":
                    yield self._timed(prepared.conventional, context, prepared.arrived_s)
                alone = memory.mode == "off" and self._stands_alone(prepared)
                other = waiting and (alone or waiting[0].batch_key != prepared.batch_key)
                if other or (waiting and memory.separates(waiting[0].item, item)):
                    yield from self._release(waiting, memory, context)
                waiting.append(prepared)
                if alone:
                    yield from self._release(waiting, memory, context)
                yield from self._release_ready(waiting, memory, context)
        except Exception:
            yield from self._release(waiting, memory, context)  # slices before the error have their images all the same
            raise
        yield from self._release(waiting, memory, context)

    def _stands_alone(self, prepared: PreparedSlice) -> bool:
        """Whether the slice is a run of its own in any case."""
        return isinstance(self.settings, NilaNodeSettings) and is_to_be_refined(prepared.problem, self.settings)

    def reconstruct(self, item: KSpaceSlice, context: Context) -> Iterator[Reconstruction]:
        """All series of one slice, in their order."""
        return self([item], context)

    def _memory(self, context: Context) -> SliceMemory:
        """The memory of the scan; slices that have a budget of their own do not wait for each other."""
        mode = getattr(self.settings, "neighbours", "off")
        if mode == "off" and context.earlier:
            raise BadInputError(
                "images of an earlier scan are of no use here: set neighbours to past or both (target nila)"
            )
        if mode == "both" and self.settings.slice_budget_s > 0:
            log.info("slice_budget_s leaves no time to wait: a slice is told of those that are there (neighbours past)")
            mode = "past"
        return SliceMemory(mode, context.header, context.earlier)

    def _release_ready(
        self, waiting: list[PreparedSlice], memory: SliceMemory, context: Context
    ) -> Iterator[Reconstruction]:
        """What is left to be sent of a full batch, or of the slices whose neighbours are there."""
        if memory.mode == "off":
            if len(waiting) >= self.batch_size:
                yield from self._release(waiting, memory, context)
            return
        while ready := [prepared for prepared in waiting if memory.is_ready(prepared.item)]:
            waiting.remove(ready[0])
            yield from self._release([ready[0]], memory, context)

    def _release(self, waiting: list[PreparedSlice], memory: SliceMemory, context: Context) -> Iterator[Reconstruction]:
        """What is left to be sent of the slices that waited; nobody waits afterwards."""
        batch = [self._informed(prepared, memory) for prepared in waiting]
        waiting.clear()
        size = self.batch_size if memory.mode != "off" else max(1, len(batch))
        for first in range(0, len(batch), size):
            part = batch[first : first + size]
            for prepared, outcome in zip(part, self._run_batch(part, context), strict=True):
                yield from self._rest(prepared, outcome, memory, context)
                context.progress.slice_done()

    @staticmethod
    def _informed(prepared: PreparedSlice, memory: SliceMemory) -> PreparedSlice:
        """The slice with those that the memory has beside it."""
        if memory.mode == "off":
            return prepared
        found, problem = memory.neighbours(prepared.item), prepared.problem
        if not memory.strangeness_told and memory.is_strange(prepared.item):
            memory.strangeness_told = True
            log.warning(
                "%s: no image of the earlier scan has its matrix, orientation and contrast", prepared.item.label
            )
        told = []
        for one in found:
            factor = np.float32(1.0 if one.image.scale is None else problem.scale / one.image.scale)
            told.append(Neighbour(to_device(factor * one.image.magnitude, problem.device), abs(one.distance_mm)))
        problem = replace(problem, neighbours=tuple(told))
        return replace(prepared, problem=problem, neighbours=described(found))

    def _run_batch(self, batch: Sequence[PreparedSlice], context: Context) -> list[Outcome | None]:
        """What comes of the slices at once; None for those that have to be done alone, all of them if the batch fails."""
        able = [prepared for prepared in batch if prepared.has_signal and not prepared.failure]
        run_batch = self.methods[self.target].run_batch
        if len(able) < 2 or run_batch is None or self.series == ("conventional",):
            return [None] * len(batch)
        # copies: a slice that is done alone after all has the noise that it always has
        problems = [replace(prepared.problem, generator=copy.deepcopy(prepared.problem.generator)) for prepared in able]
        try:
            outcomes = run_batch(problems, self._settings(able, context))
        except BadInputError:
            raise
        except FAILURES as error:
            log.warning("%d slices at once failed (%s: %s); one by one", len(able), type(error).__name__, error)
            context.log.counts["batches done slice by slice"] += 1
            return [None] * len(batch)
        found = dict(zip(map(id, able), outcomes, strict=True))
        return [found.get(id(prepared)) for prepared in batch]

    def _rest(
        self, prepared: PreparedSlice, outcome: Outcome | None, memory: SliceMemory, context: Context
    ) -> Iterator[Reconstruction]:
        """All series of a slice but a conventional image that has left.

        If the target fails or no time is left for it, the conventional image takes its place and says why: in the
        conventional series, or, if it has left already, once more in the target's.
        """
        waiting = [role for place, role in enumerate(self.series) if place or role != "conventional"]
        images = {"conventional": prepared.conventional}
        try:
            if prepared.failure:
                raise RuntimeError(prepared.failure)
            if waiting:
                images |= self._images(prepared, outcome or self._alone(prepared, context), context)
        except BadInputError:
            raise
        except FAILURES as error:
            memory.finish(prepared.item, None)
            yield self._replacement(prepared, error, "conventional" in waiting, context)
            return
        main = images.get("main")
        memory.finish(prepared.item, None if main is None or "doubt" in main.provenance else main.image)
        for role in waiting:
            if role in images:
                yield self._timed(images[role], context, prepared.arrived_s)
            else:
                why = images["main"].provenance.get("shortened", "not made")
                context.log.problem(log, f"{prepared.item.label}: no {role} image: {why}")

    def _replacement(self, prepared: PreparedSlice, error: Exception, waits: bool, context: Context) -> Reconstruction:
        reason = f"{self.target} failed ({type(error).__name__}: {error})"
        if isinstance(error, DoubtfulError):
            reason = f"{self.target} image withheld, it is doubtful: {error}"
        context.log.problem(log, f"{prepared.item.label}: {reason}; the conventional image replaces it")
        context.log.counts["fall-backs"] += 1
        made = {**prepared.conventional.provenance, "fallback": reason}
        image = replace(prepared.conventional, provenance=made)
        if "conventional" in self.series and not waits:
            image = replace(image, role="main", provenance=made | {"target": "cg_sense"})
        return self._timed(image, context, prepared.arrived_s)

    def _alone(self, prepared: PreparedSlice, context: Context) -> Outcome:
        settings = self._settings([prepared], context)
        if not prepared.has_signal:
            return Outcome(
                dict.fromkeys(self.series, 0 * prepared.problem.conventional), {"sampler": "none: no signal"}
            )
        return self.methods[self.target].run(prepared.problem, settings)

    def _images(self, prepared: PreparedSlice, outcome: Outcome, context: Context) -> dict[str, Reconstruction]:
        """The target's own images by role."""
        made = provenance(prepared.item, context) | outcome.provenance | {"target": self.target}
        if prepared.neighbours:
            made["neighbours"] = prepared.neighbours
        problem = prepared.problem
        if outcome.operator is not None:
            problem = replace(problem, operator=outcome.operator)
        images = {}
        for role in set(outcome.images) - {"conventional"}:
            image = outcome.images[role]
            if not bool(namespace(image).all(namespace(image).isfinite(abs(image)))):
                raise FloatingPointError(f"the {role} image holds values that are not finite")
            images[role] = finished(prepared.item, problem, role, image, made)
        doubt = images["main"].provenance.get("doubt")
        if doubt and self.doubt.doubtful == "refuse" and self.target != "cg_sense":  # that is the conventional image
            raise DoubtfulError(doubt)
        return images

    def _settings(self, batch: Sequence[PreparedSlice], context: Context) -> Any:
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
