"""DDS and pULA: what holds for any denoiser that knows the truth, and their schedules."""

import math

import numpy as np
import pytest

from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.sense import SenseOperator
from peers.dds import dds, noise_split
from peers.pula import SETTINGS, pula

SHAPE = (1, 16, 18)


@pytest.fixture
def problem():
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::2] = counts[:, 6:10] = 1
    operator = SenseOperator(coil_maps(4, SHAPE), counts)
    truth = phantom(SHAPE)
    return operator, truth, operator.forward(truth)


def run(method, operator, data, denoiser):
    arguments = {"scale": 2.0, "generator": np.random.default_rng(0)}
    if method is pula:
        arguments["sigma"] = 0.1
    return method(denoiser, operator, data, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("method", [dds, pula])
def test_a_denoiser_that_knows_the_truth_gives_it_back(problem, method):
    operator, truth, data = problem
    image = run(method, operator, 2 * data, lambda *_: truth)  # physical units are twice the image scale
    np.testing.assert_allclose(image, 2 * truth, atol=1e-4)


@pytest.mark.slow
def test_noise_levels_that_the_network_is_told_fall(problem):
    operator, truth, data = problem
    for method, n_levels in ((dds, 50), (pula, SETTINGS.levels)):
        told = []

        def denoise(_, sigma, told=told):
            told.append(sigma)
            return truth

        run(method, operator, data, denoise)
        assert len(told) == n_levels
        assert told == sorted(told, reverse=True)
    assert told[0] == pytest.approx(SETTINGS.sigma_max)
    assert told[-1] == pytest.approx(SETTINGS.sigma_min)


@pytest.mark.slow
@pytest.mark.parametrize("method", [dds, pula])
def test_the_noise_in_the_image_is_what_the_network_is_told(problem, method):
    """With a denoiser that knows the truth, x differs from the solution by noise of the level that is told."""
    operator, truth, data = problem
    ratios = []

    def denoise(x, sigma):
        if sigma < 8:  # below the first steps
            ratios.append(float(np.sqrt(np.mean(np.abs(x - truth) ** 2))) / sigma)
        return truth

    run(method, operator, 2 * data, denoise)
    low, high = (0.85, 1.15) if method is dds else (0.4, 1.6)  # pULA: the likelihood narrows, the step size widens
    assert low < np.median(ratios) < high


@pytest.mark.parametrize(("abar", "following"), [(0.1, 0.2), (0.9, 0.95), (0.999, 1.0)])
def test_predicted_and_fresh_noise_add_up(abar, following):
    kept, fresh = noise_split(abar, following)
    assert math.hypot(kept, fresh) == pytest.approx(math.sqrt(1 - following), abs=1e-7)
    assert noise_split(abar, following, eta=0.0)[1] == 0
