"""What a slice is told of its neighbours, and what its image says of them."""

from __future__ import annotations

from nilatron.core.prior.neighbours.correction import InformedByNeighbours
from nilatron.core.prior.neighbours.planes import neighbour_planes
from nilatron.gadgets.nila.prior import ReadyPrior
from nilatron.gadgets.problem import Problem


def informed_of(problem: Problem, prior: ReadyPrior) -> InformedByNeighbours | None:
    """What corrects the image; None where there are no neighbours, or the weights have no head for them."""
    head = prior.neighbours
    if head is None or int(problem.conventional.shape[0]) > 1 or not problem.neighbours:
        return None
    noise, share = problem.noise_level / problem.scale, problem.acquired_share
    planes = neighbour_planes(problem.neighbours, problem.scale, noise, share)
    return InformedByNeighbours(head.head, planes[None], prior.device)


def said_of_neighbours(informed: InformedByNeighbours | None, prior: ReadyPrior, *, changed: bool) -> dict[str, str]:
    """What the image of a slice with neighbours says of them; `changed` is whether the head was asked."""
    if informed is None or prior.neighbours is None:
        return {
            "neighbours_used": "no: no head lies beside the weights, or the slice has several partitions or map sets"
        }
    if not changed:
        return {"neighbours_used": "no: the sampler ends at another noise level than the head was trained at"}
    return {"neighbours_used": "yes", "neighbours_sha256": prior.neighbours.sha256}
