import numpy as np
import pytest
import torch

from nilatron.core.kspace import KSpaceAccumulator, calibration_block, centre_block, centre_window


def line(value, n=8, n_coils=2):
    return np.full((n_coils, n), value, np.complex64)


def test_repeated_lines_are_averaged_and_counted():
    grid = KSpaceAccumulator(2, (1, 4, 8), np)
    for value in (1, 2, 6):
        grid.add(line(value), 0, 2, 0)
    grid.add(line(5j), 0, 0, 0)
    counts = grid.counts.copy()
    mean = grid.mean()
    assert np.all(counts[0, 2] == 3)
    assert np.all(counts[0, 0] == 1)
    assert np.all(counts[0, [1, 3]] == 0)
    assert np.all(mean[:, 0, 2] == 3)
    assert np.all(mean[:, 0, 0] == 5j)
    assert np.all(mean[:, 0, 1] == 0)


def test_only_usable_samples_count():
    grid = KSpaceAccumulator(2, (1, 1, 8), np)
    grid.add(line(1), 0, 0, 0, usable=(3, 8))
    assert grid.counts[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert not np.any(grid.mean()[..., :3])


def test_a_short_line_lands_at_its_columns_and_a_long_one_is_cut():
    grid = KSpaceAccumulator(2, (1, 1, 8), np)
    grid.add(line(1, n=4), 0, 0, 4)
    assert grid.counts[0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    grid = KSpaceAccumulator(2, (1, 1, 8), np)
    grid.add(np.arange(12)[None].repeat(2, 0).astype(np.complex64), 0, 0, -2)
    assert grid.mean()[0, 0, 0].real.tolist() == list(range(2, 10))


@pytest.mark.parametrize(("z", "y", "first_x"), [(0, 4, 0), (0, -1, 0), (1, 0, 0), (0, 0, 8)])
def test_lines_outside_the_grid_are_refused(z, y, first_x):
    with pytest.raises(ValueError, match="outside the grid"):
        KSpaceAccumulator(2, (1, 4, 8), np).add(line(1), z, y, first_x)


def test_another_number_of_coils_is_refused():
    with pytest.raises(ValueError, match="expected a line of 2 coils, got 3"):
        KSpaceAccumulator(2, (1, 4, 8), np).add(line(1, n_coils=3), 0, 0, 0)


def pattern(shape, acceleration, n_calibration):
    counts = np.zeros(shape, np.float32)
    centre = shape[1] // 2
    counts[:, centre % acceleration :: acceleration] = 1
    counts[:, centre - n_calibration // 2 : centre + -(-n_calibration // 2)] = 1
    return counts


@pytest.mark.parametrize("n_y", [64, 65, 230])
@pytest.mark.parametrize("n_calibration", [12, 24])
def test_the_block_is_fully_sampled_and_centred_on_dc(n_y, n_calibration):
    counts = pattern((1, n_y, 40), 4, n_calibration)
    kspace = np.zeros((3, 1, n_y, 40), np.complex64)
    kspace[:, 0, n_y // 2, 20] = 1
    block = calibration_block(kspace * counts, counts)
    assert n_calibration <= block.shape[2] <= n_calibration + 2
    assert np.argmax(np.abs(block[0, 0]).sum(axis=1)) == block.shape[2] // 2
    assert np.argmax(np.abs(block[0, 0]).sum(axis=0)) == block.shape[3] // 2


def test_a_volume_has_a_block_in_both_directions():
    counts = np.zeros((24, 48, 32), np.float32)
    counts[::2, ::2] = 1
    counts[6:18, 14:34] = 1
    block = calibration_block(np.ones((2, 24, 48, 32), np.complex64) * counts, counts)
    assert block.shape[1] >= 12
    assert block.shape[2] >= 20
    assert np.all(block == 1)


def test_a_fully_sampled_scan_calibrates_itself_up_to_the_bound():
    block = calibration_block(np.ones((2, 1, 64, 64), np.complex64), np.ones((1, 64, 64), np.float32), max_lines=24)
    assert block.shape == (2, 1, 24, 24)


@pytest.mark.parametrize("n_calibration", [0, 4])
def test_too_few_lines_are_no_calibration(n_calibration):
    counts = pattern((1, 64, 64), 4, n_calibration)
    assert calibration_block(np.ones((2, 1, 64, 64), np.complex64), counts) is None


def test_a_missing_centre_is_no_calibration():
    counts = np.ones((1, 64, 64), np.float32)
    counts[:, 32] = 0
    assert calibration_block(np.ones((2, 1, 64, 64), np.complex64), counts) is None


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_the_window_is_one_at_dc_and_leaves_single_planes_alone(make):
    counts = make(pattern((1, 64, 48), 1, 0))
    window = centre_window(make(np.zeros((2, 1, 64, 48), np.complex64)), counts)
    assert tuple(window.shape) == (1, 64, 48)
    assert float(window[0, 32, 24]) == 1
    assert float(window[0, 0, 24]) == pytest.approx(0, abs=0.02)


def test_the_mean_can_be_asked_for_again_and_lines_may_follow():
    grid = KSpaceAccumulator(2, (1, 4, 8), np)
    for value in (1, 3):
        grid.add(line(value), 0, 2, 0)
    assert np.array_equal(grid.mean(), grid.mean())
    grid.add(line(5), 0, 2, 0)
    assert np.all(grid.mean()[:, 0, 2] == 3)


@pytest.mark.parametrize("shape", [(1, 64, 65), (3, 20, 33), (40, 32, 32)])
def test_the_block_around_dc_keeps_dc_at_its_centre(shape):
    kspace = np.zeros((2, *shape), np.complex64)
    kspace[(slice(None), *(n // 2 for n in shape))] = 1
    block = centre_block(kspace, 32)
    assert block.shape == (2, *(min(n, 32) for n in shape))
    assert (block[(slice(None), *(n // 2 for n in block.shape[1:]))] == 1).all()
