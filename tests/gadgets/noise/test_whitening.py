from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, KSpaceSlice, ScanError
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.noise.whitening import LATE_LINES, UNFIT_LINES
from nilatron.gadgets.stock.noise_adjust import NoiseAdjustGadget
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
SCAN = SimulationSettings(matrix=(96, 96, 1), n_coils=6, noise_std=0.1, noise_lines=48)


def whitened(settings, noise_settings=None, change=None):
    """Slices of a simulated scan behind both noise gadgets."""
    header, items = simulate_items(settings)
    return run(header, change(items) if change else items, noise_settings)


def run(header, items, noise_settings=None):
    context = Context(header)
    whitening = Whitening(noise_settings or NoiseSettings())
    stream = whitening.lines(items, context)
    return list(whitening.slices(Accumulator()(stream, context), context)), context.log


def remaining_noise(settings, **options):
    """Whitened noise (coil, sample): half the difference of two repetitions of the same object."""
    (first, second), _ = whitened(replace(settings, n_repetitions=2), **options)
    return ((first.kspace - second.kspace) / np.sqrt(2)).reshape(settings.n_coils, -1)


def covariance(noise):
    return noise @ noise.conj().T / noise.shape[1]


def test_noise_scan_gives_the_identity_covariance():
    np.testing.assert_allclose(covariance(remaining_noise(SCAN)), np.eye(6), atol=0.06)


def test_dwell_time_and_bandwidth_scale_the_noise_scan():
    for change in ({"noise_dwell_us": 20.0}, {"noise_bandwidth": 0.5}, {"noise_dwell_us": 0.0}):
        found = covariance(remaining_noise(replace(SCAN, **change)))
        assert np.trace(found).real / 6 == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_noise_lines_do_not_go_on_and_the_others_stay_as_they_are(device):
    header, items = simulate_items(SCAN)
    lines = list(Whitening(NoiseSettings()).lines(items, Context(header, device=device)))
    assert len(lines) == len(items) - 48
    assert all(line is item for line, item in zip(lines, items[48:], strict=True))


def test_report_of_a_noise_scan():
    (item,), log = whitened(SCAN)
    assert item.whitened
    assert (item.noise.source, item.noise.sigma_header, item.noise.sigma_used) == ("noise scan", 1.0, 1.0)
    assert item.noise.sigma_measured == pytest.approx(1, rel=0.15)
    assert log.problems == []


def test_without_noise_scan_the_data_tell():
    noise = remaining_noise(replace(SCAN, noise_lines=0))
    assert np.trace(covariance(noise)).real / 6 == pytest.approx(1, rel=0.2)
    (item,), _ = whitened(replace(SCAN, noise_lines=0))
    assert (item.noise.source, item.noise.sigma_header) == ("data", None)
    assert any("no noise scan" in note for note in item.notes)


def test_without_noise_scan_all_slices_share_one_scale():
    items, _ = whitened(replace(SCAN, noise_lines=0, n_slices=3))
    header, raw = simulate_items(replace(SCAN, noise_lines=0, n_slices=3))
    for item, own in zip(items, Accumulator()(raw, Context(header)), strict=True):
        assert own.head.idx.slice == item.head.idx.slice
        matrix = np.linalg.lstsq(own.kspace[:, 0, 48].T, item.kspace[:, 0, 48].T, rcond=None)[0].T
        if item is items[0]:
            first = matrix
        np.testing.assert_allclose(matrix, first, rtol=1e-2, atol=1e-2 * np.abs(first).max())


def scaled_noise(factor):
    def change(items):
        for item in items:
            if item.is_flag_set(NOISE):
                item.data[:] *= factor
        return items

    return change


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_noise_scan_that_contradicts_the_data_is_corrected_and_noted(factor):
    (item,), log = whitened(SCAN, change=scaled_noise(factor))
    assert item.noise.sigma_used == item.noise.sigma_measured == pytest.approx(1 / factor, rel=0.2)
    assert log.counts["slices whose noise level was corrected"] == 1
    assert any("using the latter" in note for note in item.notes)
    (expected,), _ = whitened(SCAN)
    assert np.linalg.norm(item.kspace) == pytest.approx(np.linalg.norm(expected.kspace), rel=0.2)


