import numpy as np
import pytest

from nilatron.core.backend import to_numpy, to_torch
from nilatron.core.coils.window import Window, whole_axes


def kspace_of(shape, n_coils=2):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n_coils, *shape)) + 1j).astype(np.complex64)


def test_the_grid_holds_the_samples_around_dc_and_a_margin_of_zeros():
    kspace, counts = kspace_of((1, 20, 31)), np.ones((1, 20, 31), np.float32)
    window = Window.of(kspace, counts, (8, 4), 4)
    assert window.data.shape == (2, 1, 12, 12)
    centred = np.fft.fftshift(window.data, axes=(2, 3))
    np.testing.assert_array_equal(centred[..., 2:10, 2:10], kspace[:, :, 6:14, 11:19])
    np.testing.assert_array_equal(window.data[..., 0, 0], kspace[:, :, 10, 15])
    assert np.count_nonzero(window.data[0]) == window.n_measured == 64


@pytest.mark.parametrize(("shape", "grid"), [((1, 6, 40), (1, 6, 12)), ((16, 40, 40), (8, 8, 8))])
def test_short_axes_are_kept_whole_and_volumes_have_their_own_side(shape, grid):
    assert Window.of(kspace_of(shape), np.ones(shape, np.float32), (8, 4), 4).counts.shape == (1, *grid)


def test_counts_are_1_on_average_where_there_are_data():
    counts = np.zeros((1, 16, 16), np.float32)
    counts[:, ::2] = 3
    counts[:, 8] = 6
    window = Window.of(kspace_of((1, 16, 16)) * counts, counts, (8, 8), 0)
    acquired = window.counts[window.counts > 0]
    assert len(acquired) == window.n_measured == 32
    assert acquired.mean() == pytest.approx(1)
    assert acquired.max() / acquired.min() == pytest.approx(2)


def test_no_samples_are_no_error():
    window = Window.of(0 * kspace_of((1, 16, 16)), np.zeros((1, 16, 16), np.float32), (8, 8), 4)
    assert window.n_measured == 0
    assert not window.counts.any()


def test_tensors_give_the_same_window():
    kspace, counts = kspace_of((1, 16, 18)), np.ones((1, 16, 18), np.float32)
    expected = Window.of(kspace, counts, (8, 8), 4)
    found = Window.of(to_torch(kspace), to_torch(counts), (8, 8), 4)
    np.testing.assert_array_equal(to_numpy(found.data), expected.data)
    np.testing.assert_array_equal(to_numpy(found.counts), expected.counts)


def test_there_is_no_margin_along_whole_axes():
    kspace, counts = kspace_of((1, 20, 31)), np.ones((1, 20, 31), np.float32)
    window = Window.of(kspace, counts, (8, 4), 4, (-1,))
    centred = np.fft.fftshift(window.data, axes=(2, 3))
    np.testing.assert_array_equal(centred[:, :, 2:10], kspace[:, :, 6:14, 9:21])
    assert window.whole == (-1,)
    assert window.n_measured == 8 * 12


@pytest.mark.parametrize(
    ("sampled", "whole"),
    [
        (np.s_[:, ::2], (-3, -1)),
        (np.s_[..., ::3], (-3, -2)),
        (np.s_[:, ::2, 7:], (-3,)),
        (np.s_[:, ::2, 3:], (-3, -1)),
        (np.s_[:], (-3, -2, -1)),
    ],
    ids=["lines", "columns", "readouts that end early", "beyond the centre", "all"],
)
def test_readouts_are_whole_axes(sampled, whole):
    counts = np.zeros((1, 20, 20), np.float32)
    counts[sampled] = 2
    assert whole_axes(counts, 12) == whole
