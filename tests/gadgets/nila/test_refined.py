from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sense import SenseOperator
from nilatron.core.sets import SetsOperator
from nilatron.gadgets.nila import prior as nila_prior
from nilatron.gadgets.nila.method import run_nila, run_nila_batch
from nilatron.gadgets.nila.refined import measured_by, said_of_maps
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem

SETTINGS = NilaNodeSettings(series=("nila",), precision="fp32")
SHAPE = (1, 64, 48)


@pytest.fixture
def thin():
    """Makes a slice whose maps are smoothly wrong, by its seed."""

    def make(seed=0):
        rng = np.random.default_rng(seed)
        truth = coil_maps(4, SHAPE)
        truth = (truth / np.sqrt(np.sum(np.abs(truth) ** 2, axis=0))).astype(np.complex64)
        ripple = np.cos(2 * np.pi * np.arange(48) / 48) * np.array([1, -1, 1j, 1])[:, None, None, None]
        wrong = truth + 0.2 * ripple
        wrong = (wrong / np.sqrt(np.sum(np.abs(wrong) ** 2, axis=0))).astype(np.complex64)
        counts = np.zeros(SHAPE, np.float32)
        counts[:, ::2] = counts[:, 28:36] = 1
        clean = SenseOperator(truth, counts).forward((50 * phantom(SHAPE)).astype(np.complex64))
        data = clean + counts * complex_normal(rng, clean.shape, clean)
        operator = SenseOperator(wrong, counts)
        weights = shipped_weights("tiny")
        return Problem(operator, data, cg_sense(operator, data), rng, "cpu", weights, thin_maps=True)

    return make


def test_thin_maps_are_corrected_and_the_image_says_so(thin):
    before = run_nila(thin(), replace(SETTINGS, refine_maps="off"))
    after = run_nila(thin(), SETTINGS)
    assert after.provenance["maps_refined"].startswith("yes: residual of the low frequencies")
    assert after.operator is not None
    truth = 50 * np.abs(phantom(SHAPE))
    errors = [np.linalg.norm(np.abs(made.images["main"]) - truth) for made in (before, after)]
    assert errors[1] < 0.9 * errors[0]
    assert (before.operator, "maps_refined" in before.provenance) == (None, False)


def test_other_slices_are_what_they_are_without(thin):
    usual, off = (
        run_nila(replace(thin(), thin_maps=False), replace(SETTINGS, refine_maps=mode)) for mode in ("auto", "off")
    )
    assert usual.images["main"].tobytes() == off.images["main"].tobytes()
    assert usual.provenance == off.provenance
    assert "maps_refined" in run_nila(replace(thin(), thin_maps=False), replace(SETTINGS, refine_maps="on")).provenance


def test_a_slice_is_the_same_alone_and_with_others(thin):
    together = run_nila_batch([thin(0), replace(thin(1), thin_maps=False), thin(2)], SETTINGS)
    alone = [run_nila(one, SETTINGS) for one in (thin(0), replace(thin(1), thin_maps=False), thin(2))]
    for one, other in zip(together, alone, strict=True):
        assert one.images["main"].tobytes() == other.images["main"].tobytes()
        assert one.provenance == other.provenance


def test_two_map_sets_are_kept_and_told(thin):
    one = thin()
    maps = one.operator.coil_maps
    operator = SetsOperator(np.stack([maps, 0 * maps]), one.operator.counts)
    two = replace(one, operator=operator, conventional=cg_sense(operator, one.data))
    outcome = run_nila(two, replace(SETTINGS, steps=3))
    assert outcome.provenance["maps_refined"].startswith("no: several partitions or map sets")
    assert outcome.operator is None


def test_a_run_without_a_fine_step_says_so(thin):
    outcome = run_nila(thin(), replace(SETTINGS, steps=3, sigma_min=0.5))
    assert outcome.provenance["maps_refined"] == "no: the sampler made no step that is fine enough"
    assert said_of_maps(thin(), replace(SETTINGS, refine_maps="off"), None) == {}


def test_samples_are_measured_by_the_corrected_maps(thin):
    one = thin()
    outcome = run_nila(one, SETTINGS)
    assert measured_by(one, replace(outcome, operator=None)) is one
    other = measured_by(one, outcome)
    assert other.operator is outcome.operator
    np.testing.assert_array_equal(other.conventional, cg_sense(outcome.operator, one.data))
    assert other.noise_level < one.noise_level


def test_posterior_samples_leave_the_measurement_with_the_images(thin):
    outcome = run_nila(thin(), replace(SETTINGS, series=("nila", "uncertainty", "mean"), samples=2))
    assert outcome.operator is not None
    assert {"main", "uncertainty", "mean"} <= outcome.images.keys()


def test_the_measurement_of_a_steps_time_corrects_nothing(thin):
    settings = replace(SETTINGS, sigma_max=0.2, coarse_share=0.0, slice_budget_s=1000.0)
    nila_prior._prior_for.cache_clear()
    measured = run_nila(thin(), settings)
    known = run_nila(thin(), settings)
    assert measured.provenance == known.provenance
    assert measured.images["main"].tobytes() == known.images["main"].tobytes()