@pytest.mark.parametrize(
    ("ratio", "believed", "noted"), [(0.78, False, True), (0.82, True, False), (1.95, True, True), (2.05, False, True)]
)
def test_a_noise_scan_is_believed_from_four_fifths_to_twice_its_level(ratio, believed, noted):
    """`ratio` is what the data say over what the noise scan says."""
    small = replace(SCAN, matrix=(48, 48, 1), n_coils=4)
    (as_scanned,), _ = whitened(small)
    (item,), log = whitened(small, change=scaled_noise(as_scanned.noise.sigma_measured / ratio))
    assert item.noise.sigma_measured == pytest.approx(ratio, rel=1e-3)
    assert item.noise.sigma_used == (1.0 if believed else item.noise.sigma_measured)
    assert bool(log.counts["slices whose noise level was corrected"]) != believed
    assert bool(item.notes) == noted


@pytest.mark.parametrize("without", ["ratio", "system"])
def test_a_header_that_does_not_say_has_the_bandwidth_ratio_of_gadgetron(without):
    header, items = simulate_items(replace(SCAN, matrix=(48, 48, 1), n_repetitions=2, noise_bandwidth=0.793))
    if without == "system":
        header.acquisitionSystemInformation = None
    else:
        header.acquisitionSystemInformation.relativeReceiverNoiseBandwidth = None
    (first, second), _ = run(header, items)
    noise = (first.kspace - second.kspace) / np.sqrt(2)
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(1, rel=0.05)


def upstream(items):
    """What a stock chain in front does: noise of standard deviation 1 in the real and in the imaginary part."""
    return list(NoiseAdjustGadget()(items, Context(simulate_items(SCAN)[0])))


@pytest.mark.parametrize("word", ["yes", "auto"])
def test_whitening_of_the_chain_in_front_is_converted(word):
    (item,), _ = whitened(SCAN, NoiseSettings(word), change=upstream)
    assert item.noise.source == "upstream"
    assert item.noise.sigma_header == pytest.approx(2**0.5)
    noise = remaining_noise(SCAN, noise_settings=NoiseSettings(word), change=upstream)
    assert np.trace(covariance(noise)).real / 6 == pytest.approx(1, rel=0.05)


def test_told_that_nothing_is_whitened():
    (item,), _ = whitened(SCAN, NoiseSettings("no"), change=upstream)
    assert item.noise.source == "data"


def test_unknown_word():
    with pytest.raises(ValueError, match="whitened must be auto, yes or no, got 'maybe'"):
        NoiseSettings("maybe")


def test_noise_scan_of_zeros_is_reported_and_not_used():
    (item,), log = whitened(SCAN, change=scaled_noise(0.0))
    assert item.noise.source == "data"
    assert len(log.problems) == 1
    assert np.isfinite(item.kspace).all()


def test_a_slice_of_zeros_is_a_problem_and_stays_zero():
    header, items = simulate_items(SCAN)
    for item in items:
        if not item.is_flag_set(NOISE):
            item.data[:] = 0
    (item,), log = run(header, items)
    assert isinstance(item, KSpaceSlice)
    assert item.noise.sigma_used == 1.0
    assert not item.kspace.any()
    assert "all samples are zero" in log.problems[0]


# --- whose noise, and when


def is_noise(line):
    return line.is_flag_set(NOISE)


def change_line(line, factor=1.0, channels=None, dwell_us=None, flag=None):
    """A copy of a line: its samples scaled, some of its channels, another dwell time, one flag more."""
    data = np.array(line.data[slice(None) if channels is None else list(channels)] * np.complex64(factor))
    head = line.getHead()
    head.active_channels = len(data)
    head.sample_time_us = head.sample_time_us if dwell_us is None else dwell_us
    out = ismrmrd.Acquisition(head)
    out.data[:] = data
    if flag is not None:
        out.set_flag(flag)
    return out


def same(found, expected):
    np.testing.assert_array_equal(found.kspace, expected.kspace)
    assert found.noise == expected.noise


@pytest.mark.parametrize("seed", range(4))
def test_noise_lines_count_wherever_they_come_before_the_end_of_the_image(seed):
    def shuffled(items):
        rest = [item for item in items if not is_noise(item)]
        for line in filter(is_noise, items):
            rest.insert(np.random.default_rng([seed, line.scan_counter]).integers(len(rest) - 1), line)
        return rest

    (found,), log = whitened(SCAN, change=shuffled)
    (expected,), _ = whitened(SCAN)
    np.testing.assert_allclose(found.kspace, expected.kspace, rtol=1e-4, atol=1e-3)  # the sum has another order
    assert found.noise.source == "noise scan"
    assert found.notes == ()
    assert log.counts[LATE_LINES] == 0
    assert log.problems == []


