from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.prior.neighbours.head import NeighbourHead
from nilatron.core.prior.neighbours.planes import Neighbour
from nilatron.core.prior.neighbours.weights import NeighbourPrior
from nilatron.gadgets.nila import method
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.neighbours import informed_of, said_of_neighbours
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.settings import NilaNodeSettings

SETTINGS = NilaNodeSettings(series=("nila",))


@pytest.fixture
def ready(problem):
    head = NeighbourPrior(NeighbourHead().eval().requires_grad_(False), {}, "the head", "")
    return replace(prior_for(problem(1).weights, "cpu", SETTINGS.engine_settings), neighbours=head)


def beside(one):
    return replace(one, neighbours=(Neighbour(np.abs(one.conventional[0]).astype(np.float32), 3.0),))


def test_a_slice_is_told_of_neighbours_that_are_there_and_by_a_head_that_is_there(problem, ready):
    one = beside(problem(1))
    assert informed_of(one, ready).planes.shape[-2:] == one.conventional.shape[-2:]
    assert informed_of(problem(1), ready) is None
    assert informed_of(one, replace(ready, neighbours=None)) is None
    assert informed_of(replace(one, conventional=np.concatenate([one.conventional] * 2)), ready) is None


def test_the_image_says_what_came_of_it(problem, ready):
    informed = informed_of(beside(problem(1)), ready)
    assert said_of_neighbours(informed, ready, changed=True) == {
        "neighbours_used": "yes", "neighbours_sha256": "the head",
    }  # fmt: skip
    assert said_of_neighbours(None, ready, changed=False)["neighbours_used"].startswith("no: no head")


@pytest.mark.parametrize(("sigma_min", "said"), [(0.03, "yes"), (0.2, "no: the sampler ends at another noise level")])
def test_the_head_is_asked_after_a_last_step_as_it_was_trained_on(problem, ready, monkeypatch, sigma_min, said):
    monkeypatch.setattr(method, "informed_prior_for", lambda *_: ready)
    found = run_nila(beside(problem(1)), replace(SETTINGS, sigma_min=sigma_min, detail=0.0))
    assert found.provenance["neighbours_used"].startswith(said)
