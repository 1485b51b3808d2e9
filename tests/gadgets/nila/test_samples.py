from dataclasses import replace

import numpy as np
import pytest

from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.samples import sampled_images
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import go_on

SETTINGS = NilaNodeSettings(
    steps=2, samples=3, sample_steps=2, map_steps=2, precision="fp32", series=("nila", "mean", "map", "sample", "std")
)
ROLES = ("mean", "map", "sample", "std", "uncertainty")


def drawn(one, settings=SETTINGS, roles=ROLES, image=None, predicted_error=0.03, callback=go_on):
    return sampled_images(
        prior_for(one.weights, one.device, settings.engine_settings).prior,
        one,
        settings,
        roles,
        n_samples=settings.samples,
        image=one.conventional if image is None else image,
        predicted_error=predicted_error,
        callback=callback,
    )


def test_every_estimate_is_a_series(problem):
    found = run_nila(problem(1), SETTINGS)
    assert found.images.keys() == {"main", "mean", "map", "sample", "std"}
    assert found.provenance["samples"] == "3"
    assert float(found.provenance["split_sigma"]) > 0
    mean, sample, deviation = (np.abs(found.images[role]) for role in ("mean", "sample", "std"))
    assert np.isrealobj(found.images["std"])
    assert np.abs(sample - mean).mean() < 3 * deviation.mean()
    assert not np.allclose(found.images["map"], found.images["mean"])


def test_the_image_is_the_same_with_and_without_samples(problem):
    alone = run_nila(problem(2), replace(SETTINGS, series=("nila",)))
    np.testing.assert_array_equal(run_nila(problem(2), SETTINGS).images["main"], alone.images["main"])


def test_the_deviation_is_that_of_magnitudes_and_both_maps_are_the_same(problem):
    found = drawn(problem(1)).images
    np.testing.assert_array_equal(found["std"], found["uncertainty"])


def test_the_samples_part_from_the_image(problem):
    """At a low level they stay near it, wherever it is."""
    one = problem(1)
    shifted = drawn(one, replace(SETTINGS, split_sigma=0.01, samples=2), ("mean",), image=1.5 * one.conventional)
    from_image = drawn(problem(1), replace(SETTINGS, split_sigma=0.01, samples=2), ("mean",))
    assert np.linalg.norm(shifted.images["mean"] - from_image.images["mean"]) > 0


def test_split_at_the_first_level_they_do_not_know_the_image(problem):
    settings = replace(SETTINGS, split_sigma=0.5)
    one, other = (drawn(problem(1), settings, image=image).images for image in (None, np.zeros((1, 24, 32), complex)))
    for role in ROLES:
        np.testing.assert_array_equal(one[role], other[role])


@pytest.mark.parametrize(("predicted", "split"), [(0.03, "0.042"), (None, "0.06")])
def test_the_split_follows_the_predicted_error(problem, predicted, split):
    assert drawn(problem(1), roles=("mean",), predicted_error=predicted).provenance["split_sigma"] == split


def test_the_callback_sees_every_step_of_samples_and_map(problem):
    seen = []
    drawn(problem(1), callback=lambda step, _, x: seen.append((step, len(x))))
    assert seen == [(0, 3), (1, 3), (0, 1), (1, 1)]


@pytest.mark.parametrize(("predicted", "n_steps"), [(0.03, 1), (None, 2)])
def test_one_step_is_enough_where_the_error_is_predicted(problem, predicted, n_steps):
    seen = []
    settings = replace(SETTINGS, sample_steps=None)
    drawn(problem(1), settings, ("mean",), predicted_error=predicted, callback=lambda step, *_: seen.append(step))
    assert seen == list(range(n_steps))


def test_samples_of_one_step_spread_as_errors_do(problem):
    """A step alone leaves less: the same seed, with the split given as a level, is not widened."""
    one_step = replace(SETTINGS, sample_steps=1)
    found = [
        drawn(problem(1), settings, ("mean", "std")) for settings in (one_step, replace(one_step, split_sigma=0.042))
    ]
    assert float(found[0].provenance["sample_widening"]) > float(found[1].provenance["sample_widening"]) == 0
    wide, narrow = (one.images for one in found)
    np.testing.assert_allclose(wide["mean"], narrow["mean"], rtol=1e-4, atol=1e-5 * np.abs(wide["mean"]).max())
    assert wide["std"].mean() > 1.3 * narrow["std"].mean()


def test_without_the_map_its_steps_are_not_made(problem):
    seen = []
    drawn(problem(1), roles=("mean", "std"), callback=lambda step, *_: seen.append(step))
    assert seen == [0, 1]
