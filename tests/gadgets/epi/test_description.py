import ismrmrd
import numpy as np
import pytest

from nilatron.core.epi.trapezoid import Trapezoid
from nilatron.gadgets.epi.description import is_epi, number_of_navigators, readout_gradient
from nilatron.gadgets.items import ScanError

WHOLE = {
    "rampUpTime": 60,
    "rampDownTime": 80,
    "flatTopTime": 200,
    "acqDelayTime": 10,
    "numSamples": 64,
    "dwellTime": 5.0,
}


@pytest.fixture
def encoding(scan_header, describe):
    def make(identifier="ConventionalEPI", **numbers):
        return describe(scan_header((64, 8, 1)), identifier, **numbers).encoding[0]

    return make


def test_the_numbers_are_those_of_the_header(encoding):
    gradient = readout_gradient(encoding(**WHOLE), 0)
    assert gradient.lobe == Trapezoid(60, 200, 80)
    assert (gradient.delay_us, gradient.dwell_us, gradient.n_samples) == (10, 5.0, 64)
    assert number_of_navigators(encoding(numberOfNavigators=3)) == 3
    assert number_of_navigators(encoding()) == 0


def test_encodings_without_ramps_have_no_gradient_to_regrid(encoding, scan_header):
    plain = scan_header((64, 8, 1)).encoding[0]
    assert readout_gradient(plain, 0) is None
    assert not is_epi(plain)
    flat = encoding(rampUpTime=0, rampDownTime=0, flatTopTime=200)
    assert readout_gradient(flat, 0) is None
    assert is_epi(flat)
    assert readout_gradient(encoding("HargreavesVDS2000", interleaves=8), 0) is None


@pytest.mark.parametrize("missing", ["rampUpTime", "rampDownTime", "flatTopTime"])
def test_half_a_trapezoid_is_refused_by_the_name_of_what_is_missing(encoding, missing):
    numbers = {name: value for name, value in WHOLE.items() if name != missing}
    with pytest.raises(
        ScanError, match=f"trajectoryDescription 'ConventionalEPI' states ramp sampling without {missing}"
    ):
        readout_gradient(encoding(**numbers), 0)


@pytest.mark.parametrize(("name", "value"), [("rampUpTime", -60), ("flatTopTime", -1), ("dwellTime", float("inf"))])
def test_impossible_numbers_are_refused(encoding, name, value):
    with pytest.raises(ScanError, match=f"trajectoryDescription.*{name} cannot be"):
        readout_gradient(encoding(**WHOLE | {name: value}), 0)


def test_ramps_of_an_unknown_identifier_are_refused(encoding):
    with pytest.raises(ScanError, match=r"trajectoryDescription 'SineEPI' states ramp sampling \(rampUpTime\)"):
        readout_gradient(encoding("SineEPI", rampUpTime=60), 0)


def test_ramps_under_another_name_are_refused(encoding):
    with pytest.raises(ScanError, match="states ramp sampling as ramp_up_us; expected rampUpTime, rampDownTime"):
        readout_gradient(encoding(ramp_up_us=60, ramp_down_us=60), 0)


def test_numbers_may_come_as_text_and_in_any_case(encoding):
    found = encoding(**{name.upper(): value for name, value in WHOLE.items() if name != "rampUpTime"})
    text = ismrmrd.xsd.userParameterStringType(name="rampUpTime", value="60")
    note = ismrmrd.xsd.userParameterStringType(name="shape", value="trapezoid")
    found.trajectoryDescription.userParameterString = [text, note]
    assert readout_gradient(found, 0) == readout_gradient(encoding(**WHOLE), 0)


def test_another_number_of_samples_is_refused(encoding):
    with pytest.raises(ScanError, match=r"numSamples says 64 .* a line has 60"):
        readout_gradient(encoding(**WHOLE), 0).positions(60, 5.0, 64)


@pytest.mark.parametrize(("delay", "dwell"), [(40, 5.0), (0, 6.0), (-20, 5.0)])
def test_samples_outside_the_gradient_are_refused(encoding, delay, dwell):
    gradient = readout_gradient(encoding(**WHOLE | {"acqDelayTime": delay, "dwellTime": dwell}), 0)
    with pytest.raises(ScanError, match=r"acqDelayTime .* rampUpTime, flatTopTime and rampDownTime make 340 us"):
        gradient.positions(64, 0.0, 64)


def test_the_dwell_time_of_the_lines_serves_where_none_is_stated(encoding):
    numbers = {name: value for name, value in WHOLE.items() if name != "dwellTime"}
    gradient, whole = readout_gradient(encoding(**numbers), 0), readout_gradient(encoding(**WHOLE), 0)
    np.testing.assert_array_equal(gradient.positions(64, 5.0, 64), whole.positions(64, 7.0, 64))
    with pytest.raises(ScanError, match="without dwellTime"):
        gradient.positions(64, 0.0, 64)


def test_samples_without_a_stated_delay_lie_in_the_middle(encoding):
    numbers = {name: value for name, value in WHOLE.items() if name != "acqDelayTime"}
    middle = readout_gradient(encoding(**numbers), 0).positions(64, 5.0, 64)
    stated = readout_gradient(encoding(**WHOLE), 0).positions(64, 5.0, 64)
    np.testing.assert_array_equal(middle, stated)  # (340 - 320) / 2 = 10
