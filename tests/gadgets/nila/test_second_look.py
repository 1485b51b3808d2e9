from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.prior.errors.head import ErrorHead
from nilatron.core.prior.errors.model import BESIDE_NEIGHBOURS, ErrorModel
from nilatron.core.prior.second_look.head import SecondLook
from nilatron.core.prior.small_unet import SmallUNetConfig
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila import method
from nilatron.gadgets.nila.method import run_nila, run_nila_batch
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.second_look import looked_again, takes_second_look
from nilatron.gadgets.nila.settings import NilaNodeSettings

SETTINGS = NilaNodeSettings(series=("nila",), precision="fp32")


def model(second_look):
    torch.manual_seed(0)
    return ErrorModel(ErrorHead().eval().requires_grad_(False), second_look=second_look)


@pytest.fixture
def look():
    torch.manual_seed(1)
    made = SecondLook(SmallUNetConfig((4, 4, 4, 4)))
    torch.nn.init.normal_(made.last.weight)
    return made.eval().requires_grad_(False)


@pytest.fixture
def with_look(monkeypatch, problem):
    """Has the weights of the problems take a second look."""
    ready = prior_for(problem(1).weights, "cpu", SETTINGS.engine_settings)

    def give(second_look):
        monkeypatch.setattr(method, "prior_for", lambda *_: replace(ready, errors=model(second_look)))

    return give


def test_images_are_looked_at_again_and_say_so(problem, with_look, look):
    with_look(None)
    before = run_nila(problem(1), SETTINGS)
    with_look(look)
    after = run_nila(problem(1), SETTINGS)
    assert (before.provenance["second_look"], after.provenance["second_look"]) == ("no", "yes")
    assert not np.array_equal(after.images["main"], before.images["main"])
    assert after.images["main"].shape == before.images["main"].shape
    off = run_nila(problem(1), replace(SETTINGS, second_look=False))
    np.testing.assert_array_equal(off.images["main"], before.images["main"])


def test_a_head_that_has_learnt_nothing_leaves_images_as_they_are(problem, with_look):
    with_look(None)
    before = run_nila(problem(1), SETTINGS).images["main"]
    with_look(SecondLook().eval().requires_grad_(False))
    np.testing.assert_allclose(run_nila(problem(1), SETTINGS).images["main"], before, rtol=1e-6)


def test_slices_are_the_same_alone_and_together(problem, with_look, look):
    with_look(look)
    together = run_nila_batch([problem(1), noisy(problem(1))], SETTINGS)
    alone = [run_nila(one, SETTINGS) for one in (problem(1), noisy(problem(1)))]
    assert [outcome.provenance["second_look"] for outcome in together] == ["yes", "no"]
    for one, other in zip(together, alone, strict=True):
        assert one.provenance["second_look"] == other.provenance["second_look"]
        image = other.images["main"]
        np.testing.assert_allclose(one.images["main"], image, atol=1e-4 * abs(image).max())


def test_beside_neighbours_a_part_of_the_correction_is_made(problem, look):
    one, rng = problem(1), np.random.default_rng(3)
    image, other = (rng.standard_normal((2, 1, 1, 24, 32)) + 2).astype(np.complex64)
    result = SamplerResult(image, 7, None, last_input=other, last_estimate=other)
    found = [
        looked_again(model(look), [one], one.conventional[None], result, ImageSettings(), "cpu", informed=informed)[
            0
        ].image
        - image
        for informed in (False, True)
    ]
    assert abs(found[0]).max() > 1e-3
    np.testing.assert_allclose(found[1], BESIDE_NEIGHBOURS * found[0], atol=1e-4)


@pytest.mark.parametrize("change", [{"steps": 5}, {"sigma_max": 0.5}, {"symmetries": False}, {"second_look": False}])
def test_other_images_than_it_was_trained_on_stay_as_they_are(problem, look, change):
    settings = replace(ImageSettings(), **change)
    assert takes_second_look(model(look), problem(1), ImageSettings(), 7)
    assert not takes_second_look(model(look), problem(1), settings, settings.steps)


@pytest.mark.parametrize("detail", [0.0, 0.3, None])
def test_detail_makes_no_difference(problem, look, detail):
    one = problem(2)
    settings = ImageSettings(detail=detail).for_data(one.noise_level / one.scale, one.acquired_share)
    assert takes_second_look(model(look), one, settings, settings.steps)


def noisy(one):
    """A slice with more noise than the look knows, which its detail does not tell."""
    return replace(one, data=one.data * 0.5, conventional=one.conventional * 0.5)


def test_shortened_runs_volumes_and_weights_without_are_left_alone(problem, look):
    one, settings = problem(1), ImageSettings()
    volume = replace(one, conventional=np.concatenate([one.conventional] * 2))
    assert not takes_second_look(model(look), one, settings, 6)
    assert not takes_second_look(model(look), volume, settings, 7)
    assert not takes_second_look(model(None), one, settings, 7)


def test_scans_without_noise_with_much_or_with_all_samples_are_left_alone(problem, look):
    settings = ImageSettings()
    assert not takes_second_look(model(look), problem(3), settings, 7)  # hardly any noise
    assert not takes_second_look(model(look), problem(0), settings, 7)  # hardly anything else
    one = problem(1)
    full = replace(one, operator=SenseOperator(one.operator.coil_maps, np.ones_like(one.operator.counts)))
    assert not takes_second_look(model(look), full, settings, 7)
