from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from nilatron.core.coils.espirit import EspiritSettings, espirit_maps
from nilatron.core.fft import fft, ifft
from nilatron.core.metrics import foreground

SHARED = Path(__file__).resolve().parents[3] / "../shared"


def scene(shape, n_coils, seed=0):
    """Object (z, y, x) with smooth coil maps, sum_c |S_c|^2 = 1, and its k-space with noise of variance 1."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    image = 300 * ((x**2 + 1.4 * y**2 + z**2) < 0.6) * (1 + 0.3 * np.sin(9 * x + 4 * y))
    angles = 2 * np.pi * np.arange(n_coils) / n_coils
    maps = np.stack(
        [
            np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2 + 0.2 * (z - np.sin(2 * a)) ** 2) / 2 + 1j * (a + x))
            for a in angles
        ]
    )
    maps = maps / np.linalg.norm(maps, axis=0)
    noise = rng.standard_normal(maps.shape) + 1j * rng.standard_normal(maps.shape)
    return image, maps, (fft(maps * image) + noise / np.sqrt(2)).astype(np.complex64)


def centre(kspace, sizes):
    parts = (slice(n // 2 - s // 2, n // 2 - s // 2 + s) for n, s in zip(kspace.shape[1:], sizes, strict=True))
    return kspace[(slice(None), *parts)]


def aligned_error(found, truth, inside):
    phase = np.exp(1j * np.angle(np.sum(np.conj(found) * truth, axis=0)))
    return np.sqrt(np.mean(np.sum(np.abs(found * phase - truth) ** 2, axis=0)[inside]))


@pytest.mark.parametrize(
    ("shape", "n_coils", "calibration"),
    [
        ((1, 64, 64), 4, (1, 24, 24)),
        ((1, 63, 81), 6, (1, 24, 81)),
        ((1, 64, 64), 5, (1, 8, 64)),
        ((1, 64, 64), 5, (1, 13, 13)),
        ((11, 30, 28), 3, (10, 16, 16)),
    ],
)
def test_recovers_smooth_maps(shape, n_coils, calibration):
    image, maps, kspace = scene(shape, n_coils)
    found = espirit_maps(centre(kspace, calibration), shape)
    inside = image > 0
    assert found.shape == maps.shape
    assert found.dtype == np.complex64
    norm = np.sum(np.abs(found) ** 2, axis=0)
    np.testing.assert_allclose(norm[norm > 0], 1, atol=1e-5)
    assert (norm[inside] > 0).mean() > 0.995
    assert aligned_error(found, maps, inside & (norm > 0)) < 0.06


def test_support_ends_outside_the_object():
    image, _, kspace = scene((1, 96, 96), 6)
    found = espirit_maps(centre(kspace, (1, 24, 24)), (1, 96, 96))
    support = np.any(found != 0, axis=0)
    assert (support & (image == 0)).sum() < 0.6 * (image == 0).sum()


def eigenvalues(block, shape, kernel, threshold):
    """lambda (y, x) of one plane, from the sums that define G: no correlations, no virtual coils."""
    windows = np.lib.stride_tricks.sliding_window_view(block[:, 0], (kernel, kernel), axis=(1, 2))
    n_coils, n_y, n_x = windows.shape[:3]
    matrix = windows.reshape(n_coils, n_y * n_x, kernel**2).transpose(0, 2, 1).reshape(-1, n_y * n_x)
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    span = vectors[:, values**2 >= threshold * values[0] ** 2].reshape(n_coils, kernel, kernel, -1)
    y, x = (np.exp(2j * np.pi * np.outer((np.arange(n) - n // 2) / n, np.arange(kernel))) for n in shape[1:])
    seen = np.einsum("cabk,ya,xb->yxck", span, y, x)
    return np.linalg.eigvalsh(seen @ np.conj(np.swapaxes(seen, -1, -2)) / kernel**2)[..., -1]


@pytest.mark.parametrize("crop", [0.4, 0.6, 0.8])
def test_the_maps_end_where_the_eigenvalue_falls_below_the_crop(crop):
    shape = (1, 14, 11)
    block = centre(scene((1, 24, 24), 3)[2], (1, 10, 9)).astype(complex)
    settings = EspiritSettings(kernel_size=3, threshold=0.01, crop=crop, n_iterations=400, virtual_coil_tolerance=0.0)
    expected = eigenvalues(block, shape, settings.kernel_size, settings.threshold)
    assert np.abs(expected - crop).min() > 1e-4  # no pixel is on the brink
    found = espirit_maps(block, shape, settings)
    np.testing.assert_array_equal(np.any(found != 0, axis=0)[0], expected >= crop)


def test_phase_refers_to_the_strongest_virtual_coil():
    _, _, kspace = scene((1, 48, 48), 4)
    block = centre(kspace, (1, 24, 24))
    found = espirit_maps(block, (1, 48, 48))
    principal = np.linalg.svd(block.reshape(4, -1), full_matrices=False)[0][:, 0]
    reference = np.einsum("c,czyx->zyx", principal.conj(), found)[np.any(found != 0, axis=0)]
    assert np.ptp(np.angle(reference * np.conj(reference.sum()))) < 1e-2


def test_a_phase_or_scale_of_the_data_does_not_change_the_maps():
    _, _, kspace = scene((1, 48, 48), 4)
    block = centre(kspace, (1, 24, 24))
    expected = espirit_maps(block, (1, 48, 48))
    found = espirit_maps((1e-7 * np.exp(0.7j) * block).astype(np.complex64), (1, 48, 48))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_torch_agrees():
    _, _, kspace = scene((1, 40, 33), 4)
    block = centre(kspace, (1, 20, 20))
    found = espirit_maps(torch.from_numpy(block), (1, 40, 33))
    expected = espirit_maps(block, (1, 40, 33))
    same = np.any(expected != 0, axis=0) == np.any(found.numpy() != 0, axis=0)
    assert same.mean() > 0.999  # a pixel at the edge of the support may round to the other side
    np.testing.assert_allclose(found.numpy()[:, same], expected[:, same], atol=1e-4)


def test_slabs_do_not_matter():
    _, _, kspace = scene((1, 40, 33), 4)
    block = centre(kspace, (1, 20, 20))
    small = espirit_maps(block, (1, 40, 33), EspiritSettings(slab_bytes=1))
    np.testing.assert_allclose(small, espirit_maps(block, (1, 40, 33)), atol=1e-4)


def test_degenerate_calibrations():
    _, _, kspace = scene((1, 48, 48), 4)
    block = centre(kspace, (1, 16, 16))
    np.testing.assert_array_equal(espirit_maps(block[:1], (1, 48, 48)), 1)
    np.testing.assert_array_equal(espirit_maps(0 * block, (1, 48, 48)), 0)
    twice = espirit_maps(np.concatenate([block, block]), (1, 48, 48))  # rank-deficient over the coils
    np.testing.assert_allclose(twice[:4], twice[4:], atol=1e-3)
    dead = espirit_maps(np.concatenate([block, 0 * block[:1]]), (1, 48, 48))
    assert np.abs(dead[4]).max() < 1e-3
    tiny = espirit_maps(centre(kspace, (1, 1, 2)), (1, 48, 48))
    assert np.isfinite(tiny).all()


def test_bad_calibrations_are_refused():
    with pytest.raises(ValueError, match="fit into the image"):
        espirit_maps(np.ones((2, 1, 24, 24), np.complex64), (1, 16, 64))
    with pytest.raises(ValueError, match="NaN"):
        espirit_maps(np.full((2, 1, 8, 8), np.nan, np.complex64), (1, 16, 16))


@pytest.mark.slow
@pytest.mark.shared
def test_nothing_of_a_measured_brain_is_cut():
    path = SHARED / "data/kspace/brain_t1_8ch_espirit_full.h5"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with h5py.File(path) as file:
        kspace, covariance = file["kspace"][:], file["noise_cov_est"][:]
    white = np.linalg.solve(np.linalg.cholesky(covariance), kspace.reshape(8, -1)).reshape(8, 1, 230, 180)
    images = ifft(white.astype(np.complex64))
    rss = np.sqrt(np.sum(np.abs(images) ** 2, axis=0))
    for lines in (8, 24):
        maps = espirit_maps(centre(white, (1, lines, 180)).astype(np.complex64), rss.shape)
        support = np.any(maps != 0, axis=0)
        assert np.sum(rss[~support] ** 2) < 0.005 * np.sum(rss**2)
        assert support[foreground(rss)].all()
        combined = np.abs(np.sum(np.conj(maps) * images, axis=0))[foreground(rss)]
        assert np.linalg.norm(combined) > 0.99 * np.linalg.norm(rss[foreground(rss)])


@pytest.mark.gpu
def test_cupy_agrees():
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    _, _, kspace = scene((1, 40, 33), 4)
    block = centre(kspace, (1, 20, 20))
    found, expected = espirit_maps(cupy.asarray(block), (1, 40, 33)).get(), espirit_maps(block, (1, 40, 33))
    same = np.any(expected != 0, axis=0) == np.any(found != 0, axis=0)
    np.testing.assert_allclose(found[:, same], expected[:, same], atol=1e-4)


def test_maps_are_not_made_of_noise():
    """At a low signal-to-noise ratio the windows of the noise fill their space, and would explain every pixel."""
    image, maps, kspace = scene((1, 48, 48), 4)
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape)
    weak = (kspace / 150 + noise / np.sqrt(2)).astype(np.complex64)
    inside = np.abs(image) > 100
    found = espirit_maps(centre(weak, (1, 20, 20)), image.shape, EspiritSettings(noise_variance=1.0))
    blind = espirit_maps(centre(weak, (1, 20, 20)), image.shape)
    assert aligned_error(found, maps, inside) < 0.25
    assert aligned_error(blind, maps, inside) > 0.5


def test_noise_below_the_threshold_changes_nothing():
    image, _, kspace = scene((1, 48, 48), 4)
    block = centre(kspace, (1, 20, 20))
    known = espirit_maps(block, image.shape, EspiritSettings(noise_variance=1e-6))
    np.testing.assert_array_equal(known, espirit_maps(block, image.shape))


def test_a_calibration_of_noise_alone_has_no_maps():
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((4, 1, 24, 24)) + 1j * rng.standard_normal((4, 1, 24, 24))).astype(np.complex64)
    assert not espirit_maps(noise, (1, 48, 48), EspiritSettings(noise_variance=0.8 * 2.5)).any()
