"""What comes beside the lines of an image, and what of them is missing."""

import struct

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import trajectoryType

from nilatron.core.epi.trapezoid import Trapezoid, sample_positions
from nilatron.core.fft import ifft
from nilatron.core.metrics import nrmse
from nilatron.gadgets.stock.types import ReconBit, ReconData
from nilatron.pipelines.simulation.simulate import EXTRA_FLAGS
from nilatron.pipelines.wire import Query, Text

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone

BUFFERS = (
    "NoiseAdjustGadget",
    "RemoveROOversamplingGadget",
    "AcquisitionAccumulateTriggerGadget",
    "BucketToBufferGadget",
)


def waveforms(items):
    return [item for item in items if isinstance(item, ismrmrd.Waveform)]


def same_images(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.data, other.data, rtol=1e-4, atol=1e-3 * np.max(other.data))


@pytest.mark.row("F2.14")
@pytest.mark.parametrize("where", ["none", "interleaved", "before all lines", "after all lines"])
def test_waveforms_do_not_touch_the_images(simulated, converse, where):
    scan = simulated(waveform_every=3, n_slices=2)
    ecg, lines = waveforms(scan.items), scan.lines
    items = {
        "none": lines,
        "interleaved": scan.items,
        "before all lines": ecg + lines,
        "after all lines": lines + ecg,
    }[where]
    reply = converse(scan, items)
    assert reply.error is None
    same_images(reply.images, converse(scan, lines).images)
    assert reply.report.counts.get("waveforms", 0) == (0 if where == "none" else len(ecg))


@pytest.mark.row("F2.14")
@pytest.mark.parametrize("noise", [False, True], ids=["waveforms alone", "waveforms and noise"])
def test_a_scan_without_an_image_ends(simulated, converse, noise):
    scan = simulated(waveform_every=3)
    reply = converse(scan, waveforms(scan.items) + (scan.noise if noise else []))
    assert not reply.images
    assert reply.error is None


