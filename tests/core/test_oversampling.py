import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.fft import fft
from nilatron.core.oversampling import remove_oversampling, resample, resize_centre, to_recon_space


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


def dots(n, fov_mm, *places_mm, width_mm=7.0):
    """A row of dots at these places; pixel n // 2 lies at 0."""
    at = (np.arange(n) - n // 2) * (fov_mm / n)
    return sum(np.exp(-(((at - place) / width_mm) ** 2)) for place in places_mm).astype(np.complex64)


def places_of(row, fov_mm):
    """Where the brightest dots left and right of the middle lie, in mm: the top of the Gaussian through three pixels."""
    n, found = len(row), []
    for half in (slice(1, n // 2), slice(n // 2, n - 1)):
        peak = int(np.arange(n)[half][np.argmax(np.abs(row[half]))])
        before, at, after = np.log(np.abs(row[peak - 1 : peak + 2]))
        found.append((peak + (before - after) / (before - 2 * at + after) / 2 - n // 2) * fov_mm / n)
    return found


@pytest.mark.parametrize("axis", [-3, -2, -1])
@pytest.mark.parametrize(
    ("n", "encoded_mm", "recon_mm", "n_recon"),
    [
        (64, 220.0, 170.0, 64),  # 49.45 pixels
        (64, 220.0, 170.0, 40),
        (65, 220.0, 170.0, 63),
        (228, 204.542404, 194.063004, 432),  # ismrmrd/ismrmrd#131: 216.32 pixels
        (64, 168.4375, 170.0, 64),  # the image a little smaller than wanted
        (50, 150.0, 200.5, 128),
        (128, 256.0, 192.0, 96),  # whole pixels
    ],
)
def test_distances_are_what_the_field_of_view_says(axis, n, encoded_mm, recon_mm, n_recon):
    image = np.moveaxis(np.broadcast_to(dots(n, encoded_mm, -50.0, 40.0), (2, 2, n)), -1, axis)
    fovs, matrix = np.ones((2, 3)), [0, 0, 0]
    fovs[:, axis], matrix[axis] = (encoded_mm, recon_mm), n_recon
    got = to_recon_space(image, tuple(fovs[0]), tuple(fovs[1]), tuple(matrix))
    rows = np.moveaxis(got, axis, -1)
    assert rows.shape == (2, 2, n_recon)
    assert got.dtype == np.complex64
    assert np.allclose(rows, rows[0, 0], atol=1e-6)
    assert places_of(rows[0, 0], recon_mm) == pytest.approx([-50.0, 40.0], abs=0.02)
    at_mm = (np.arange(n_recon) - n_recon // 2) * recon_mm / n_recon
    inside = np.abs(at_mm) < 60
    expected = dots(n_recon, recon_mm, -50.0, 40.0)
    assert np.abs(rows[0, 0] - expected)[inside].max() < 0.01


def test_whole_pixels_are_cropped_and_nothing_else(monkeypatch):
    image = complex_normal(np.random.default_rng(3), (3, 16, 20), np.zeros(1, np.complex64))
    expected = resize_centre(resize_centre(image, 12, -2), 10, -1)
    monkeypatch.setattr("nilatron.core.oversampling.resample", None)
    got = to_recon_space(image, (5.0, 160.0, 200.0), (5.0, 120.0, 100.0003), (3, 12, 10))
    assert np.array_equal(got, expected)


def test_resampling_leaves_out_what_the_new_pixels_cannot_hold_and_what_lies_outside():
    n = 60
    wave = np.exp(2j * np.pi * 25 * (np.arange(n) - n // 2) / n).astype(np.complex64)
    assert np.abs(resample(wave, 31, 1.9, -1)).max() < 1e-5  # 1 / 2.4 per pixel, and the limit is 1 / 3.8
    assert np.abs(resample(wave, 61, 0.9, -1)).min() > 0.99
    wide = resample(wave, 81, 1.05, -1)
    at = (np.arange(81) - 40) * 1.05
    assert not wide[(at < -31.5) | (at > 30.5)].any()


def test_resampling_keeps_white_noise_of_unit_variance():
    noise = complex_normal(np.random.default_rng(4), (4000, 64), np.zeros(1, np.complex64))
    assert np.mean(np.abs(resample(noise, 64, 0.773, -1)) ** 2) == pytest.approx(1, abs=0.02)


def test_resampling_on_torch_is_the_same():
    torch = pytest.importorskip("torch")
    image = complex_normal(np.random.default_rng(5), (2, 12, 10), np.zeros(1, np.complex64))
    arguments = ((2.0, 12.0, 10.0), (2.0, 9.4, 7.7), (2, 11, 9))
    got = to_recon_space(torch.from_numpy(image), *arguments)
    assert isinstance(got, torch.Tensor)
    assert np.allclose(got.numpy(), to_recon_space(image, *arguments), atol=1e-5)
