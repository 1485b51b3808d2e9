import math

import numpy as np
import pytest
import torch

from nilatron.core.metrics import fitted_scale, foreground, nrmse, psnr, ssim

RNG = np.random.default_rng(0)


def scene():
    y, x = np.mgrid[-1:1:40j, -1:1:36j]
    return (((x**2 + y**2) < 0.6) * (2 + np.sin(5 * x)) * np.exp(1j * y))[None]


def test_foreground_is_the_object():
    reference = scene()
    np.testing.assert_array_equal(foreground(reference), np.abs(reference) > 0)
    faint = reference.copy()
    faint[0, 0, 0] = 0.05 * np.abs(reference).max()
    assert not foreground(faint)[0, 0, 0]


def test_exact_and_rescaled_images_are_perfect():
    reference = scene()
    assert fitted_scale(2j * reference, reference) == pytest.approx(-0.5j)
    assert psnr(-3j * reference, reference) > 200
    assert nrmse(-3j * reference, reference) == pytest.approx(0, abs=1e-9)
    assert nrmse(2 * reference, reference, rescale=False) == pytest.approx(1)
    assert ssim(-3j * reference, reference) == pytest.approx(1)
    assert psnr(reference * 0, reference) < 10


def test_known_values():
    reference = np.full((1, 8, 8), 2.0)
    image = reference + np.where(np.arange(64).reshape(1, 8, 8) % 2, 0.1, -0.1)
    scale = (image * reference).sum() / (image**2).sum()
    error = np.sqrt(np.mean((scale * image - reference) ** 2))
    assert psnr(image, reference) == pytest.approx(20 * math.log10(2 / error))
    assert nrmse(image, reference) == pytest.approx(error / 2)


def test_phase_errors_count_for_nrmse_but_not_for_psnr():
    reference = scene()
    turned = reference * np.exp(1j * np.linspace(0, 1, 36))
    assert psnr(turned, reference) > 100
    assert nrmse(turned, reference) > 0.1


def test_background_does_not_count():
    reference = scene()
    noisy = reference + np.where(foreground(reference), 0, 1.0)
    assert psnr(noisy, reference) > 200


def test_ssim_is_the_local_formula_and_falls_with_noise():
    reference, window = np.abs(scene()), 7
    image = reference + 0.1 * RNG.standard_normal(reference.shape)
    scale = reference[0, 13, 15] / np.abs(image)[0, 13, 15]  # fitted where it is judged
    a, b = scale * np.abs(image)[0, 10:17, 12:19].ravel(), reference[0, 10:17, 12:19].ravel()
    c1, c2 = (0.01 * reference.max()) ** 2, (0.03 * reference.max()) ** 2
    covariance = np.cov(a, b)
    expected = (2 * a.mean() * b.mean() + c1) * (2 * covariance[0, 1] + c2)
    expected /= (a.mean() ** 2 + b.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    centre = np.zeros(reference.shape, bool)
    centre[0, 13, 15] = True
    assert ssim(image, reference, centre, window=window) == pytest.approx(expected)
    assert ssim(image, reference) > ssim(reference + 0.5 * RNG.standard_normal(reference.shape), reference)


def test_what_lies_outside_the_mask_does_not_matter():
    """But for the half window next to it, which the local means see."""
    reference = np.abs(scene())
    mask, equal = (np.zeros(reference.shape, bool) for _ in range(2))
    mask[:, 12:20, 12:20] = equal[:, 9:23, 9:23] = True
    image = np.where(equal, 3 * reference, 7 * RNG.standard_normal(reference.shape))
    assert psnr(image, reference, mask) > 200
    assert ssim(image, reference, mask) == pytest.approx(1)


def test_torch_agrees():
    reference = scene()
    image = reference + 0.1 * RNG.standard_normal(reference.shape)
    for metric in (psnr, nrmse, ssim):
        found = metric(torch.from_numpy(image), torch.from_numpy(reference))
        assert found == pytest.approx(metric(image, reference), rel=1e-4)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="one shape"):
        psnr(np.ones((1, 8, 8)), np.ones((1, 8, 7)))
    with pytest.raises(ValueError, match="no pixel"):
        nrmse(np.ones((1, 8, 8)), np.zeros((1, 8, 8)))
    with pytest.raises(ValueError, match="at least 7"):
        ssim(np.ones((1, 8, 5)), np.ones((1, 8, 5)))
