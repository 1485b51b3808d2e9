import numpy as np
import pytest

from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.coarse_to_fine import nila_coarse_to_fine
from nilatron.core.sampling.image import ImageSettings, automatic_detail, network_shapes, sample_images
from nilatron.core.sampling.self_conditioning import self_conditioned_denoiser
from nilatron.core.sampling.symmetries import with_symmetries
from nilatron.core.sense import SenseOperator


def test_levels_fall_from_the_first_to_the_last():
    levels = ImageSettings(steps=5, sigma_max=0.6, sigma_min=0.02).levels()
    assert (len(levels), levels[0], levels[-1]) == (5, pytest.approx(0.6), pytest.approx(0.02))
    assert list(levels) == sorted(levels, reverse=True)
    assert len(ImageSettings().levels(3)) == 3


@pytest.mark.parametrize("side", [(12, 12), (64, 64), (230, 180)])
def test_these_are_the_shapes_that_the_network_sees(side):
    shape, seen = (1, *side), set()
    kspace = np.ones((2, *shape), np.complex64)
    settings = ImageSettings()

    def denoiser(x, _sigma, _before):
        seen.add(x.shape[1:])
        return Estimate(x)

    sample_images(
        denoiser,
        SenseOperator(kspace, np.ones(shape, np.float32)),
        kspace,
        settings.levels(),
        settings,
        start=kspace[:1],
        sigma=0.1,
        scale=1.0,
        generator=np.random.default_rng(0),
    )
    assert seen == set(network_shapes(shape))


@pytest.mark.parametrize("symmetries", [True, False])
def test_it_is_the_sampler_with_these_settings(make_problem, symmetries):
    problem = make_problem(0.1)

    def denoiser(x, sigma, before):  # of a prior that uses the estimate of the step before
        estimate = problem.prior.denoise(x, sigma)
        return Estimate(estimate if before is None else 0.8 * estimate + 0.2 * before)

    settings = ImageSettings(
        steps=4, coarse_share=0.5, sigma_fraction=0.9, detail=0.0, momentum=0.2, iterations=5, symmetries=symmetries
    )
    others = {"start": problem.operator.adjoint(problem.data)[None], "sigma": problem.sigma, "scale": 1.0}
    found = sample_images(
        denoiser,
        problem.operator,
        problem.data,
        settings.levels(),
        settings,
        generator=np.random.default_rng(3),
        **others,
    )
    expected = nila_coarse_to_fine(
        self_conditioned_denoiser(with_symmetries(denoiser) if symmetries else denoiser),
        problem.operator,
        problem.data,
        settings.levels(),
        2,
        generator=np.random.default_rng(3),
        solver=settings.solver,
        sigma_fraction=0.9,
        momentum=0.2,
        **others,
    )
    np.testing.assert_array_equal(found.image, expected.image)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"sigma_max": 0.01},
        {"sigma_fraction": 0.0},
        {"sigma_fraction": 1.1},
        {"detail": -0.1},
        {"detail": 1.1},
        {"momentum": -0.1},
        {"momentum": 1.0},
        {"tolerance": 0.0},
        {"iterations": 0},
        {"coarse_share": 1.0},
        {"min_change": 1.0},
    ],
)
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r".+"):
        ImageSettings(**wrong)


def test_more_detail_tells_the_network_of_less_noise():
    fractions = [ImageSettings(detail=detail).network_fraction for detail in (0.0, 0.5, 1.0)]
    assert fractions == sorted(fractions, reverse=True)
    assert fractions[0] == ImageSettings().sigma_fraction
    assert fractions[-1] > 0


def test_automatic_detail_rises_with_the_noise_and_is_0_for_clean_scans():
    details = [automatic_detail(noise, 0.3) for noise in np.geomspace(0.01, 0.1, 100)]
    assert details == sorted(details)
    assert {automatic_detail(noise, 0.3) for noise in (0.0, 0.02, 0.033)} == {0.0}
    assert {automatic_detail(noise, 0.3) for noise in (0.055, 0.1, 2.0, np.inf)} == {0.3}
    assert automatic_detail(np.nan, 0.3) == 0.0  # of a slice that is not finite


def test_automatic_detail_falls_with_the_number_of_samples():
    details = [automatic_detail(0.1, share) for share in np.geomspace(0.1, 1, 100)]
    assert details == sorted(details, reverse=True)
    assert (details[0], details[-1]) == (0.3, 0.0)
    assert automatic_detail(0.1, 0.5) == 0.0
    assert automatic_detail(0.1, 0.0) == 0.3


def test_clean_scans_have_the_settings_that_they_have_without_detail():
    assert ImageSettings().for_data(0.03, 0.2) == ImageSettings(detail=0.0)


def test_in_noise_the_network_is_told_of_less_and_the_last_level_is_higher():
    clean, noisy = ImageSettings(detail=0.0), ImageSettings().for_data(0.1, 0.2)
    assert noisy.network_fraction < clean.network_fraction
    assert noisy.levels()[-1] == pytest.approx(1.3 * clean.levels()[-1])
    assert noisy.for_data(0.01, 0.2) == noisy
    assert ImageSettings(sigma_min=0.7).for_data(0.1, 0.2).levels()[-1] == pytest.approx(0.8)


@pytest.mark.parametrize("detail", [0.0, 0.3])
def test_a_wanted_detail_knows_no_noise(detail):
    settings = ImageSettings(detail=detail)
    assert settings.for_data(0.1, 0.2) == settings


def test_more_detail_keeps_more_of_what_a_prior_takes_for_noise(make_problem):
    """A Gaussian prior that is narrower than the truth shrinks it towards 0; less so with more detail."""
    problem = make_problem(0.1)
    energies = []
    for detail in (0.0, 0.5, 1.0):
        settings = ImageSettings(detail=detail, coarse_share=0.0, symmetries=False)
        image = sample_images(
            lambda x, sigma, _: Estimate(x * 0.05 / (0.05 + sigma**2)),
            problem.operator,
            problem.data,
            settings.levels(),
            settings,
            start=problem.operator.adjoint(problem.data)[None],
            sigma=problem.sigma,
            scale=1.0,
            generator=np.random.default_rng(3),
        ).image
        energies.append(np.linalg.norm(image))
    assert energies == sorted(energies)
