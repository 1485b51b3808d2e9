from dataclasses import replace
from itertools import pairwise

import ismrmrd
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.pipelines.server.admission import estimate_bytes
from nilatron.pipelines.server.metering import STEP, LineMeter
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(matrix=(32, 32, 1), n_coils=4, n_slices=3)


def line(*, n_channels=4, slice_=0, flag=None, encoding=0):
    made = ismrmrd.Acquisition()
    made.resize(32, n_channels)
    made.idx.slice = slice_
    made.encoding_space_ref = encoding
    if flag:
        made.set_flag(flag)
    return made


@pytest.fixture
def metered():
    """Pass lines through a meter for a scan; what was asked for."""
    header, _ = simulate_items(SCAN)

    def run(lines, admitted=None, refuse_from=float("inf")):
        asked = []

        def ask(n_bytes):
            asked.append(n_bytes)
            if n_bytes > refuse_from:
                raise ScanError("too much")

        meter = LineMeter(estimate_bytes(header, 0) if admitted is None else admitted, ask)
        passed = list(meter(lines, Context(header)))
        assert passed == list(lines)
        return asked, meter

    return run


@pytest.mark.parametrize(
    "changes", [{}, {"n_slices": 1}, {"matrix": (32, 32, 2), "n_slices": 1}, {"n_repetitions": 3, "n_averages": 2}]
)
def test_a_scan_as_its_header_says_asks_for_nothing(changes):
    header, items = simulate_items(replace(SCAN, **changes))
    meter = LineMeter(estimate_bytes(header, 0), lambda _: pytest.fail("more than the header says"))
    assert len(list(meter(items, Context(header)))) > 0
    assert meter.needed_bytes == meter.admitted_bytes


@pytest.mark.parametrize(
    "lines",
    [
        [line(n_channels=128)],
        [line(slice_=number) for number in range(2000)],
        [line(), line(n_channels=64, slice_=1), line(n_channels=1000)],
    ],
)
def test_channels_and_slices_beyond_the_header_are_asked_for(metered, lines):
    asked, meter = metered(lines)
    assert asked
    assert meter.needed_bytes <= meter.admitted_bytes == asked[-1]
    assert all(later >= STEP * earlier for earlier, later in pairwise(asked))


def test_what_is_refused_ends_the_scan(metered):
    with pytest.raises(ScanError, match="too much"):
        metered([line(n_channels=1000)], refuse_from=1 << 20)


@pytest.mark.parametrize("odd", [line(n_channels=1024, flag=ismrmrd.ACQ_IS_NOISE_MEASUREMENT), line(encoding=7)])
def test_lines_that_begin_no_image_do_not_count(metered, odd):
    assert metered([odd, ismrmrd.Waveform()])[0] == []


def test_an_image_counts_once(metered):
    _, once = metered([line()])
    _, again = metered([line(), line(), line(n_channels=2)])
    assert once.needed_bytes == again.needed_bytes
