import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.fft import fft
from nilatron.core.oversampling import remove_oversampling, resize_centre, to_recon_space


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 12])
def test_resizing_keeps_the_centre_at_half(n, size):
    array = np.zeros((2, n), np.complex64)
    array[:, n // 2] = 1
    resized = resize_centre(array, size, -1)
    assert resized.shape == (2, size)
    assert np.argmax(np.abs(resized[0])) == size // 2


def test_padding_then_cropping_is_the_identity():
    array = np.arange(7.0)
    assert np.array_equal(resize_centre(resize_centre(array, 12, 0), 7, 0), array)


@pytest.mark.parametrize(("n_x", "n_kept"), [(128, 64), (90, 61), (64, 64)])
def test_removal_crops_the_image_and_keeps_white_noise_white(n_x, n_kept):
    rng = np.random.default_rng(0)
    image = np.zeros((1, 1, n_x), np.complex128)
    image[..., n_x // 2 - 5 : n_x // 2 + 6] = rng.standard_normal(11)
    kept = remove_oversampling(fft(image, axes=(-1,)), n_kept)
    expected = fft(resize_centre(image, n_kept, -1), axes=(-1,))
    assert np.allclose(kept, expected)
    noise = complex_normal(rng, (4000, n_x), np.zeros(1, np.complex64))
    after = remove_oversampling(noise, n_kept)
    assert np.mean(np.abs(after) ** 2) == pytest.approx(1, abs=0.03)
    correlation = after.conj().T @ after / len(after) - np.eye(n_kept)
    assert np.abs(correlation).max() < 0.09


def smooth_image(n_y, n_x, fov_y=1.0, fov_x=1.0):
    y = (np.arange(n_y) - n_y // 2) / n_y * fov_y
    x = (np.arange(n_x) - n_x // 2) / n_x * fov_x
    return np.exp(-((y[:, None] ** 2 + (x[None] - 0.05) ** 2) / 0.005))[None].astype(np.complex128)


@pytest.mark.parametrize("matrix", [(64, 64), (96, 128), (128, 96), (63, 65)])
def test_interpolation_keeps_position_and_values(matrix):
    image = smooth_image(96, 96)
    got = to_recon_space(image, (1, 1, 1), (1, 1, 1), (1, *matrix))
    assert np.abs(got - smooth_image(*matrix)).max() < 0.01


def test_a_smaller_recon_field_of_view_is_cut_out_of_the_middle():
    image = smooth_image(128, 96, fov_y=4 / 3)
    got = to_recon_space(image, (5.0, 400.0, 300.0), (5.0, 300.0, 300.0), (1, 96, 96))
    assert np.abs(got - smooth_image(96, 96)).max() < 1e-6
