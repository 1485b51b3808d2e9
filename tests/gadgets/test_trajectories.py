import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.trajectories import line_direction, on_a_grid

N = 32
ALONG = np.linspace(-0.5, 0.5, N, dtype=np.float32)


def spoke(angle, offset=0.0, n_dimensions=2):
    """A straight path at an angle, beside the centre by an offset."""
    path = np.zeros((N, n_dimensions), np.float32)
    path[:, 0] = ALONG * np.cos(angle) - offset * np.sin(angle)
    path[:, 1] = ALONG * np.sin(angle) + offset * np.cos(angle)
    return path


def spiral():
    return np.stack([ALONG * np.cos(20 * ALONG), ALONG * np.sin(20 * ALONG)], axis=1)


def ramp():
    return np.stack([np.sign(ALONG) * np.abs(2 * ALONG) ** 1.5 / 2, 0 * ALONG], axis=1)


@pytest.fixture
def run(scan_header, make_line):
    def passed(paths, *flags, stated=None):
        header = scan_header((N, N, 1))
        header.encoding[0].trajectory = stated
        lines = []
        for y, path in enumerate(paths):
            head = make_line(np.ones((2, N)), *flags, y=y).getHead()
            head.trajectory_dimensions = path.shape[1]
            lines.append(ismrmrd.Acquisition(head, np.ones((2, N), np.complex64), path.astype(np.float32)))
        return lines, list(on_a_grid([*lines, "anything"], Context(header)))

    return passed


GRIDS = {
    "none": [np.zeros((N, 0))] * 3,
    "zeros": [np.zeros((N, 2))] * 3,
    "not finite": [np.full((N, 2), np.nan)] * 3,
    "lines along x": [spoke(0, y / 3) for y in range(-1, 2)],
    "lines along y, with a weight": [np.add(spoke(np.pi / 2, y / 3, 3), (0, 0, 1)) for y in range(-1, 2)],
    "lines at an angle": [spoke(0.4, y / 3) for y in range(-1, 2)],
    "read to and fro": [spoke(0, -1 / 3), spoke(0, 0)[::-1], spoke(0, 1 / 3)],
    "a little uneven": [spoke(0) + 0.1 / N * np.sin(np.arange(N))[:, None]] * 3,
}


@pytest.mark.parametrize("kind", GRIDS)
def test_lines_of_a_grid_pass(run, kind):
    lines, passed = run(GRIDS[kind])
    assert passed == [*lines, "anything"]


OFF_GRID = {
    "radial": [spoke(angle) for angle in (0.0, 0.1, 0.2)],
    "radial, golden angle": [spoke(1.9416 * i) for i in range(3)],
    "spiral": [spiral()],
    "sampled on ramps": [spoke(0), ramp()],
    "there and back": [np.concatenate([spoke(0)[: N // 2], spoke(0)[: N // 2][::-1]])],
}


@pytest.mark.parametrize("kind", OFF_GRID)
def test_lines_off_a_grid_are_refused_where_no_trajectory_is_named(run, kind):
    with pytest.raises(ScanError, match="header names no trajectory, and the line's own is not on a grid"):
        run(OFF_GRID[kind])


@pytest.mark.parametrize("kind", OFF_GRID)
def test_a_named_trajectory_is_believed(run, kind):
    lines, passed = run(OFF_GRID[kind], stated=ismrmrd.xsd.trajectoryType.CARTESIAN)
    assert passed == [*lines, "anything"]


@pytest.mark.parametrize("flag", [ismrmrd.ACQ_IS_NAVIGATION_DATA, ismrmrd.ACQ_IS_NOISE_MEASUREMENT])
def test_lines_that_no_image_needs_may_run_anywhere(run, flag):
    lines, passed = run([spiral()], flag)
    assert passed == [*lines, "anything"]


def test_the_direction_of_a_line():
    assert np.allclose(line_direction(spoke(0.4)), (np.cos(0.4), np.sin(0.4)), atol=1e-6)
    assert line_direction(spiral()) is None
