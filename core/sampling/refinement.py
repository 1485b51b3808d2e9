"""Coil maps that are corrected once in a run of the sampler, by the prior's estimate at a level at which it knows the object.

Earlier estimates take what wrong maps fold for anatomy, and later ones leave no steps in which the image could follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nilatron.core.backend import Array
from nilatron.core.coils.refined import Refinement, RefinementSettings, refined_maps
from nilatron.core.sense import SenseOperator

HIGHEST_LEVEL = 0.15  # image scale 1


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
    settings: RefinementSettings = field(default_factory=RefinementSettings)
    found: Refinement | None = None
    renewed: SenseOperator | None = None

    def __call__(self, level: float, estimate: Array) -> SenseOperator | None:
        """The measurement with the corrected maps, once, at the first level that is low enough."""
        if self.found is not None or level > HIGHEST_LEVEL:
            return None
        self.found = refined_maps(self.operator, self.data, estimate[0], self.settings)
        if self.found.maps is None:
            return None
        self.renewed = SenseOperator(self.found.maps, self.operator.counts)
        return self.renewed
