"""Which slices have their coil maps corrected by their image, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.sampling.refinement import MapRefinement
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem


def is_to_be_refined(problem: Problem, settings: NilaNodeSettings) -> bool:
    """Whether the maps of a slice are corrected, or it is told why they are not."""
    return settings.refine_maps == "on" or (settings.refine_maps == "auto" and problem.thin_maps)


def refinement_of(problem: Problem, settings: NilaNodeSettings) -> MapRefinement | None:
    """What corrects the maps; None where they stay as they are."""
    operator = problem.operator
    if not is_to_be_refined(problem, settings) or not isinstance(operator, SenseOperator):
        return None
    n_coils, n_z = operator.coil_maps.shape[:2]
    return MapRefinement(operator, problem.data) if n_coils > 1 and n_z == 1 else None


def said_of_maps(problem: Problem, settings: NilaNodeSettings, refinement: MapRefinement | None) -> dict[str, str]:
    """What the image says of its maps; nothing where nobody asked."""
    if not is_to_be_refined(problem, settings):
        return {}
    if refinement is None:
        return {"maps_refined": "no: several partitions or map sets, or one coil"}
    found = refinement.found
    if found is None:
        return {"maps_refined": "no: the sampler made no step that is fine enough"}
    change = f"{found.before:.4g} to {found.after:.4g}"
    why = f"residual of the low frequencies {change}, logarithm of the evidence {found.gain:+.3g}"
    return {"maps_refined": f"{'no' if found.maps is None else 'yes'}: {why}"}


def measured_by(problem: Problem, outcome: Outcome) -> Problem:
    """The slice with the measurement of its outcome, and the warm start that belongs to it."""
    if outcome.operator is None:
        return problem
    return replace(problem, operator=outcome.operator, conventional=cg_sense(outcome.operator, problem.data))
