import numpy as np
import pytest

from nilatron.core.backend import to_torch
from nilatron.core.quality.ambiguity import ambiguity


def counts_of(acceleration, n_central=0, n_z=1, n=96):
    counts = np.zeros((n_z, n, 8), np.float32)
    counts[:, n // 2 % acceleration :: acceleration] = 1
    counts[:, n // 2 - n_central // 2 : n // 2 + n_central // 2] = 1
    return counts


@pytest.mark.parametrize("acceleration", [2, 3, 4])
def test_one_grid_repeats_itself(acceleration):
    assert ambiguity(counts_of(acceleration)) == pytest.approx(1)


def test_central_lines_tell_aliases_apart():
    values = [ambiguity(counts_of(3, n_central)) for n_central in (0, 4, 8, 16, 24)]
    assert values[0] == pytest.approx(1)
    assert values[:3] == sorted(values[:3], reverse=True)
    assert max(values[3:]) < 0.25


def test_random_lines_tell_aliases_apart():
    counts = np.zeros((1, 96, 8), np.float32)
    counts[:, np.random.default_rng(0).choice(96, 48, replace=False)] = 1
    assert ambiguity(counts) < 0.7


def test_a_volume_repeats_itself_along_either_axis():
    counts = counts_of(1, n_z=32)
    counts[1::2] = 0
    assert ambiguity(counts) == pytest.approx(1)
    assert ambiguity(counts_of(1, n_z=32)) < 0.3


def test_nothing_acquired_tells_nothing():
    assert ambiguity(np.zeros((1, 32, 8))) == 1


def test_arrays_of_torch_are_taken():
    assert ambiguity(to_torch(counts_of(2))) == pytest.approx(1)
