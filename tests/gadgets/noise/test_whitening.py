from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.gadgets.noise import NoiseSettings, Whitening
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_noise_that_is_known_whitens_like_the_scan_that_it_is_of():
    header, items = simulate_items(SCAN)
    context, collecting = Context(header), Whitening(NoiseSettings())
    (item,) = Accumulator()(collecting.lines(items, context), context)
    known = NoiseCovariance(collecting.covariance(item, context), 0, 0.0, NoiseOrigin("given"))
    (found,) = Whitening(NoiseSettings(), known).slices([item], context)
    (expected,), _ = whitened(SCAN)
    np.testing.assert_allclose(found.kspace, expected.kspace, rtol=1e-4, atol=1e-4)
    assert found.noise.source == "given"
    assert Whitening(NoiseSettings()).covariance(item, context) is None


def test_maps_that_a_slice_has_are_whitened_with_it():
    header, items = simulate_items(SCAN)
    context, whitening = Context(header), Whitening(NoiseSettings())
    (item,) = Accumulator()(whitening.lines(items, context), context)
    (found,) = whitening.slices([replace(item, coil_maps=item.kspace)], context)
    np.testing.assert_array_equal(found.coil_maps, found.kspace)
