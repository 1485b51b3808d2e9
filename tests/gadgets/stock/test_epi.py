import ismrmrd
import numpy as np
import pytest

from nilatron.core.epi.trapezoid import Trapezoid
from nilatron.core.fft import fft, ifft
from nilatron.gadgets.epi.correct import EpiLines
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS

N = 32
LOBE = Trapezoid(60, 200, 60)
FLAWS = {"shift": 0.7, "phase": 0.5}


def through(names, items, header, **properties):
    stream, context = iter(items), Context(header)
    for name in names:
        stream = STOCK_GADGETS[name](properties.get(name, {}))(stream, context)
    return list(stream)


def test_lines_along_x_are_those_of_the_regridded_line(epi_scan):
    scan = epi_scan(LOBE)
    lines = scan.imaging()
    found = through(["EPIReconXGadget"], lines, scan.header)
    assert [line.number_of_samples for line in found] == [N] * N
    assert [line.center_sample for line in found] == [N // 2] * N
    assert [line.is_flag_set(ismrmrd.ACQ_IS_REVERSE) for line in found] == [False, True] * (N // 2)
    own = list(EpiLines().lines(iter(lines), Context(scan.header)))
    profile = ifft(np.asarray(own[5].data), axes=(-1,))[:, N // 2 : N // 2 + N]
    np.testing.assert_allclose(found[5].data, profile, atol=1e-5)


def test_lines_without_ramps_and_of_other_encodings_are_transformed(epi_scan):
    scan = epi_scan(LOBE, stated={"rampUpTime": 0, "rampDownTime": 0})
    scan.lobe = None
    line = scan.imaging()[0]
    (found,) = through(["EPIReconXGadget"], [line], scan.header)
    np.testing.assert_allclose(found.data, ifft(line.data, axes=(-1,))[:, N // 2 : N // 2 + N], atol=1e-6)


@pytest.mark.parametrize("first", ["navigators", "lines"])
def test_the_chain_of_a_site_removes_the_ghost(epi_scan, first):
    scan = epi_scan(LOBE, **FLAWS)
    navigators, imaging = scan.navigators(), scan.imaging()
    lines = [*navigators, *imaging] if first == "navigators" else [*imaging, *navigators]
    names = ["EPIReconXGadget", "EPICorrGadget", "FFTXGadget"]
    found = through(names, lines, scan.header)
    assert len(found) == N
    assert not any(line.is_flag_set(ismrmrd.ACQ_IS_REVERSE) for line in found)
    (item,), log = scan.slices(found, regridded=True)
    assert scan.ghost(item) < 0.003
    assert not log.problems
    uncorrected = through(names, lines, scan.header, EPICorrGadget={"OEPhaseCorrectionMode": "none"})
    (item,), _ = scan.slices(uncorrected, regridded=True)
    assert scan.ghost(item) > 0.02


def test_the_phase_from_echo_to_echo_is_removed_in_its_mode(epi_scan):
    scan, still = epi_scan(LOBE, evolution=0.1), epi_scan(LOBE)
    names = ["EPIReconXGadget", "EPICorrGadget"]
    expected = through(names, still.lines, still.header)
    for mode, close in (("mean", True), ("linear", True), ("none", False)):
        found = through(names, scan.lines, scan.header, EPICorrGadget={"B0CorrectionMode": mode})
        turn = np.exp(0.3j)  # of the first line: it comes after three navigators
        error = max(np.abs(a.data - turn * b.data).max() for a, b in zip(found, expected, strict=True))
        assert bool(error < 1e-3 * np.abs(expected[N // 2].data).max()) is close


def test_other_encodings_and_noise_pass_the_correction(epi_scan, make_line):
    scan = epi_scan(LOBE)
    other = make_line(np.ones((3, 5)), encoding_space_ref=1)
    other.encoding_space_ref = 1
    items = [make_line(np.ones((3, 7)), ismrmrd.ACQ_IS_NOISE_MEASUREMENT), other, ismrmrd.Waveform()]
    assert through(["EPICorrGadget"], items, scan.header) == items


def test_what_the_gadgets_need_of_the_header_is_named(epi_scan, scan_header, make_line):
    plain, line = scan_header((64, 32, 1)), make_line(np.ones((3, 64)))
    for name in ("EPIReconXGadget", "EPICorrGadget"):
        with pytest.raises(ScanError, match=f"{name}: .* no trajectoryDescription 'ConventionalEPI'"):
            through([name], [line], plain)
    with pytest.raises(ScanError, match="numberOfNavigators is 2"):
        through(["EPICorrGadget"], [line], epi_scan(LOBE, n_navigators=2).header)
    with pytest.raises(ScanError, match="1 lines have no 3 navigators"):
        through(["EPICorrGadget"], [line], epi_scan(LOBE).header)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("B0CorrectionMode", "polynomial"),
        ("OEPhaseCorrectionMode", "cubic"),
        ("navigatorParameterFilterLength", "5"),
    ],
)
def test_values_that_cannot_be_used_are_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        STOCK_GADGETS["EPICorrGadget"]({name: value})


def test_back_to_k_space_and_one_encoding(make_line):
    data = np.random.default_rng(0).standard_normal((2, 9))
    line = make_line(data)
    line.encoding_space_ref = 1
    back, one = (list(STOCK_GADGETS[name]({})([line, "x"], None)) for name in ("FFTXGadget", "OneEncodingGadget"))
    np.testing.assert_allclose(back[0].data, fft(data.astype(np.complex64), axes=(-1,)), atol=1e-6)
    assert one[0].encoding_space_ref == 0
    assert line.encoding_space_ref == 1
    assert back[1] == one[1] == "x"
