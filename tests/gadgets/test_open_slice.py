import numpy as np
import pytest

from nilatron.core.kspace import KSpaceAccumulator
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.open_slice import OpenSlice
from nilatron.gadgets.placement import Readout

N_X, N_Y = 12, 8


@pytest.fixture
def one(make_line):
    return OpenSlice(KSpaceAccumulator(2, (1, N_Y, N_X), np), make_line(np.zeros((2, N_X))).getHead())


def test_the_head_is_that_of_the_line_nearest_to_the_centre(one, make_line):
    for y in (0, 5, N_Y // 2, 3, N_Y - 1):
        one.look_at(make_line(np.zeros((2, N_X)), y=y), (0, y))
    assert (one.head.idx.kspace_encode_step_1, one.distance) == (N_Y // 2, 0)


@pytest.mark.parametrize(("echoes", "n_told"), [((6, 6, 6), 0), ((6, 5, 7), 0), ((6, 4, 9), 2), ((4, 6, 6), 2)])
def test_unlike_echoes_are_told_once_and_counted(one, echoes, n_told):
    scan_log = ScanLog()
    for number, echo in enumerate(echoes):
        one.check_echo(Readout(np.ones((2, N_X), np.complex64), echo, 0, 0, number), scan_log)
    assert len(scan_log.problems) == bool(n_told)
    assert sum(scan_log.counts.values()) == n_told
    assert all(f"others of its image have it at {echoes[0]}" in problem for problem in scan_log.problems)
