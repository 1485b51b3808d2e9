from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from nilatron.core.fft import fft, ifft
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.simulation.scanned_object import ground_truth, to_recon_grid
from nilatron.pipelines.simulation.settings import SimulationSettings
from nilatron.pipelines.simulation.simulate import simulate_items

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4, noise_lines=4, calibration_lines=8)


def combined(kspace):
    """Root sum of squares of the coil images: with sum |S|^2 = 1 the magnitude of the object."""
    return np.sqrt(np.sum(np.abs(ifft(kspace)) ** 2, axis=0))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"readout_oversampling": 1.0},
        {"readout_oversampling": 1.25, "matrix": (33, 25, 1)},
        {"fov_mm": (300.0, 200.0, 5.0), "recon_fov_mm": (300.0, 150.0), "recon_matrix": (32, 18)},
        {"matrix": (16, 16, 12), "fov_mm": (220.0, 220.0, 160.0)},
        {"n_coils": 1},
        {"n_coils": 32},
        {"n_slices": 3},
        {"slice_order": "line", "n_slices": 3},
    ],
)
def test_inverse_fft_of_a_full_noise_free_scan_is_the_ground_truth(changes, lines_of, object_kspace):
    settings = replace(SMALL, noise_std=0.0, **changes)
    _, items = simulate_items(settings)
    for index in range(settings.n_slices):
        image = combined(object_kspace(settings, [line for line in lines_of(items) if line.idx.slice == index]))
        truth = ground_truth(settings, index)
        n_x, n_y, n_z = settings.recon_matrix_xyz
        assert truth.shape == (n_z, n_y, n_x)
        np.testing.assert_allclose(
            np.abs(to_recon_grid(settings, image.astype(np.complex64))), np.abs(truth), atol=1e-5
        )
        assert np.abs(truth).max() > 0.5


@pytest.mark.parametrize("recon_matrix", [(64, 48), (48, 40), (24, 16)])
def test_recon_matrix_interpolates_and_keeps_the_intensity(recon_matrix):
    same, other = ground_truth(SMALL), ground_truth(replace(SMALL, recon_matrix=recon_matrix))
    assert other.shape == (1, recon_matrix[1], recon_matrix[0])
    assert abs(other.mean() - same.mean()) < 1e-4
    if recon_matrix == (64, 48):  # interpolation passes through the old pixels
        np.testing.assert_allclose(other[:, ::2, ::2], same, atol=0.1)
        narrow, wide = fft(same), fft(other)[:, 12:36, 16:48] / 2
        np.testing.assert_allclose(wide, narrow, atol=1e-5)


def test_object_does_not_depend_on_oversampling():
    one, two = (ground_truth(replace(SMALL, readout_oversampling=ratio)) for ratio in (1.0, 2.0))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_contrasts_and_slices_differ():
    settings = replace(SMALL, n_slices=2, n_contrasts=2)
    images = [np.abs(ground_truth(settings, s, c)) for s, c in ((0, 0), (0, 1), (1, 0))]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(images[first] - images[second]) > 0.05 * np.linalg.norm(images[0])


@pytest.mark.parametrize("kind", ["png", "complex stack"])
def test_image_in_place_of_the_phantom(tmp_path, kind, object_kspace):
    y, x = np.mgrid[-1:1:24j, -1:1:32j]
    magnitude = np.exp(-4 * (x - 0.2) ** 2 - 3 * y**2)
    if kind == "png":
        path = tmp_path / "image.png"
        Picture.fromarray((255 * magnitude).astype(np.uint8)).save(path)
        expected = [magnitude / magnitude.max()]
    else:
        path = tmp_path / "stack.npy"
        stack = np.stack([magnitude, magnitude[::-1, ::-1] * 0.5j])
        np.save(path, stack)
        expected = list(stack / np.abs(stack).max())
    settings = replace(SMALL, image=str(path), noise_std=0.0, n_slices=len(expected))
    _, items = simulate_items(settings)
    for index, image in enumerate(expected):
        found = combined(object_kspace(settings, [a for a in items if a.idx.slice == index]))[0, :, 16:48]
        np.testing.assert_allclose(found, np.abs(image), atol=0.006)
        np.testing.assert_allclose(np.abs(ground_truth(settings, index)[0]), np.abs(image), atol=0.006)


def test_image_of_another_size_is_resampled(tmp_path):
    y, x = np.mgrid[-1:1:96j, -1:1:64j]
    np.save(tmp_path / "image.npy", np.exp(-4 * (x - 0.2) ** 2 - 3 * y**2))
    y, x = (np.arange(n) * 2 / n - 1 + 1 / n for n in (24, 32))
    truth = ground_truth(replace(SMALL, image=str(tmp_path / "image.npy")))
    np.testing.assert_allclose(np.abs(truth[0]), np.exp(-4 * (x - 0.2) ** 2 - 3 * y[:, None] ** 2), atol=0.03)


def test_image_of_nothing(tmp_path):
    np.save(tmp_path / "zero.npy", np.zeros((8, 8)))
    with pytest.raises(InputError, match="not all zero"):
        ground_truth(replace(SMALL, image=str(tmp_path / "zero.npy")))
