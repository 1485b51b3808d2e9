import math

import numpy as np
import pytest

from nilatron.pipelines.archive.pixels import MAX_STORED, largest, scaling_of, slope_of


@pytest.mark.parametrize(
    "brightest", [1e-6, 0.029, 0.3, 1.0, 32.767, 50.0, 3276.7, 65534.0, 1e6, *np.geomspace(0.1, 1e4, 23)]
)
def test_the_slope_is_the_finest_round_one_that_holds_the_brightest_pixel(brightest):
    slope = slope_of(float(brightest))
    digit = slope / 10.0 ** math.floor(math.log10(slope) + 1e-9)
    assert round(digit, 9) in (1, 2, 5)
    assert float(f"{slope:g}") == slope
    assert MAX_STORED / 2.5 * (1 - 1e-9) <= brightest / slope <= MAX_STORED


def test_a_series_of_zeros_is_stored_as_zeros():
    scaling = scaling_of(0.0, [np.zeros((1, 4, 4), np.float32)])
    assert not scaling.stored(np.zeros((4, 4))).any()
    assert scaling.white > 0


@pytest.mark.parametrize("top", [0.02, 0.9, 4.0, 4000.0, 1e6])
def test_pixels_survive_to_half_a_step_of_more_than_ten_thousand(top):
    pixels = np.linspace(0, top, 500, dtype=np.float32).reshape(20, 25)
    scaling = scaling_of(largest(pixels), [pixels])
    stored = scaling.stored(pixels)
    assert 10_000 < stored.max() <= MAX_STORED
    assert np.abs(stored * scaling.slope - pixels).max() <= 0.501 * scaling.slope


def test_one_image_sets_the_slope_of_all_and_all_set_the_window():
    dark, bright = np.full((1, 10, 10), 2.0, np.float32), np.full((1, 10, 10), 30.0, np.float32)
    scaling = scaling_of(30.0, [dark, bright])
    assert scaling.slope == slope_of(30.0)
    assert scaling.white == pytest.approx(30, abs=scaling.slope)
    many = scaling_of(30.0, [dark] * 300 + [bright])
    assert many.white == pytest.approx(2, abs=many.slope)


def test_values_that_are_not_finite_are_black_and_set_nothing():
    pixels = np.array([[1.0, np.nan], [np.inf, -np.inf]])
    assert largest(pixels) == 1
    scaling = scaling_of(1.0, [pixels])
    np.testing.assert_array_equal(scaling.stored(pixels)[[0, 1, 1], [1, 0, 1]], 0)


def test_negative_pixels_keep_their_sign_and_zero_is_in_the_middle_of_the_window(image, datasets):
    pixels = np.linspace(-3, 3, 600, dtype=np.float32).reshape(1, 20, 30)
    (data,) = datasets(image(pixels=pixels))
    assert data.PixelRepresentation == 1
    assert np.abs(data.pixel_array * float(data.RescaleSlope) - pixels[0]).max() <= float(data.RescaleSlope)
    assert shown(data, np.array([-3.0, 0.0, 3.0])) == pytest.approx([0, 0.5, 1], abs=0.01)


def shown(data, values):
    """Brightness from 0 to 1 by DICOM PS3.3 C.11.2.1.2.1, the LINEAR function."""
    centre, width = float(data.WindowCenter), float(data.WindowWidth)
    assert width >= 1
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


@pytest.mark.parametrize("top", [0.02, 0.7, 300.0])
def test_the_window_goes_from_zero_to_white_even_where_that_is_less_than_one(image, datasets, top):
    (data,) = datasets(image(pixels=np.full((1, 20, 30), top, np.float32)))
    assert "VOILUTFunction" not in data
    assert shown(data, np.array([0, top / 2, top])) == pytest.approx([0, 0.5, 1], abs=2e-3)
