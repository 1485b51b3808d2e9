from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nilatron.core.backend import complex_normal, to_numpy, to_torch
from nilatron.core.coils.refined import RefinementSettings, refined_maps
from nilatron.core.fft import ifft
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.sense import SenseOperator

SHAPE, N_COILS = (1, 96, 80), 6
LARGE = 0.2  # of a wrong map, against one


def unit(maps):
    return maps / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))


def error(maps, truth):
    """Of the lines that the maps span at each pixel: their phase and size are free."""
    inner = np.abs(np.sum(maps.conj() * truth, axis=0))
    inside = np.abs(phantom(SHAPE)) > 0.1
    return float(np.sqrt(np.mean(np.maximum(1 - inner**2, 0)[inside])))


@pytest.fixture
def scan():
    """True maps and image, smoothly wrong maps, and the measurement by these of every third line and the central four."""
    rng = np.random.default_rng(0)
    truth = unit(coil_maps(N_COILS, SHAPE)).astype(np.complex64)
    texture = gaussian_filter(rng.standard_normal(SHAPE), 1.0)
    image = (100 * phantom(SHAPE) * (1 + texture / texture.std())).astype(np.complex64)
    spectrum = np.zeros((N_COILS, *SHAPE), np.complex64)
    spectrum[:, :, 46:51, 38:43] = complex_normal(rng, (N_COILS, 1, 5, 5), image)
    change = ifft(spectrum)
    wrong = unit(truth + LARGE * change / np.sqrt(np.mean(np.sum(np.abs(change) ** 2, axis=0)))).astype(np.complex64)
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::3] = counts[:, 46:50] = 1
    right = SenseOperator(truth, counts)
    clean = right.forward(image)
    data = clean + right.weights * complex_normal(rng, clean.shape, clean)
    return truth, image, SenseOperator(wrong, counts), data


def test_the_true_image_corrects_wrong_maps(scan):
    truth, image, operator, data = scan
    found = refined_maps(operator, data, image)
    assert found.maps is not None
    assert error(found.maps, truth) < 0.2 * error(operator.coil_maps, truth)
    assert found.gain > 100
    assert found.after < 0.1 * found.before


def test_an_image_with_errors_still_makes_them_better(scan):
    truth, image, operator, data = scan
    image = image + 10 * complex_normal(np.random.default_rng(1), SHAPE, image) * (image != 0)
    found = refined_maps(operator, data, image)
    assert error(found.maps, truth) < 0.7 * error(operator.coil_maps, truth)


def test_right_maps_stay_as_they_are(scan):
    truth, image, operator, data = scan
    found = refined_maps(SenseOperator(truth, operator.counts), data, image)
    assert found.maps is None
    assert found.before == pytest.approx(1, abs=0.05)


def test_support_norm_and_phase_are_those_of_the_maps_before(scan):
    _, image, operator, data = scan
    inside = np.abs(phantom(SHAPE)) > 0
    before = (operator.coil_maps * inside).astype(np.complex64)
    found = refined_maps(SenseOperator(before, operator.counts), data, image).maps
    np.testing.assert_allclose(np.sum(np.abs(found) ** 2, axis=0), inside, atol=1e-5)
    inner = np.sum(before.conj() * found, axis=0)[inside]
    assert np.max(np.abs(inner.imag)) < 1e-5
    assert inner.real.min() > 0


def test_only_samples_around_dc_matter(scan):
    _, image, operator, data = scan
    settings = RefinementSettings(window=32)
    other = data.copy()
    other[:, :, : 48 - 16] *= 3
    np.testing.assert_array_equal(
        refined_maps(operator, data, image, settings).maps, refined_maps(operator, other, image, settings).maps
    )


def test_units_change_nothing(scan):
    _, image, operator, data = scan
    one = refined_maps(operator, data, image)
    averaged = SenseOperator(operator.coil_maps, 4 * operator.counts)
    np.testing.assert_allclose(refined_maps(averaged, 2 * data, image).maps, one.maps, atol=1e-4)
    np.testing.assert_allclose(refined_maps(operator, 50 * data, 50 * image).maps, one.maps, atol=1e-4)


def test_torch_gives_what_numpy_gives(scan):
    _, image, operator, data = scan
    expected = refined_maps(operator, data, image)
    other = SenseOperator(to_torch(operator.coil_maps), to_torch(operator.counts))
    found = refined_maps(other, to_torch(data), to_torch(image))
    np.testing.assert_allclose(to_numpy(found.maps), expected.maps, atol=1e-4)
    assert found.gain == pytest.approx(expected.gain, rel=1e-3)


def test_corrections_that_explain_too_little_are_not_made(scan):
    _, image, operator, data = scan
    found = refined_maps(operator, data, image)
    share = 1 - found.after / found.before
    assert refined_maps(operator, data, image, RefinementSettings(fall=share - 0.01)).maps is not None
    refused = refined_maps(operator, data, image, RefinementSettings(fall=share + 0.01))
    assert (refused.maps, refused.after) == (None, found.after)
    assert refined_maps(operator, data, image, replace(RefinementSettings(), gain=found.gain + 1)).maps is None


@pytest.mark.parametrize("shape", [(1, 24, 32), (1, 9, 70)])
def test_small_matrices_fit(shape):
    maps = unit(coil_maps(4, shape)).astype(np.complex64)
    operator = SenseOperator(maps, np.ones(shape, np.float32))
    image = (100 * phantom(shape)).astype(np.complex64)
    found = refined_maps(operator, operator.forward(image)[::-1], image)
    assert found.maps is None or np.isfinite(found.maps).all()


def test_nothing_corrects_nothing(scan):
    _, image, operator, data = scan
    assert refined_maps(operator, data, 0 * image).maps is None
    assert refined_maps(operator, 0 * data, 0 * image).maps is None


def test_volumes_are_refused():
    shape = (4, 16, 16)
    operator = SenseOperator(coil_maps(3, shape), np.ones(shape, np.float32))
    with pytest.raises(ValueError, match="one slice"):
        refined_maps(operator, operator.coil_maps, operator.coil_maps[0])
