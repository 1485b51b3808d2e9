from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.prior.errors.head import Delivered, ErrorHead
from nilatron.core.prior.errors.model import ErrorModel
from nilatron.core.prior.neighbours.head import NeighbourHead
from nilatron.core.prior.neighbours.planes import Neighbour
from nilatron.core.prior.neighbours.weights import NeighbourPrior
from nilatron.core.prior.prior import Estimate
from nilatron.core.uncertainty.calibration import Calibration, ClassCalibration
from nilatron.gadgets.nila import method
from nilatron.gadgets.nila.method import run_nila, run_nila_batch
from nilatron.gadgets.nila.prior import ReadyPrior, prior_for
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.nila.uncertainty import PredictedError, familiarity_of, widened

BOTH = NilaNodeSettings(series=("nila", "uncertainty"), precision="fp32", samples=2, sample_steps=2)
EVERY_CLASS = Calibration({(r, n): ClassCalibration(1.5 + r, 0.5, 11) for r in range(3) for n in range(3)})
PROMISES = ("uncertainty_kappa", "uncertainty_coverage", "psnr_bound_db")


def model(calibration=None):
    torch.manual_seed(0)
    return ErrorModel(ErrorHead().eval().requires_grad_(False), calibration)


@pytest.fixture
def with_errors(monkeypatch, problem):
    """Has the weights of the problems predict errors, as an error model says."""
    ready = prior_for(problem(1).weights, "cpu", BOTH.engine_settings)

    def give(errors):
        monkeypatch.setattr(method, "prior_for", lambda *_: replace(ready, errors=errors))

    return give


def test_a_map_that_is_predicted_has_no_samples_and_changes_no_image(problem, with_errors):
    with_errors(None)
    without = run_nila(problem(1), replace(BOTH, series=("nila",)))
    with_errors(model())
    found = run_nila(problem(1), BOTH)
    np.testing.assert_array_equal(found.images["main"], without.images["main"])
    assert found.images["uncertainty"].shape == found.images["main"].shape
    assert (found.images["uncertainty"] >= 0).all()
    assert found.provenance["uncertainty_from"] == "prediction"
    assert found.provenance["uncertainty_calibration"] == "uncalibrated"
    assert "samples" not in found.provenance
    assert not set(PROMISES) & set(found.provenance)


def test_calibration_is_stated_with_level_factor_and_subjects(problem, with_errors):
    with_errors(model(EVERY_CLASS))
    found = run_nila(problem(1), BOTH).provenance
    assert found["uncertainty_calibration"] == "calibrated"
    assert found["uncertainty_coverage"] == "0.9"
    assert found["uncertainty_subjects"] == "11"
    one = problem(1)
    expected = EVERY_CLASS.of(1 / one.acquired_share, one.noise_level / one.scale)
    assert float(found["uncertainty_kappa"]) == expected.kappa
    assert found["psnr_bound_confidence"] == "0.9"
    assert np.isfinite(float(found["psnr_bound_db"]))


def test_the_bound_is_stated_without_a_map_too(problem, with_errors):
    with_errors(model(EVERY_CLASS))
    alone, both = (run_nila(problem(1), settings) for settings in (replace(BOTH, series=("nila",)), BOTH))
    assert alone.images.keys() == {"main"}
    assert alone.provenance["psnr_bound_db"] == both.provenance["psnr_bound_db"]
    assert "uncertainty_kappa" not in alone.provenance


@pytest.mark.parametrize("change", [{"steps": 5}, {"sigma_fraction": 0.9}, {"symmetries": False}, {"detail": 0.9}])
def test_other_settings_of_the_sampler_are_uncalibrated(problem, with_errors, change):
    with_errors(model(EVERY_CLASS))
    found = run_nila(problem(1), replace(BOTH, **change)).provenance
    assert found["uncertainty_calibration"] == "uncalibrated"
    assert not set(PROMISES) & set(found)


class Fixed:
    """Finds every image as unfamiliar as told."""

    threshold, false_alarms = 1.0, 0.005

    def __init__(self, score):
        self.score = score

    def scores(self, magnitude):
        return torch.full((len(magnitude),), self.score)


@pytest.mark.parametrize(("score", "is_marked"), [(0.9, False), (1.1, True)])
def test_an_unfamiliar_object_is_marked(problem, with_errors, score, is_marked):
    with_errors(replace(model(), familiarity=Fixed(score)))
    found = run_nila(problem(1), replace(BOTH, series=("nila",))).provenance
    assert float(found["unfamiliarity"]) == pytest.approx(score)
    assert ("prior_mismatch" in found) == is_marked
    if is_marked:
        assert "0.5% of the images" in found["prior_mismatch"]


