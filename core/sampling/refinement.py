"""Coil maps that are corrected once in a run of the sampler, by the prior's estimate at a level at which it knows the object.

Earlier estimates take for anatomy what wrong maps fold, and later ones leave no steps in which the image could follow. Lines of
one grid alone cannot tell an alias from another: errors of the image look like maps there. Then the estimate has to be better,
and the correction must explain much more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from nilatron.core.backend import Array
from nilatron.core.coils.refined import Refinement, RefinementSettings, refined_maps
from nilatron.core.quality.ambiguity import ambiguity
from nilatron.core.sense import SenseOperator

AMBIGUOUS = 0.75  # side lobe of the central lines, above which aliases are not told apart
HIGHEST_LEVEL, HIGHEST_IF_AMBIGUOUS = 0.22, 0.15  # image scale 1
FALL_IF_AMBIGUOUS = 0.12  # maps in place reach 0.09, those of a head that turned by 2 or 3 degrees 0.02 to 0.17


@dataclass(eq=False)
class MapRefinement:
    """A `Renewal` for one run of one slice of one partition.

    Attributes
    ----------
    operator, data
        Its measurement, and the data (coil, 1, y, x).
    found
        What came of it; None before.
    renewed
        The measurement with the corrected maps; None where they are kept.
    """

    operator: SenseOperator
    data: Array
    found: Refinement | None = None
    renewed: SenseOperator | None = None

    @cached_property
    def is_ambiguous(self) -> bool:
        """Whether the lines are those of one grid alone."""
        return ambiguity(self.operator.counts) > AMBIGUOUS

    def __call__(self, level: float, estimate: Array) -> SenseOperator | None:
        """The measurement with the corrected maps, once, at the first level that is low enough."""
        if self.found is not None or level > (HIGHEST_IF_AMBIGUOUS if self.is_ambiguous else HIGHEST_LEVEL):
            return None
        settings = RefinementSettings(fall=FALL_IF_AMBIGUOUS) if self.is_ambiguous else RefinementSettings()
        self.found = refined_maps(self.operator, self.data, estimate[0], settings)
        if self.found.maps is None:
            return None
        self.renewed = SenseOperator(self.found.maps, self.operator.counts)
        return self.renewed
