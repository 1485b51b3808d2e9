import numpy as np
import pytest
import torch

from nilatron.core.backend import complex_normal, squared_norm
from nilatron.core.baselines.wavelet_denoise import (
    CANDIDATES,
    WaveletDenoiseSettings,
    estimate_sigma,
    oracle_settings,
    wavelet_denoise,
)
from nilatron.core.phantom import phantom
from nilatron.core.wavelet import Wavelet

SETTINGS = [WaveletDenoiseSettings(rule, n_shifts=4) for rule in ("soft", "hard", "wiener")]


def noisy_phantom(shape=(96, 90), sigma=0.1, seed=0):
    clean = phantom((1, *shape))[0]
    return clean, clean + sigma * complex_normal(np.random.default_rng(seed), shape, clean)


def error(estimate, clean):
    return squared_norm(estimate - clean) ** 0.5


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.rule)
def test_noise_becomes_less_and_an_image_without_noise_stays(settings):
    clean, noisy = noisy_phantom()
    assert error(wavelet_denoise(noisy, 0.1, settings), clean) < 0.65 * error(noisy, clean)
    np.testing.assert_allclose(wavelet_denoise(clean, 0.0, settings), clean, atol=1e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.rule)
def test_it_turns_with_the_phase_and_scales_with_the_image(settings):
    _, noisy = noisy_phantom((64, 57))
    factor = np.complex64(3 * np.exp(0.7j))
    expected = factor * wavelet_denoise(noisy, 0.1, settings)
    np.testing.assert_allclose(wavelet_denoise(factor * noisy, 0.3, settings), expected, atol=1e-4)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s.rule)
def test_torch_agrees_and_a_batch_is_its_images(settings):
    images = np.stack([noisy_phantom((40, 33), seed=seed)[1] for seed in (1, 2)])
    found = wavelet_denoise(torch.from_numpy(images), 0.1, settings)
    alone = [wavelet_denoise(image, 0.1, settings) for image in images]
    np.testing.assert_allclose(found.numpy(), np.stack(alone), atol=1e-5)


def test_soft_is_the_mean_of_the_proximal_maps_over_the_shifts():
    _, noisy = noisy_phantom((64, 48))
    wavelet, generator = Wavelet((64, 48)), np.random.default_rng(3)
    shifts = [wavelet.random_shift(generator) for _ in range(5)]
    expected = np.mean([wavelet.shrink(noisy, 0.12, shift) for shift in shifts], axis=0)
    settings = WaveletDenoiseSettings("soft", 1.2, n_shifts=5)
    np.testing.assert_allclose(wavelet_denoise(noisy, 0.1, settings, np.random.default_rng(3)), expected, atol=1e-5)


@pytest.mark.parametrize("rule", ["soft", "hard", "wiener"])
def test_a_large_threshold_leaves_local_means(rule):
    _, noisy = noisy_phantom((64, 64))
    wavelet = Wavelet((64, 64), 2)
    shift = wavelet.random_shift(np.random.default_rng(1))
    settings = WaveletDenoiseSettings(rule, 1e6, n_shifts=1, max_levels=2)
    flat = wavelet_denoise(noisy, 0.1, settings, np.random.default_rng(1))
    found, given = (wavelet.forward(np.roll(image, shift, axis=(0, 1))) for image in (flat, noisy))
    np.testing.assert_allclose(found[wavelet.coarse], given[wavelet.coarse], atol=1e-4)
    found[wavelet.coarse] = 0
    np.testing.assert_allclose(found, 0, atol=1e-4)


@pytest.mark.slow
def test_the_oracle_finds_the_best_candidate():
    clean, noisy = noisy_phantom()
    candidates = [WaveletDenoiseSettings("hard", t, n_shifts=2) for t in (0.0, 2.1, 30.0)]
    assert oracle_settings([clean], [noisy], 0.1, candidates).threshold == 2.1
    best = oracle_settings([clean], [noisy], 0.1, CANDIDATES[::4])
    assert all(
        error(wavelet_denoise(noisy, 0.1, best), clean) < 1.02 * error(wavelet_denoise(noisy, 0.1, s), clean)
        for s in CANDIDATES[::4]
    )


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.3])
def test_the_noise_level_is_measured(sigma):
    _, noisy = noisy_phantom((255, 256), sigma)
    assert estimate_sigma(noisy) == pytest.approx(sigma, rel=0.1)
    assert estimate_sigma(noisy.real) == pytest.approx(sigma / np.sqrt(2), rel=0.1)
    assert estimate_sigma(torch.from_numpy(noisy)) == pytest.approx(estimate_sigma(noisy), rel=1e-4)


def test_a_masked_background_does_not_hide_the_noise():
    _, noisy = noisy_phantom((128, 128))
    noisy[:, :80] = 0
    assert estimate_sigma(noisy) == pytest.approx(0.1, rel=0.1)
    assert estimate_sigma(np.zeros((32, 32))) == 0.0


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(ValueError, match="one of soft, hard, wiener, got 'bm3d'"):
        WaveletDenoiseSettings("bm3d")
    with pytest.raises(ValueError, match="cannot be negative"):
        WaveletDenoiseSettings("soft", -1.0)
    with pytest.raises(ValueError, match="n_shifts must be 1 or more"):
        WaveletDenoiseSettings(n_shifts=0)
    with pytest.raises(ValueError, match="too small"):
        estimate_sigma(np.zeros((7, 64)))
