import ismrmrd
import numpy as np
import pytest

from nilatron.core.epi.trapezoid import Trapezoid
from nilatron.gadgets.epi.readout import forward_line, ramp_sampling, unturned
from nilatron.gadgets.items import ScanError, ScanLog
from nilatron.gadgets.placement import Readout, readout_of

N = 32
SYMMETRIC, ASYMMETRIC = Trapezoid(60, 200, 60), Trapezoid(40, 200, 80)
ONE_WAY = {"directions": (False,), "n_navigators": 0}


@pytest.mark.parametrize(
    "settings",
    [
        {"lobe": SYMMETRIC},
        {"lobe": ASYMMETRIC},
        {"lobe": SYMMETRIC, "delay_us": 20, "dwell_us": 280 / 64},
        {"lobe": SYMMETRIC, "delay_us": 10, "dwell_us": 280 / 64},
        {"lobe": SYMMETRIC, "n_samples": 120, "dwell_us": 320 / 120},
        {"lobe": SYMMETRIC, "n_samples": 100, "dwell_us": 2.6, "stated": {"dwellTime": None}},
        {"lobe": SYMMETRIC, "stated": {"numSamples": None}},
        {"lobe": SYMMETRIC, "steps": tuple(range(0, N, 2))},
    ],
    ids=["whole", "asymmetric", "delay", "early", "dense", "dwell of the lines", "no numSamples", "every second line"],
)
def test_lines_sampled_on_ramps_become_those_of_the_plain_scan(epi_scan, settings):
    (item,), log = epi_scan(**settings, **ONE_WAY).slices()
    plain = epi_scan(steps=settings.get("steps", tuple(range(N))), **ONE_WAY)
    (expected,), _ = plain.slices()
    measured = (item.counts > 0) & (expected.counts > 0)
    assert measured.sum() > 0.9 * (expected.counts > 0).sum()
    found, wanted = item.kspace[:, measured], expected.kspace[:, measured]
    scale = np.vdot(found, wanted) / np.vdot(found, found)
    assert np.linalg.norm(scale * found - wanted) < 0.03 * np.linalg.norm(wanted)
    assert not log.problems


def test_samples_on_the_flat_top_pass_as_they_came(epi_scan):
    scan = epi_scan(SYMMETRIC, delay_us=60, dwell_us=200 / 64, **ONE_WAY)
    lines = scan.imaging()
    assert ramp_sampling(scan.header.encoding[0], 0, ScanLog()).is_even(lines[0])
    (item,), _ = scan.slices(lines)
    (expected,), _ = epi_scan(**ONE_WAY).slices(lines)
    np.testing.assert_array_equal(item.kspace, expected.kspace)


def test_white_noise_keeps_its_level_on_the_average(epi_scan):
    scan = epi_scan(SYMMETRIC, noise=0.5**0.5, **ONE_WAY)
    scan.maps = scan.maps * 0
    (item,), _ = scan.slices()
    power = np.mean(np.abs(item.kspace) ** 2, axis=(0, 1, 2))
    assert power.mean() == pytest.approx(1, rel=0.08)
    assert power[N // 2 - 4 : N // 2 + 4].mean() > 1.05 > 0.6 > power[[0, 1, -1, -2]].mean()


def test_discarded_samples_are_gaps(epi_scan):
    scan = epi_scan(SYMMETRIC, **ONE_WAY, more={"discard": (20, 0)})
    lines = scan.imaging()
    for line in lines:
        line.data[:, :20] = 1e3
    (item,), _ = scan.slices(lines)
    (whole,), _ = epi_scan(SYMMETRIC, **ONE_WAY).slices()
    first = int(np.flatnonzero(item.counts[0, N // 2])[0])
    assert 2 < first < 16
    scale = np.vdot(item.kspace[..., first:], whole.kspace[..., first:]) / np.vdot(item.kspace, item.kspace).real
    assert abs(scale) == pytest.approx(1, abs=0.05)
    error = item.kspace[..., first + 1 :] - whole.kspace[..., first + 1 :]
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(whole.kspace)


def test_gaps_that_alias_into_the_image_are_told(epi_scan):
    scan = epi_scan(SYMMETRIC, n_x=N, n_samples=N, dwell_us=10.0, **ONE_WAY)
    _, log = scan.slices()
    assert any("which supports 81 % of the encoded field of view" in problem for problem in log.problems)


def test_lines_that_may_have_been_cropped_in_front_are_refused(epi_scan):
    scan = epi_scan(SYMMETRIC, stated={"numSamples": None}, n_samples=N, dwell_us=5.0, **ONE_WAY)
    with pytest.raises(ScanError, match=r"without numSamples, .* 32 samples of a readout without oversampling"):
        scan.slices()


@pytest.mark.parametrize(("offset_mm", "warned"), [(0.0, False), (30.0, True)])
def test_an_image_off_the_centre_of_the_readout_is_warned_of(epi_scan, caplog, offset_mm, warned):
    scan = epi_scan(SYMMETRIC, **ONE_WAY)
    lines = scan.imaging()
    for line in lines:
        line.read_dir[:], line.position[:] = (0, 1, 0), (5, offset_mm, 0)
    scan.slices(lines)
    assert ("30 mm off the centre along the readout" in caplog.text) is warned


def test_an_echo_that_the_gradient_cannot_have_is_refused(epi_scan):
    scan = epi_scan(SYMMETRIC, **ONE_WAY, more={"echo": 12})
    with pytest.raises(ScanError, match=r"center_sample.*the gradient of .*trajectoryDescription.* at 31.5"):
        scan.slices()


def test_a_line_without_samples_that_count_is_refused(epi_scan):
    scan = epi_scan(SYMMETRIC, **ONE_WAY, more={"discard": (40, 24)})
    with pytest.raises(ScanError, match="64 samples, of which 40 and 24 do not count"):
        scan.slices()


def test_lines_out_of_readouts(make_line):
    line = make_line(np.arange(8)[None], ismrmrd.ACQ_IS_REVERSE, echo=4, discard=(1, 2), y=3)
    out = forward_line(line, readout_of(line))
    assert (out.center_sample, out.discard_pre, out.discard_post) == (3, 2, 1)
    assert not out.is_flag_set(ismrmrd.ACQ_IS_REVERSE)
    assert out.data[0].tolist() == list(range(7, -1, -1))
    assert out.idx.kspace_encode_step_1 == 3
    kept = unturned(line)
    assert isinstance(kept, Readout)
    assert kept.samples[0].tolist() == list(range(8))
    assert line.is_flag_set(ismrmrd.ACQ_IS_REVERSE)
