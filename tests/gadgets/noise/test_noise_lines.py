"""Whose noise it is, and when it counts: noise lines in any place, of any dwell time and channels; lines of other kinds."""

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.noise.whitening import LATE_LINES, NOT_FINITE_NOISE, UNFIT_LINES
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
SCAN = SimulationSettings(matrix=(96, 96, 1), n_coils=6, noise_std=0.1, noise_lines=48)


def whitened(settings, change=None):
    """Slices of a simulated scan behind both noise gadgets."""
    header, items = simulate_items(settings)
    return run(header, change(items) if change else items)


def run(header, items):
    context, whitening = Context(header), Whitening(NoiseSettings())
    return list(whitening.slices(Accumulator()(whitening.lines(items, context), context), context)), context.log


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_noise_lines_count_with_their_own_dwell_times():
    def mixed(items):
        """Every other noise line sampled for twice as long: half the variance."""
        for line in items:
            longer = is_noise(line) and line.scan_counter % 2
            yield change_line(line, np.sqrt(0.5), dwell_us=15.0) if longer else line

    (first, second), _ = whitened(replace(SCAN, n_repetitions=2), change=mixed)
    noise = ((first.kspace - second.kspace) / np.sqrt(2)).reshape(6, -1)
    np.testing.assert_allclose(noise @ noise.conj().T / noise.shape[1], np.eye(6), atol=0.06)
    (item,), _ = whitened(SCAN, change=mixed)
    (expected,), _ = whitened(SCAN)
    np.testing.assert_allclose(item.kspace, expected.kspace, rtol=1e-4, atol=1e-3)


def test_a_separate_calibration_of_another_bandwidth_sets_no_scale():
    scan = replace(SCAN, acceleration=2, calibration="separate")

    def faster(items):
        for line in items:
            is_calibration = line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
            yield change_line(line, dwell_us=scan.dwell_us / 4) if is_calibration else line

    (found,), _ = whitened(scan, change=faster)
    (expected,), _ = whitened(scan)
    same(found, expected)


@pytest.mark.slow
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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_noise_line_that_is_not_finite_costs_itself_and_is_told(caplog, value):
    def spoilt(items):
        items[5].data[3, 7] = value
        return items

    (found,), log = whitened(SCAN, change=spoilt)
    (expected,), _ = whitened(SCAN, change=lambda items: items[:5] + items[6:])
    same(found, expected)
    assert log.problems == []
    assert log.counts[NOT_FINITE_NOISE] == 1
    assert "line 5, a noise line, has values that are not finite" in caplog.text


def test_a_noise_scan_of_no_numbers_is_told():
    def spoilt(items):
        for item in items[: SCAN.noise_lines]:
            item.data[:] = np.nan
        return items

    (found,), log = whitened(SCAN, change=spoilt)
    assert found.noise.source == "data"
    assert log.problems == ["no noise line is finite: the noise is measured in the data"]


def test_an_image_line_that_is_not_finite_goes_on_to_the_gadget_that_counts_lines():
    header, items = simulate_items(SCAN)
    items[60].data[0, 0] = np.nan
    context = Context(header)
    assert items[60] in list(Whitening(NoiseSettings()).lines(items, context))
    assert context.log.problems == []


def test_noise_lines_that_hold_an_echo_are_not_used_and_told():
    def with_echo(items):
        for line in items:
            if is_noise(line):
                line.data[:, line.number_of_samples // 2 - 2 : line.number_of_samples // 2 + 2] += 20
            yield line

    (found,), log = whitened(SCAN, change=with_echo)
    assert found.noise.source == "data"
    assert len(log.problems) == 1
    assert "more than noise, signal or spikes" in log.problems[0]


def test_noise_lines_that_come_last_are_told_as_such(caplog):
    def last(items):
        return sorted(items, key=is_noise)

    (found,), log = whitened(SCAN, change=last)
    assert found.noise.source == "data"
    assert log.counts[UNFIT_LINES] == 48
    assert "48 noise lines of 6 channels came after all images had left: left out" in caplog.messages