def backwards(line, echo):
    """The line in reverse order, its echo at a sample of its own or at that of the lines read forwards."""
    n = line.number_of_samples
    turned = ismrmrd.Acquisition.from_array(
        np.ascontiguousarray(np.roll(line.data[:, ::-1], echo - (n - 1 - n // 2), 1))
    )
    head = line.getHead()
    head.center_sample = echo
    turned.setHead(head)
    turned.set_flag(ismrmrd.ACQ_IS_REVERSE)
    return turned


BACKWARDS = {
    "lines": (),
    "buckets": ("NoiseAdjustGadget", "AcquisitionAccumulateTriggerGadget"),
    "buffers": ("NoiseAdjustGadget", "AcquisitionAccumulateTriggerGadget", "BucketToBufferGadget"),
}


@pytest.mark.row("F2.15")
@pytest.mark.parametrize("way", BACKWARDS)
@pytest.mark.parametrize("later", [0, 1], ids=["echo before the middle", "echo at the middle, as in an echo train"])
def test_lines_read_backwards(simulated, converse, later, way):
    scan = simulated()
    forwards = converse(scan.behind(*BACKWARDS[way])).images
    scan.items = scan.noise + [
        backwards(line, line.number_of_samples // 2 - 1 + later) if number % 2 else line
        for number, line in enumerate(scan.imaging)
    ]
    reply = converse(scan.behind(*BACKWARDS[way]))
    assert reply.error is None
    if not later:
        same_images(reply.images, forwards)
    for image, expected in zip(reply.images, forwards, strict=True):  # one sample of these lines is not measured
        assert nrmse(image.data, expected.data, rescale=False) < 0.01


@pytest.mark.row("F2.15")
@pytest.mark.parametrize("kind", EXTRA_FLAGS)
def test_lines_that_are_no_image_are_left_out_and_counted(simulated, converse, kind):
    scan = simulated(extra_lines=(kind,))
    flag = EXTRA_FLAGS[kind]
    plain = [line for line in scan.lines if not line.is_flag_set(flag)]
    reply = converse(scan)
    assert reply.error is None
    same_images(reply.images, converse(scan, plain).images)
    left_out = {name: n for name, n in reply.report.counts.items() if name.startswith("lines left out")}
    assert sum(left_out.values()) == len(scan.lines) - len(plain) > 0
    assert len(left_out) == 1


LOBE, DELAY, PHASE = Trapezoid(60, 200, 60), 0.6, 0.7  # us; steps of the grid; rad


def on_ramps(line, *, backwards=False, navigator=False):
    """The line as it comes from a readout gradient with ramps, equidistant in time."""
    head, n = line.getHead(), line.number_of_samples
    k = sample_positions(LOBE, 0.0, LOBE.duration_us / n, n, n)
    k, turn = (-k - DELAY, np.exp(1j * PHASE)) if backwards else (k, 1.0)
    profile, x = ifft(np.array(line.data), axes=(-1,)), np.arange(n) - n // 2
    out = ismrmrd.Acquisition(
        head, (turn * profile @ np.exp(-2j * np.pi * np.outer(x, k) / n) / n**0.5).astype(np.complex64)
    )
    for flag, is_set in ((ismrmrd.ACQ_IS_REVERSE, backwards), (ismrmrd.ACQ_IS_PHASECORR_DATA, navigator)):
        if is_set:
            out.set_flag(flag)
    return out


@pytest.mark.row("F2.15")
@pytest.mark.parametrize(
    ("directions", "n_navigators", "way"),
    [((False,), 0, ()), ((False, True), 3, ()), ((False, True), 3, ("NoiseAdjustGadget",))],
)
def test_echo_planar_lines_are_regridded_and_corrected(simulated, converse, directions, n_navigators, way):
    scan = simulated()
    (expected,) = converse(scan.behind(*way)).images
    numbers = {"rampUpTime": 60, "rampDownTime": 60, "flatTopTime": 200, "numberOfNavigators": n_navigators}
    longs = [ismrmrd.xsd.userParameterLongType(name=name, value=value) for name, value in numbers.items()]
    n = scan.imaging[0].number_of_samples
    dwell = [ismrmrd.xsd.userParameterDoubleType(name="dwellTime", value=LOBE.duration_us / n)]
    scan.header.encoding[0].trajectory = trajectoryType.EPI
    scan.header.encoding[0].trajectoryDescription = ismrmrd.xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI", userParameterLong=longs, userParameterDouble=dwell
    )
    central = scan.imaging[len(scan.imaging) // 2]
    navigators = [on_ramps(central, backwards=bool(i % 2), navigator=True) for i in range(n_navigators)]
    imaging = [on_ramps(line, backwards=directions[i % len(directions)]) for i, line in enumerate(scan.imaging)]
    plain, scan.items = scan.imaging, scan.noise + navigators + imaging
    reply = converse(scan.behind(*way))
    assert reply.error is None
    (image,) = reply.images
    assert nrmse(image.data, expected.data) < 0.04
    scan.items = scan.noise + [on_ramps(line) for line in plain]
    scan.header.encoding[0].trajectoryDescription = None
    (distorted,) = converse(scan.behind(*way)).images
    assert nrmse(distorted.data, expected.data) > 0.2


@pytest.mark.row("F2.15")
def test_lines_of_both_directions_without_navigators_are_doubtful(simulated, converse):
    scan = simulated()
    scan.header.encoding[0].trajectory = trajectoryType.EPI
    scan.items = scan.noise + [
        backwards(line, line.number_of_samples // 2 - 1) if number % 2 else line
        for number, line in enumerate(scan.imaging)
    ]
    reply = converse(scan)
    (image,) = reply.images
    assert any("no navigators of both: ghosts" in comment for comment in image.meta["ImageComment"])
    assert any("no navigators of both: ghosts" in problem for problem in reply.report.problems)


LAST = [value for name, value in vars(ismrmrd).items() if name.startswith(("ACQ_LAST_IN", "ACQ_FIRST_IN"))]


@pytest.mark.row("F2.16")
@pytest.mark.parametrize(
    ("missing", "slice_order"),
    [(LAST, "interleaved"), (LAST, "line"), ([ismrmrd.ACQ_LAST_IN_MEASUREMENT], "interleaved")],
    ids=["all", "all, line by line", "of the measurement"],
)
def test_flags_of_the_last_line_are_not_needed(simulated, converse, missing, slice_order):
    scan = simulated(n_slices=3, n_repetitions=2, n_averages=2, slice_order=slice_order)
    expected = converse(scan).images
    for line in scan.imaging:
        for flag in missing:
            line.clear_flag(flag)
    reply = converse(scan)
    assert reply.error is None
    by_key = {(image.repetition, image.slice): image.data for image in reply.images}
    assert len(reply.images) == len(by_key) == len(expected) == 6
    for image in expected:
        np.testing.assert_allclose(by_key[image.repetition, image.slice], image.data, rtol=1e-5)


@pytest.mark.row("F2.16")
def test_a_flag_that_comes_too_early_ends_nothing(simulated, converse):
    scan = simulated()
    expected = converse(scan).images
    scan.imaging[-5].set_flag(ismrmrd.ACQ_LAST_IN_SLICE)
    reply = converse(scan)
    assert reply.error is None
    same_images(reply.images, expected)


@pytest.mark.row("F2.17")
def test_a_last_slice_that_is_half_acquired(simulated, converse):
    scan = simulated(n_slices=2)
    reply = converse(scan, scan.items[:-20])
    whole, half = reply.images
    assert scan.error_of(whole, 0) < 0.06
    assert np.isfinite(half.data).all()
    assert "incomplete: lines" in reply.error
    assert "incomplete: lines" in " ".join(half.meta["ImageComment"])


@pytest.mark.row("F2.17")
def test_missing_lines_leave_an_image(simulated, converse):
    scan = simulated()
    reply = converse(scan, [line for line in scan.lines if line.idx.kspace_encode_step_1 not in (3, 11, 34)])
    (image,) = reply.images
    assert scan.error_of(image) < 0.15


@pytest.mark.row("F2.17")
@pytest.mark.parametrize("n_silent", [1, 4], ids=["one channel", "all channels"])
def test_channels_without_signal(simulated, converse, n_silent):
    scan = simulated()
    for line in scan.lines:
        line.data[:n_silent] = 0
    reply = converse(scan)
    (image,) = reply.images
    assert np.isfinite(image.data).all()
    if n_silent == 1:
        assert reply.error is None
        assert image.data.max() > 10
    else:
        assert "all samples are zero" in reply.error


@pytest.mark.row("F2.17")
@pytest.mark.parametrize(
    ("value", "gadgets"), [(np.nan, ()), (np.inf, ()), (np.nan, BUFFERS)], ids=["NaN", "infinite", "NaN in buffers"]
)
def test_values_that_are_not_finite_are_left_out_and_told(simulated, converse, value, gadgets):
    scan = simulated(n_slices=2)
    expected = scan.behind(*gadgets)
    if gadgets:
        data = next(item for item in expected.items if isinstance(item, ReconData))
        data.bits[0].data.data[7, 9] = value
    else:
        scan.imaging[30].data[1, 7] = value
    reply = converse(expected)
    assert len(reply.images) == 2
    assert all(scan.error_of(image, image.slice) < 0.15 for image in reply.images)
    assert "not finite" in reply.error


@pytest.mark.row("F2.18")
def test_a_line_of_an_encoding_space_that_the_header_lacks(simulated, converse):
    scan = simulated()
    scan.imaging[7].encoding_space_ref = 2
    reply = converse(scan)
    assert not reply.images
    assert "encoding space 2, but the header describes 1" in reply.error


@pytest.mark.row("F2.18")
@pytest.mark.parametrize("gadgets", [(), BUFFERS], ids=["lines", "buffers"])
def test_two_encoding_spaces(simulated, converse, gadgets):
    first, second = simulated(), simulated(recon_matrix=(64, 64))
    first.header.encoding.append(second.header.encoding[0])
    for line in second.imaging:
        line.encoding_space_ref = 1
    first.items += second.imaging
    reply = converse(first.behind(*gadgets))
    assert reply.error is None
    assert [list(image.matrix_size) for image in reply.images] == [[48, 40, 1], [64, 64, 1]]
    assert all(scan.error_of(image) < 0.06 for scan, image in zip((first, second), reply.images, strict=True))


@pytest.mark.row("F2.18")
def test_an_empty_encoding_space_of_recon_data(simulated, converse):
    scan = simulated().behind(*BUFFERS)
    (data,) = (item for item in scan.items if isinstance(item, ReconData))
    (bit,) = data.bits
    nothing = (np.zeros((0,) * 7, np.complex64, order="F"), np.zeros((0,) * 5, bit.data.headers.dtype, order="F"))
    empty = type(bit.data)(*nothing, bit.data.sampling)
    reply = converse(scan, [ReconData([ReconBit(empty, None), bit])])
    assert reply.error is None
    assert len(reply.images) == 1
    reply = converse(scan, [ReconData([ReconBit(empty, None)])])
    assert "none of the 1 items that came gave an image" in reply.error


def with_path(line, path):
    """The line with a trajectory (sample, dimension)."""
    head = line.getHead()
    head.trajectory_dimensions = path.shape[1]
    return ismrmrd.Acquisition(head, np.array(line.data), path.astype(np.float32))


@pytest.mark.row("F2.19")
@pytest.mark.parametrize("kind", ["without sense", "along the grid"])
def test_a_trajectory_of_cartesian_lines_is_ignored(simulated, converse, kind):
    scan, rng = simulated(), np.random.default_rng(1)
    expected = converse(scan).images

    def with_trajectory(line):
        n = line.number_of_samples
        if kind == "along the grid":
            return with_path(
                line, np.stack([np.arange(n) / n - 0.5, np.full(n, line.idx.kspace_encode_step_1 / 40)], 1)
            )
        return with_path(line, rng.standard_normal((n, 2)))

    reply = converse(scan, [with_trajectory(line) for line in scan.lines])
    assert reply.error is None
    same_images(reply.images, expected)


@pytest.mark.row("F2.19")
def test_spokes_under_a_cartesian_header_are_refused(simulated, converse):
    scan = simulated()

    def spoke(number, line):
        k, angle = np.arange(line.number_of_samples) - line.number_of_samples / 2, number * 1.94
        return with_path(line, np.stack([k * np.cos(angle), k * np.sin(angle)], axis=1))

    reply = converse(scan, scan.noise + [spoke(*pair) for pair in enumerate(scan.imaging)])
    assert not reply.images
    assert (
        "a trajectory that moves along more than one axis, though encoding 0 is Cartesian by the header" in reply.error
    )


@pytest.mark.row("F2.19")
def test_simultaneous_slices_are_refused(simulated, converse):
    scan = simulated()
    factor = ismrmrd.xsd.userParameterLongType(name="lMultiBandFactor", value=2)
    scan.header.userParameters = ismrmrd.xsd.userParametersType(userParameterLong=[factor])
    reply = converse(scan)
    assert not reply.images
    assert "userParameters says lMultiBandFactor = 2; simultaneous slices cannot be separated" in reply.error


@pytest.mark.row("F2.19")
@pytest.mark.parametrize("kind", ["radial", "goldenangle", "spiral", "other"])
def test_other_trajectories_are_refused(simulated, converse, kind):
    scan = simulated()
    scan.header.encoding[0].trajectory = trajectoryType(kind)
    reply = converse(scan)
    assert not reply.images
    assert f"{kind} trajectory; only Cartesian" in reply.error


@pytest.mark.row("F2.26")
def test_close_without_data(simulated, converse):
    reply = converse(simulated(), [])
    assert not reply.images
    assert "no data came between header and CLOSE" in reply.error


@pytest.mark.row("F2.26")
def test_what_comes_after_close_is_ignored(simulated, converse):
    scan = simulated()
    reply = converse(scan, [*scan.items, struct.pack("<H", 4), *scan.items[:5]], close=False, half_close=True)
    assert reply.error is None
    assert len(reply.images) == 1


@pytest.mark.row("F2.26")
def test_an_unknown_message_is_an_error_after_the_images_before_it(simulated, converse):
    scan = simulated(n_slices=2)
    reply = converse(scan, [*scan.items[: len(scan.noise) + 50], struct.pack("<H", 1030), bytes(1000)], half_close=True)
    assert len(reply.images) == 1
    assert "message id 1030 is unknown" in reply.error


@pytest.mark.row("F2.26")
def test_texts_and_queries_in_the_middle_are_ignored(simulated, converse):
    scan = simulated()
    items = [*scan.items[:30], Text.of("hello"), Query.of("gadgetron::info"), *scan.items[30:]]
    reply = converse(scan, items)
    assert reply.error is None
    same_images(reply.images, converse(scan).images)
    assert reply.report.counts["texts and queries, ignored"] == 2
