import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nilatron.core.backend import complex_normal, to_torch
from nilatron.core.coils.moved import MovedSettings, moved, shift_of_calibration
from nilatron.core.fft import ifft
from nilatron.core.kspace import centre_block
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.recon import estimate_coil_maps
from nilatron.core.sense import SenseOperator

SHAPE = (1, 96, 80)


def measured(truth, maps, seed):
    """Full k-space with noise of variance 1."""
    clean = SenseOperator(maps, np.ones(truth.shape, np.float32)).forward(truth.astype(np.complex64))
    return clean + complex_normal(np.random.default_rng(seed), clean.shape, clean)


def textured(shape, seed=0):
    texture = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return 100 * phantom(shape) * (1 + 2 * texture / texture.std())


def every(acceleration, shape=SHAPE):
    counts = np.zeros(shape, np.float32)
    counts[:, shape[1] // 2 % acceleration :: acceleration] = 1
    return counts


def calibration_of(full, pixels):
    """The centre of a scan whose field of view had moved by some pixels (z, y, x)."""
    return centre_block(moved(full, tuple(p / n for p, n in zip(pixels, full.shape[1:], strict=True))), 24)


@pytest.fixture(scope="module")
def scene():
    maps = coil_maps(8, SHAPE)
    return textured(SHAPE), maps, measured(textured(SHAPE), maps, 1), measured(textured(SHAPE), maps, 2)


def test_kspace_of_a_moved_object_is_that_of_its_moved_image():
    full = measured(textured(SHAPE), coil_maps(3, SHAPE), 0)
    expected = np.roll(ifft(full), (3, -2), axis=(2, 3))
    np.testing.assert_allclose(ifft(moved(full, (0.0, 3 / 96, -2 / 80))), expected, atol=1e-3)


@pytest.mark.parametrize("acceleration", [2, 3])
@pytest.mark.parametrize("pixels", [(0, 2, 2), (0, -3, 0), (0, 0, 1.5)])
def test_a_moved_field_of_view_is_found(scene, acceleration, pixels):
    *_, full, other = scene
    counts = every(acceleration)
    found = shift_of_calibration(calibration_of(other, pixels), full * counts, counts)
    assert found is not None
    np.testing.assert_allclose(np.multiply(found, SHAPE), np.negative(pixels), atol=0.4)


def test_few_lines_tell_a_move_along_the_readout(scene):
    *_, full, other = scene
    counts = every(4)
    found = shift_of_calibration(calibration_of(other, (0, 0, 2)), full * counts, counts)
    assert found is not None
    assert 80 * found[2] == pytest.approx(-2, abs=0.3)


@pytest.mark.parametrize("acceleration", [2, 4])
def test_calibration_of_the_same_place_stays(scene, acceleration):
    _, maps, full, other = scene
    counts = every(acceleration)
    flat = measured(100 * phantom(SHAPE), maps, 3)
    unchecked = MovedSettings(agreement=0)
    for calibration in (full, other, 3 * other, flat):
        block = centre_block(calibration, 24)
        assert shift_of_calibration(block, full * counts, counts) is None
        assert shift_of_calibration(block, full * counts, counts, settings=unchecked) is None


def test_a_subject_that_moves_between_coils_that_stay_moves_no_maps(scene):
    truth, maps, full, _ = scene
    counts = every(2)
    subject = measured(np.roll(truth, (2, 2), axis=(1, 2)), maps, 4)
    assert shift_of_calibration(centre_block(subject, 24), full * counts, counts) is None


def test_a_volume_moves_along_three_axes():
    shape = (20, 40, 36)
    maps = coil_maps(8, shape)
    full, other = (measured(textured(shape), maps, seed) for seed in (1, 2))
    counts = every(2, shape)
    calibration = centre_block(moved(other, (0.05, 0.03, -0.04)), 16)
    np.testing.assert_allclose(
        shift_of_calibration(calibration, full * counts, counts), (-0.05, -0.03, 0.04), atol=0.01
    )


def test_one_coil_or_no_signal_moves_nothing(scene):
    full, counts = scene[2], every(2)
    block = calibration_of(full, (0, 2, 2))
    assert shift_of_calibration(block[:1], full[:1] * counts, counts) is None
    assert shift_of_calibration(0 * block, full * counts, counts) is None
    assert shift_of_calibration(block, 0 * full, counts) is None
    assert shift_of_calibration(block, 0 * full, 0 * counts) is None


def test_a_calibration_that_is_not_finite_is_refused_as_such(scene):
    full, counts = scene[2], every(2)
    block = calibration_of(full, (0, 2, 2))
    block[0, 0, 3, 4] = np.nan
    assert shift_of_calibration(block, full * counts, counts) is None
    with pytest.raises(ValueError, match="NaN"):
        estimate_coil_maps(full * counts, counts, block)


def test_tensors_give_the_same_shift(scene):
    full, counts = scene[2], every(3)
    block = calibration_of(scene[3], (0, 2, 2))
    expected = shift_of_calibration(block, full * counts, counts)
    found = shift_of_calibration(to_torch(block), to_torch(full * counts), counts)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_maps_of_a_moved_calibration_are_those_of_the_lines(scene):
    *_, full, other = scene
    counts = every(3)
    lines = full * counts
    right, source = estimate_coil_maps(lines, counts, centre_block(other, 24))
    assert source == "calibration"
    found, source = estimate_coil_maps(lines, counts, calibration_of(other, (0, 2, 2)))
    assert source == "calibration, moved"
    inside = np.abs(phantom(SHAPE)) > 0.1
    alike = np.abs(np.sum(found.conj() * right, axis=0))[inside]
    assert np.mean(alike) > 0.999