@pytest.mark.parametrize(
    ("size", "noise", "is_judged"), [(20, 0.05, True), (20, 0.3, False), (8, 0.05, False), (20, 0.2, True)]
)
def test_small_objects_and_noise_are_not_judged(size, noise, is_judged):
    """The first and last slices of a head could be anything, and so could noise."""
    image = torch.zeros(1, 32, 32, dtype=torch.complex64)
    image[0, :size, :size] = 1
    seen = Delivered(*(image,) * 4, *(torch.tensor([value]) for value in (noise, 0.4, 1.0)))
    (said,) = familiarity_of(replace(model(), familiarity=Fixed(5.0)), seen, 1)
    assert ("prior_mismatch" in said) == is_judged
    assert said["unfamiliarity"].startswith("not judged") != is_judged


def test_a_class_that_was_not_calibrated_is_uncalibrated(problem, with_errors):
    with_errors(model(Calibration({(7, 7): ClassCalibration(1.0, 0.0, 11)})))
    assert run_nila(problem(1), BOTH).provenance["uncertainty_calibration"] == "uncalibrated"


@pytest.fixture
def told(problem, monkeypatch):
    """Map of a slice whose weights predict errors and have a head that says nothing, with the neighbours that are given."""
    ready = prior_for(problem(1).weights, "cpu", BOTH.engine_settings)
    head = NeighbourPrior(NeighbourHead().eval().requires_grad_(False), {}, "", "")
    for name in ("prior_for", "informed_prior_for"):
        monkeypatch.setattr(method, name, lambda *_: replace(ready, errors=model(EVERY_CLASS), neighbours=head))

    def run(*magnitudes):
        given = tuple(Neighbour(magnitude, 3.0) for magnitude in magnitudes)
        return run_nila(replace(problem(1), neighbours=given), BOTH)

    return run


def test_the_map_grows_by_what_neighbours_show_even_if_they_change_nothing(told):
    alone = told()
    image = np.abs(alone.images["main"][0])
    marked = image.copy()
    marked[8:15, 12:19] *= 2
    same, other = told(image), told(marked)
    np.testing.assert_array_equal(other.images["main"], alone.images["main"])
    np.testing.assert_allclose(same.images["uncertainty"], alone.images["uncertainty"], rtol=1e-6)
    growth = (other.images["uncertainty"] / same.images["uncertainty"])[0]
    assert growth[9:14, 13:18].mean() > 1.2
    np.testing.assert_array_equal(growth[:2], 1)
    assert other.provenance["uncertainty_calibration"] == "uncalibrated"
    assert not set(PROMISES) & set(other.provenance)


def test_a_changed_image_has_a_map_of_what_was_believed_and_what_was_predicted():
    predicted = PredictedError(np.full((1, 2, 2), 3.0, np.float32), {}, {"psnr_bound_db": "30", "unfamiliarity": "1"})
    found = widened(predicted, np.full((1, 2, 2), 2.0, np.float32), np.full((1, 2, 2), -8.0, np.float32))
    np.testing.assert_allclose(found.deviation, 10)
    assert found.of_image == {"unfamiliarity": "1"}


def test_samples_stay_for_those_who_ask_for_them(problem, with_errors):
    with_errors(model(EVERY_CLASS))
    found = run_nila(problem(1), replace(BOTH, uncertainty_from="samples")).provenance
    assert (found["samples"], found["uncertainty_from"]) == ("2", "samples")
    assert found["uncertainty_calibration"] == "uncalibrated"


def test_weights_that_predict_no_errors_say_so_and_take_samples(problem, with_errors):
    with_errors(None)
    found = run_nila(problem(1), BOTH)
    assert "these weights predict no errors" in found.provenance["uncertainty_from"]
    assert found.provenance["samples"] == "2"
    assert found.images.keys() == {"main", "uncertainty"}


def test_a_prior_that_states_variances_needs_no_samples(problem, monkeypatch):
    class Gaussian:
        sha256 = label = ""

        def estimate(self, x, _sigma, _previous=None):
            return Estimate(x, 0 * abs(x) + 0.25)

    monkeypatch.setattr(method, "prior_for", lambda *_: ReadyPrior(Gaussian()))
    one = problem(1)
    found = run_nila(one, BOTH)
    assert "samples" not in found.provenance
    inside = one.operator.support
    np.testing.assert_allclose(found.images["uncertainty"][inside], 0.5 * one.scale, rtol=1e-5)


def test_slices_together_have_the_maps_that_they_have_alone(problem, with_errors):
    with_errors(model(EVERY_CLASS))
    together = run_nila_batch([problem(place) for place in (1, 2)], BOTH)
    for place, found in zip((1, 2), together, strict=True):
        expected = run_nila(problem(place), BOTH)
        assert found.provenance == expected.provenance
        np.testing.assert_allclose(
            found.images["uncertainty"], expected.images["uncertainty"], rtol=1e-3, atol=1e-3 * problem(place).scale
        )


def test_the_acquired_share_is_that_of_the_lines(problem):
    one = problem(1)
    assert one.acquired_share == pytest.approx(float(one.operator.counts.mean()))


def test_other_sources_of_uncertainty_are_refused():
    with pytest.raises(ValueError, match="prediction or samples"):
        NilaNodeSettings(uncertainty_from="feeling")
