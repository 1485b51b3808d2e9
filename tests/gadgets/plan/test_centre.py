import numpy as np
import pytest

from nilatron.core.fft import fft
from nilatron.core.phantom import coil_maps, phantom
from nilatron.gadgets.plan.centre import centre_shift, moved

SHAPE = (12, 48, 32)


@pytest.fixture(scope="module")
def full():
    """K-space (coil, z, y, x) of a head, its centre at n // 2."""
    return fft(coil_maps(3, SHAPE) * phantom(SHAPE)).astype(np.complex64)


def sampled(full, rows_y=slice(None), rows_z=slice(None)):
    counts = np.zeros(SHAPE, np.float32)
    counts[rows_z, rows_y] = 1
    return full * counts, counts


@pytest.mark.parametrize("rows", [slice(None), slice(0, None, 2), slice(1, None, 3), slice(12, None), slice(0, 30)])
def test_a_centre_that_is_right_stays(full, rows):
    assert centre_shift(*sampled(full, rows)) == (0, 0, 0)


def test_an_object_that_moves_its_strongest_row_a_little_moves_nothing(full):
    assert centre_shift(*sampled(np.roll(full, 2, axis=2))) == (0, 0, 0)


def test_noise_and_nothing_have_no_centre(full):
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal(full.shape) + 1j * rng.standard_normal(full.shape)).astype(np.complex64)
    assert centre_shift(*sampled(noise)) == (0, 0, 0)
    assert centre_shift(*sampled(0 * full)) == (0, 0, 0)
    assert centre_shift(full, np.zeros(SHAPE, np.float32)) == (0, 0, 0)


@pytest.mark.parametrize("shift", [(0, -12), (-3, 0), (-3, -12), (3, 6)])
def test_the_strongest_row_is_brought_to_the_centre(full, shift):
    rows_z = slice(max(shift[0], 0), SHAPE[0] + min(shift[0], 0))
    rows_y = slice(max(shift[1], 0), SHAPE[1] + min(shift[1], 0))
    right, counts = sampled(
        full,
        slice(-min(shift[1], 0), SHAPE[1] - max(shift[1], 0)),
        slice(-min(shift[0], 0), SHAPE[0] - max(shift[0], 0)),
    )
    given = np.roll(right, shift, axis=(1, 2)), np.roll(counts, shift, axis=(0, 1))
    assert given[1][rows_z, rows_y].all()
    found = centre_shift(*given)
    assert found == (-shift[0], -shift[1], 0)
    kspace, back = moved(*given, found)
    np.testing.assert_array_equal(kspace, right)
    np.testing.assert_array_equal(back, counts)


def test_a_spike_moves_nothing(full):
    kspace, counts = sampled(full, slice(0, None, 2))
    kspace = np.array(kspace)
    kspace[0, 4, 8, 5] += 100 * np.abs(full).max()
    assert centre_shift(kspace, counts) == (0, 0, 0)


def test_acquired_rows_do_not_leave_the_grid(full):
    assert moved(*sampled(full), (0, 5, 0)) is None
    assert moved(*sampled(full, slice(5, None)), (0, -5, 0)) is not None
    assert moved(*sampled(full, slice(5, None)), (0, -6, 0)) is None


@pytest.mark.parametrize("missing", [12, 14])
def test_an_echo_whose_centre_was_not_stated_is_found(full, missing):
    """Of an asymmetric echo that was put in the middle, as one without a centre is."""
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::2, missing:] = 1
    right = full * counts
    given = np.roll(right, -missing // 2, axis=3), np.roll(counts, -missing // 2, axis=2)
    assert centre_shift(*given) == (0, 0, missing // 2)
    np.testing.assert_array_equal(moved(*given, (0, 0, missing // 2))[0], right)


def test_whole_lines_have_their_centre_where_they_say(full):
    kspace, counts = sampled(full, slice(0, None, 2))
    assert centre_shift(np.roll(kspace, 6, axis=3), counts) == (0, 0, 0)
