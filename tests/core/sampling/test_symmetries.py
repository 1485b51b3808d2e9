import numpy as np
import pytest
import torch

from nilatron.core.fft import fft
from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.symmetries import SYMMETRIES, symmetric_view, with_symmetries


def random_image(shape=(2, 1, 6, 5), seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize("which", SYMMETRIES)
def test_a_view_of_a_view_is_the_image(which):
    image = random_image()
    np.testing.assert_array_equal(symmetric_view(symmetric_view(image, *which), *which), image)


def test_of_conjugated_kspace():
    image = random_image((7, 5))  # odd sides: the centre of k-space and of the image stay where they are
    kspace = fft(image, axes=(-2, -1))
    expected = fft(symmetric_view(image, transposed=False, conjugated=True), axes=(-2, -1))
    np.testing.assert_allclose(expected, np.conj(kspace), atol=1e-5)


def test_each_call_shows_the_next_view():
    image, before, seen = random_image(), random_image(seed=1), []

    def denoiser(x, _sigma, known):
        seen.append((x, known))
        return Estimate(x)

    run = with_symmetries(denoiser)
    for k in range(5):
        run(image, 0.1, before if k else None)
    assert seen[0][1] is None
    for k, (found, known) in enumerate(seen):
        np.testing.assert_array_equal(found, symmetric_view(image, *SYMMETRIES[k % 4]))
        if k:
            np.testing.assert_array_equal(known, symmetric_view(before, *SYMMETRIES[k % 4]))


def test_the_image_comes_back_upright():
    image = random_image()
    run = with_symmetries(lambda x, sigma, _: Estimate(x * sigma, abs(x) ** 2))
    for _ in SYMMETRIES:
        found = run(image, 0.5, None)
        np.testing.assert_array_equal(found.mean, image * 0.5)
        np.testing.assert_array_equal(found.variance, abs(image) ** 2)


def test_every_run_begins_with_the_image_as_it_is():
    image, seen = random_image(), []
    for _ in range(2):
        with_symmetries(lambda x, _sigma, _before: seen.append(x) or Estimate(x))(image, 0.1, None)
    np.testing.assert_array_equal(seen[0], image)
    np.testing.assert_array_equal(seen[1], image)


@pytest.mark.slow
def test_derivatives_go_through_all_views():
    image = torch.from_numpy(random_image()).requires_grad_()
    run = with_symmetries(lambda x, _sigma, _before: Estimate(x * torch.view_as_real(x.resolve_conj()).square().sum()))
    for _ in SYMMETRIES:
        (gradient,) = torch.autograd.grad(run(image, 0.1, None).mean.abs().sum(), image)
        direct = torch.autograd.grad((image * torch.view_as_real(image).square().sum()).abs().sum(), image)[0]
        torch.testing.assert_close(gradient, direct)
