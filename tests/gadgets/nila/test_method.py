import numpy as np
import pytest

from nilatron.gadgets.nila.budget import OutOfTimeError
from nilatron.gadgets.nila.method import run_nila, run_nila_batch, run_published
from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings


def test_a_slice_alone_is_a_batch_of_one(problem):
    settings = NilaNodeSettings(steps=2, precision="fp32")
    alone, (batch,) = run_nila(problem(1), settings), run_nila_batch([problem(1)], settings)
    assert alone.images["main"].tobytes() == batch.images["main"].tobytes()
    assert alone.provenance == batch.provenance


def test_the_published_sampler_comes_nearer_to_the_data_than_its_start(problem):
    one = problem(2)
    outcome = run_published(one, PublishedNodeSettings(steps=20, precision="fp32"))

    def residual(image):
        return np.linalg.norm(one.operator.forward(image) - one.data)

    assert residual(outcome.images["main"]) < 0.2 * residual(0 * one.conventional)
    assert outcome.provenance["sampler"] == "nila_published"
    assert outcome.provenance["steps"] == "20"


def test_a_budget_that_is_over_ends_the_published_sampler(problem):
    with pytest.raises(OutOfTimeError):
        run_published(problem(1), PublishedNodeSettings(steps=20, precision="fp32", scan_budget_s=1e-6))