def test_separate_calibration_is_whitened_as_its_image_is():
    scan = replace(SCAN, acceleration=2, calibration="separate")

    def noise_between(items):
        """Calibration, noise, imaging."""
        noise, rest = ([item for item in items if is_noise(item) is wanted] for wanted in (True, False))
        calibration = [line for line in rest if line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
        return [*calibration, *noise, *(line for line in rest if line not in calibration)]

    (found,), _ = whitened(scan, change=noise_between)
    (expected,), _ = whitened(scan)
    same(found, expected)
    np.testing.assert_array_equal(found.calibration, expected.calibration)
    header, items = simulate_items(scan)
    (raw,) = Accumulator()(items, Context(header))
    both = [item.reshape(6, -1) for item in (raw.calibration, raw.kspace)]
    matrices = [
        np.linalg.lstsq(a.T, b.reshape(6, -1).T, rcond=None)[0]
        for a, b in zip(both, (found.calibration, found.kspace), strict=True)
    ]
    np.testing.assert_allclose(*matrices, rtol=1e-3, atol=1e-3 * np.abs(matrices[0]).max())


def test_noise_after_images_have_left_is_used_for_the_later_ones_and_told_once(caplog):
    scan = replace(SCAN, n_slices=4, slice_order="sequential")

    def late(items):
        noise = [item for item in items if is_noise(item)]
        rest = [item for item in items if not is_noise(item)]
        return [*rest[: 2 * len(rest) // 4 + 5], *noise, *rest[2 * len(rest) // 4 + 5 :]]

    items, log = whitened(scan, change=late)
    expected, _ = whitened(scan)
    assert [item.noise.source for item in items] == ["data", "data", "noise scan", "noise scan"]
    for item, other in zip(items[2:], expected[2:], strict=True):
        same(item, other)
    assert [any("after other images" in note for note in item.notes) for item in items] == [False, False, True, True]
    assert log.counts[LATE_LINES] == 48
    assert sum("after other images" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("flag", [ismrmrd.ACQ_IS_NAVIGATION_DATA, ismrmrd.ACQ_IS_DUMMYSCAN_DATA])
@pytest.mark.parametrize(
    "change", [{"dwell_us": 10.0}, {"dwell_us": 20.0}, {"channels": (0, 3)}, {"channels": [*range(6), *range(6)]}]
)
def test_lines_that_no_image_needs_change_nothing(flag, change):
    def between(items):
        for number, line in enumerate(items):
            if number % 7 == 0 or not is_noise(line):
                yield change_line(items[-1], 3.0, flag=flag, **change)
            yield line

    (found,), log = whitened(SCAN, change=between)
    (expected,), _ = whitened(SCAN)
    same(found, expected)
    assert log.problems == []


def test_noise_lines_count_with_their_own_dwell_times():
    def mixed(items):
        """Every other noise line sampled for twice as long: half the variance."""
        for line in items:
            longer = is_noise(line) and line.scan_counter % 2
            yield change_line(line, np.sqrt(0.5), dwell_us=15.0) if longer else line

    found, expected = (covariance(remaining_noise(SCAN, change=change)) for change in (mixed, None))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    (item,), _ = whitened(SCAN, change=mixed)
    assert item.noise.sigma_measured == pytest.approx(1, rel=0.15)


def test_a_separate_calibration_of_another_bandwidth_sets_no_scale():
    scan = replace(SCAN, acceleration=2, calibration="separate")

    def faster(items):
        for line in items:
            is_calibration = line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
            yield change_line(line, dwell_us=scan.dwell_us / 4) if is_calibration else line

    (found,), _ = whitened(scan, change=faster)
    (expected,), _ = whitened(scan)
    same(found, expected)


def test_images_of_unlike_bandwidth_each_have_their_own_scale():
    scan = replace(SCAN, n_contrasts=2)

    def slower(items):
        """The second contrast sampled four times as long, with half the noise and half the signal: the same in SNR units."""
        for line in items:
            yield change_line(line, 0.5, dwell_us=4 * scan.dwell_us) if line.idx.contrast else line

    found, _ = whitened(scan, change=slower)
    expected, _ = whitened(scan)
    for item, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(item.kspace, other.kspace, rtol=1e-4, atol=1e-3)
        assert item.noise.sigma_used == 1.0


def test_lines_of_one_image_with_unlike_dwell_times_are_noted():
    def slower_half(items):
        for line in items:
            yield change_line(line, dwell_us=10.0) if not is_noise(line) and line.idx.kspace_encode_step_1 % 2 else line

    (found,), _ = whitened(SCAN, change=slower_half)
    (expected,), _ = whitened(SCAN)
    assert any("differ in dwell time (5, 10 us)" in note for note in found.notes)
    mean_variance = (1 + SCAN.dwell_us / 10.0) / 2
    np.testing.assert_allclose(found.kspace * np.sqrt(mean_variance), expected.kspace, rtol=1e-4, atol=1e-3)


def test_noise_lines_of_other_channels_are_left_out_and_told(caplog):
    def with_body_coil(items):
        yield from (change_line(line, 5.0, channels=(0, 1)) for line in items[:8])
        yield from items

    (found,), log = whitened(SCAN, change=with_body_coil)
    (expected,), _ = whitened(SCAN)
    same(found, expected)
    assert log.counts[UNFIT_LINES] == 8
    assert log.problems == []
    assert "8 noise lines of 2 channels fit no image: left out" in caplog.messages


def test_noise_scan_of_other_coils():
    def fewer(items):
        return (change_line(line, channels=range(3)) if is_noise(line) else line for line in items)

    with pytest.raises(ScanError, match="the noise scan has 3 channels and the image lines 6"):
        whitened(SCAN, change=fewer)


def labelled(header, *names):
    header.acquisitionSystemInformation.coilLabel = [
        ismrmrd.xsd.coilLabelType(coilNumber=number, coilName=name) for number, name in enumerate(names)
    ]
    return header


def with_mask(line, *channels):
    line.channel_mask[0] = sum(1 << channel for channel in channels)
    return line


def test_channels_of_a_larger_noise_scan_are_chosen_by_label():
    """All 6 coils measure noise, 4 of them the image: the channel masks say which."""
    header, items = simulate_items(SCAN)
    labelled(header, *"ABCDEF")
    active = (0, 2, 3, 5)
    lines = [line if is_noise(line) else with_mask(change_line(line, channels=active), *active) for line in items]
    (found,), log = run(header, lines)
    few = [with_mask(change_line(line, channels=active), *active) for line in items]
    (expected,), _ = run(header, few)
    same(found, expected)
    assert log.problems == []
    other = [with_mask(line, *range(6, 12)) if is_noise(line) else line for line in lines]
    header.acquisitionSystemInformation.coilLabel.extend(
        ismrmrd.xsd.coilLabelType(coilNumber=number, coilName=f"S{number}") for number in range(6, 12)
    )
    with pytest.raises(ScanError, match="has no channels for the coils 'A', 'C', 'D', 'F'; it has 6, 'S6', "):
        run(header, other)


REAL = ["brain_8ch_full.h5", "brain_8ch_R4.h5", "brain_8ch_R4_noisy.h5"]


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_noise_level_of_real_data_is_that_of_the_noise_scan(shared, name):
    with open_raw(shared / "data/raw" / name) as raw:
        (item,), log = run(raw.header, raw.items())
    assert item.noise.source == "noise scan"
    assert item.noise.sigma_measured == pytest.approx(1, rel=0.15)
    assert log.problems == []


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_noise_becomes_white(shared, name):
    """The covariance is learned from one half of the noise lines and judged on the other, and on all of them."""
    with open_raw(shared / "data/raw" / name) as raw:
        header, items = raw.header, list(raw.items())
    noise = [line for line in items if line.is_flag_set(NOISE)]
    dwell_us = next(line.sample_time_us for line in items if not line.is_flag_set(NOISE))
    assert noise[0].sample_time_us == dwell_us

    def white(known, judged):
        context, whitening = Context(header), Whitening(NoiseSettings())
        assert list(whitening.lines(known, context)) == []
        kspace = np.stack([line.data for line in judged], axis=1)[:, None]
        item = KSpaceSlice(kspace, np.ones(kspace.shape[1:], np.float32), None, noise[0].getHead(), header.encoding[0])
        (found,) = whitening.slices([item], context)
        assert found.noise.sigma_used == 1.0
        return covariance(found.kspace.reshape(8, -1)) - np.eye(8)

    assert np.abs(white(noise, noise)).max() < 0.05
    other = white(noise[::2], noise[1::2])
    assert np.sqrt(np.mean(np.abs(other) ** 2)) < 0.05  # a sample covariance of 1440 samples is no better than 0.04
    assert abs(np.mean(np.diag(other).real)) < 0.05
