import numpy as np
import pytest
import torch

from nilatron.core.fft import fft, ifft
from nilatron.core.prior.edm import MARGIN, padded_size
from nilatron.core.resolution import (
    coarse_image,
    coarse_maps,
    coarse_shape,
    crop_kspace,
    replace_low_frequencies,
    value_ratio,
)
from nilatron.core.sense import SenseOperator

SHAPES = [((1, 80, 96), (1, 40, 40)), ((2, 70, 65), (2, 40, 40)), ((1, 101, 130), (1, 56, 72))]
RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def smooth(shape, coarse):
    """An image whose frequencies end well inside those of the coarse one."""
    y, x = (np.abs(np.arange(n) - n // 2) < n // 2 - 4 for n in coarse[1:])
    return replace_low_frequencies(ifft(fft(random(*coarse)) * y[:, None] * x), np.zeros(shape, complex))


@pytest.mark.parametrize(("shape", "coarse"), SHAPES)
def test_sides_are_about_halved_and_fill_the_network(shape, coarse):
    assert coarse_shape(shape) == coarse
    assert all(padded_size(n, 16) == n + 2 * MARGIN for n in coarse[1:])


@pytest.mark.parametrize("shape", [(1, 1, 256), (1, 60, 256), (4, 64, 64)])
def test_what_has_few_pixels_stays(shape):
    assert coarse_shape(shape) == shape


@pytest.mark.parametrize(("shape", "coarse"), SHAPES)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_an_image_is_its_coarse_one_and_the_rest(shape, coarse, kind):
    image, other = random(3, *shape), random(3, *coarse)
    whole = replace_low_frequencies(kind(other), kind(image))
    np.testing.assert_allclose(coarse_image(whole, coarse), other, atol=1e-12)
    np.testing.assert_allclose(
        replace_low_frequencies(coarse_image(kind(image), coarse), kind(image)), image, atol=1e-12
    )
    rest = np.asarray(whole) - image
    np.testing.assert_allclose(
        rest, replace_low_frequencies(other - coarse_image(image, coarse), 0 * image), atol=1e-12
    )


@pytest.mark.parametrize(("shape", "coarse"), SHAPES)
def test_smooth_images_grow_and_keep_their_place(shape, coarse):
    z, y, x = (np.arange(n) - n // 2 for n in shape)
    image = np.exp(-((y[:, None] / shape[1] - 0.1) ** 2 + (x / shape[2] + 0.2) ** 2) / 0.02) * np.ones((len(z), 1, 1))
    small = coarse_image(image + 0j, coarse)
    y, x = (np.arange(n) - n // 2 for n in coarse[1:])
    expected = np.exp(-((y[:, None] / coarse[1] - 0.1) ** 2 + (x / coarse[2] + 0.2) ** 2) / 0.02)
    np.testing.assert_allclose(small / value_ratio(shape, coarse), expected[None].repeat(len(z), 0), atol=0.01)


def test_white_noise_stays_what_it_is():
    noise = coarse_image(random(8, 1, 128, 128), (1, 64, 64))
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(("shape", "coarse"), SHAPES)
def test_the_coarse_operator_measures_the_middle_of_k_space(shape, coarse):
    counts = RNG.integers(0, 3, shape).astype(float)
    y, x = (2 * np.pi * (np.arange(n) - n // 2) / n for n in shape[1:])
    ones = np.ones(shape)
    maps = np.stack([ones, (1 + 0.5 * np.cos(y))[:, None] * ones, (1 + 0.5j * np.sin(x)) * ones])
    image = smooth(shape, coarse)
    fine = SenseOperator(maps, counts)
    rough, expected = fine.coarse(fine.forward(image), coarse)
    found = rough.forward(coarse_image(image, coarse))
    np.testing.assert_allclose(found[0], expected[0], atol=1e-10)  # a constant map
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)  # smooth ones, at the nearest pixels


CYCLES = ((1, 0), (0, 1), (2, -1))  # along y and x, across the field of view


def linear_phases(shape):
    """Coil maps exp(2 pi i (q_y r_y + q_x r_x)), r the place in fields of view: each moves k-space by (q_y, q_x) samples."""
    y, x = ((np.arange(n) - n // 2) / n for n in shape[1:])
    return np.stack([np.exp(2j * np.pi * (q_y * y[:, None] + q_x * x)) * np.ones(shape) for q_y, q_x in CYCLES])


def test_with_linear_phases_the_middle_of_k_space_is_measured_exactly():
    shape, coarse = (1, 80, 96), (1, 40, 48)
    fine = SenseOperator(linear_phases(shape), RNG.integers(0, 3, shape).astype(float))
    image = smooth(shape, coarse)
    rough, expected = fine.coarse(fine.forward(image), coarse)
    np.testing.assert_allclose(rough.forward(coarse_image(image, coarse)), expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "coarse"), SHAPES)
def test_coarse_maps_are_no_more_than_half_a_pixel_off(shape, coarse):
    found = coarse_maps(linear_phases(shape), coarse)
    for (q_y, q_x), error in zip(CYCLES, np.angle(found / linear_phases(coarse)), strict=True):
        assert np.abs(error).max() <= np.pi * (abs(q_y) / shape[1] + abs(q_x) / shape[2]) + 1e-12


@pytest.mark.parametrize(("n_y", "n_x"), [(32, 36), (33, 35), (64, 69)])
def test_middle_keeps_the_centre(n_y, n_x):
    image = np.zeros((1, 65, 70), complex)
    image[0, 32, 35] = 1
    cropped = crop_kspace(image, (1, n_y, n_x))
    assert cropped.shape == (1, n_y, n_x)
    assert cropped[0, n_y // 2, n_x // 2] == 1
    np.testing.assert_allclose(crop_kspace(fft(ifft(image)), (1, n_y, n_x)), cropped, atol=1e-12)
