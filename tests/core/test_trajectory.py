import numpy as np
import pytest

from nilatron.core.trajectory import leaves_the_grid

N = 64
K = (np.arange(N) - N // 2) / N


def spoke(angle):
    return np.stack([K * np.cos(angle), K * np.sin(angle)], axis=1)


def spiral(turns=10, n=400):
    t = np.linspace(0, 1, n)
    return np.stack([t * np.cos(2 * np.pi * turns * t), t * np.sin(2 * np.pi * turns * t)], axis=1)


@pytest.mark.parametrize("units", [1.0, 64.0, 266.7])
@pytest.mark.parametrize("direction", [1, -1])
def test_lines_along_the_grid_run_along_it_in_any_units(units, direction):
    path = units * direction * np.stack([K, np.full(N, 0.3), np.full(N, -0.1)], axis=1)
    assert leaves_the_grid(path.astype(np.float32)) == (None, 0)
    assert leaves_the_grid(path[:, ::-1]) == (None, 2)
    assert leaves_the_grid(path[:, :1]) == (None, 0)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (spoke(0.4), "more than one axis"),
        (spoke(0.02), "more than one axis"),
        (spiral(), "more than one axis"),
        (np.sign(K)[:, None] * np.abs(K[:, None]) ** 1.5, "not equidistant"),
    ],
    ids=["spoke", "nearly along", "spiral", "ramps"],
)
def test_smooth_paths_off_the_grid_are_named(path, problem):
    assert problem in leaves_the_grid(path)[0]


def test_paths_that_say_nothing():
    rng = np.random.default_rng(0)
    for path in (
        rng.standard_normal((N, 2)),
        np.zeros((N, 3)),
        np.ones((N, 2)),
        spoke(1.0)[:5],
        np.full((N, 2), np.nan),
    ):
        assert leaves_the_grid(path) == (None, None)


def test_small_deviations_are_no_other_trajectory():
    rng = np.random.default_rng(0)
    assert leaves_the_grid(spoke(0.0) + 0.1 / N * rng.standard_normal((N, 2))) == (None, 0)
