import copy
import itertools

import ismrmrd
import numpy as np
import pytest

from nilatron.core.oversampling import remove_oversampling
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.calibration import CalibrationStore
from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node, unpack
from nilatron.gadgets.placement import image_key
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

N_COILS, N_X, N_Y = 2, 12, 32
BLOCK = range(10, 22)
ONLY, BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def lines_of(make_line, rng):
    """Lines of these indices with random samples."""

    def make(steps, *flags, **counters):
        shape = (N_COILS, N_X)
        return [
            make_line(rng.standard_normal(shape) + 1j * rng.standard_normal(shape), *flags, y=y, **counters)
            for y in steps
        ]

    return make


@pytest.fixture
def scan(lines_of):
    """Two slices in two repetitions with one separate calibration: all lines, and those of calibration by slice."""
    own = {s: lines_of(BLOCK, ONLY, slice=s) for s in (0, 1)}
    imaging = [line for r in (0, 1) for s in (0, 1) for line in lines_of(range(0, N_Y, 2), slice=s, repetition=r)]
    return [*own[0], *own[1], *imaging], own


def triggered(dimension):
    return ("AcquisitionAccumulateTriggerGadget", {"trigger_dimension": dimension})


WAYS = {"lines": []}
for dimension in ("repetition", "slice", ""):
    WAYS[f"buckets by {dimension or 'none'}"] = [triggered(dimension)]
    WAYS[f"buffers by {dimension or 'none'}"] = [triggered(dimension), ("BucketToBufferGadget", {})]
    WAYS[f"buffers of slices by {dimension or 'none'}"] = [
        triggered(dimension),
        ("BucketToBufferGadget", {"split_slices": "true"}),
    ]
ALL_WAYS = pytest.mark.parametrize("way", WAYS)


def in_front(way, lines, context):
    for name, properties in WAYS[way]:
        lines = STOCK_GADGETS[name](properties)(lines, context)
    return lines


def slices_of(way, lines, header):
    context, store = Context(header), CalibrationStore()
    items = in_front(way, iter(lines), context)
    return list(unpack(Accumulator(store)(items, context), context, store))


def samples(lines):
    return np.stack([line.data for line in lines], axis=1)


@ALL_WAYS
def test_one_calibration_serves_every_repetition_of_its_slice(scan, scan_header, way):
    lines, own = scan
    slices = slices_of(way, lines, scan_header((N_X, N_Y, 1), mode="separate"))
    assert sorted((made.head.idx.slice, made.head.idx.repetition) for made in slices) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    for made in slices:
        np.testing.assert_array_equal(made.calibration[:, 0], samples(own[made.head.idx.slice]))
        assert not made.counts[0, 1::2].any()


SCAN = SimulationSettings(
    matrix=(24, 32, 1),
    n_coils=4,
    n_slices=2,
    n_repetitions=2,
    acceleration=2,
    calibration="separate",
    calibration_lines=12,
    noise_std=0.01,
)


def uncalibrated(node, items, header):
    """Slices without usable calibration."""
    context = Context(header)
    images = list(node(items, context))
    assert len(images) == 4
    return context.log.counts["slices without usable calibration"]


@ALL_WAYS
def test_no_slice_is_without_calibration_behind_a_node(way):
    header, items = simulate_items(SCAN)
    assert uncalibrated(build_node("zero_filled", {}), in_front(way, items, Context(header)), header) == 0


@pytest.mark.slow
def test_scans_do_not_share_their_calibration():
    header, items = simulate_items(SCAN)
    items, node = list(items), build_node("zero_filled", {})
    assert uncalibrated(node, iter(items), header) == 0
    assert uncalibrated(node, (item for item in items if not item.is_flag_set(ONLY)), header) == 4


def test_lines_calibrate_what_comes_in_buckets():
    header, items = simulate_items(SCAN)
    items = list(items)
    buckets = in_front("buckets by slice", (item for item in items if not item.is_flag_set(ONLY)), Context(header))
    stream = itertools.chain((item for item in items if item.is_flag_set(ONLY)), buckets)
    assert uncalibrated(build_node("zero_filled", {}), stream, header) == 0


def test_calibration_that_comes_with_gridded_data_is_theirs_and_of_what_follows_without(lines_of, scan_header):
    own = [lines_of(BLOCK, ONLY, repetition=r) for r in (0, 1)]
    imaging = [lines_of(range(0, N_Y, 2), repetition=r) for r in (0, 1, 2)]
    lines = [*own[0], *imaging[0], *own[1], *imaging[1], *imaging[2]]
    slices = slices_of("buffers by repetition", lines, scan_header((N_X, N_Y, 1), mode="separate"))
    for made, expected in zip(slices, (own[0], own[1], own[1]), strict=True):
        np.testing.assert_array_equal(made.calibration[:, 0], samples(expected))


@pytest.mark.parametrize("way", ["lines", "buckets by repetition"])
def test_calibration_lines_that_come_again_are_averaged(lines_of, scan_header, way):
    own = [lines_of(BLOCK, ONLY, repetition=r) for r in (0, 1)]
    imaging = [lines_of(range(0, N_Y, 2), repetition=r) for r in (0, 1)]
    header = scan_header((N_X, N_Y, 1), mode="separate")
    first, second = slices_of(way, [*own[0], *imaging[0], *own[1], *imaging[1]], header)
    if way != "lines":  # there an image is whole when the next one is
        np.testing.assert_array_equal(first.calibration[:, 0], samples(own[0]))
    np.testing.assert_allclose(second.calibration[:, 0], (samples(own[0]) + samples(own[1])) / 2, rtol=1e-6)


@pytest.mark.parametrize("way", ["lines", "buckets by none", "buffers by none"])
def test_lines_for_both_calibrate_too(lines_of, scan_header, way):
    """A scan whose header calls its own calibration separate."""
    lines = [
        line
        for y in range(N_Y)
        if y % 2 == 0 or y in BLOCK
        for line in lines_of([y], *([BOTH if y % 2 == 0 else ONLY] if y in BLOCK else []))
    ]
    (made,) = slices_of(way, lines, scan_header((N_X, N_Y, 1), mode="separate"))
    block = [line for line in lines if line.idx.kspace_encode_step_1 in BLOCK]
    np.testing.assert_array_equal(made.calibration[:, 0], samples(block))
    assert not made.counts[0, 1::2].any()


@ALL_WAYS
def test_calibration_of_a_frame_serves_those_that_have_none_of_their_own(lines_of, scan_header, way):
    calibrated = [*lines_of(range(0, N_Y, 2)), *lines_of(range(11, 22, 2), ONLY)]
    lines = [*calibrated, *lines_of(range(0, N_Y, 2), repetition=1)]
    first, second = slices_of(way, lines, scan_header((N_X, N_Y, 1), mode="embedded"))
    assert first.calibration.shape[2] == 12
    np.testing.assert_array_equal(second.calibration, first.calibration)
    assert not second.counts[0, 1::2].any()


@ALL_WAYS
def test_calibration_of_another_contrast_of_the_same_scan_serves_no_other(lines_of, scan_header, way):
    calibrated = [*lines_of(range(0, N_Y, 2)), *lines_of(range(11, 22, 2), ONLY)]
    lines = [*calibrated, *lines_of(range(0, N_Y, 2), contrast=1)]
    _, second = slices_of(way, lines, scan_header((N_X, N_Y, 1), mode="embedded"))
    assert second.calibration is None


def test_an_image_without_separate_calibration_takes_its_own_middle(lines_of, scan_header):
    (line,), header = lines_of([0]), scan_header((N_X, N_Y, 1))
    kspace, counts = np.ones((N_COILS, 1, N_Y, N_X), np.complex64), np.ones((1, N_Y, N_X), np.float32)
    block = CalibrationStore().block(image_key(line), kspace, counts, header)
    assert block.shape == (N_COILS, 1, 32, N_X)
    assert not np.shares_memory(block, kspace)
    assert CalibrationStore().block(image_key(line), kspace, 0 * counts, header) is None


def test_calibration_that_is_too_small_takes_nobodys_place(lines_of, scan_header):
    store, key = CalibrationStore(), image_key(lines_of([0])[0])
    kspace, counts = np.ones((N_COILS, 1, N_Y, N_X), np.complex64), np.zeros((1, N_Y, N_X), np.float32)
    counts[:, 8:24] = 1
    store.keep(key, kspace, counts)
    counts[:, :14] = counts[:, 18:] = 0
    store.keep(key, 2 * kspace, counts)
    np.testing.assert_array_equal(store.block(key, kspace, 0 * counts, scan_header((N_X, N_Y, 1))), kspace[:, :, 8:24])


@pytest.mark.parametrize("is_first", [True, False])
def test_lines_of_a_body_coil_in_between_do_not_calibrate(lines_of, make_line, scan_header, is_first):
    own, body = lines_of(BLOCK, ONLY), [make_line(np.full((1, N_X), 9), ONLY, y=y) for y in BLOCK]
    pairs = zip(body, own, strict=True) if is_first else zip(own, body, strict=True)
    lines = [*itertools.chain(*pairs), *lines_of(range(0, N_Y, 2))]
    context, store = Context(scan_header((N_X, N_Y, 1), mode="separate")), CalibrationStore()
    (made,) = Accumulator(store)(iter(lines), context)
    np.testing.assert_array_equal(made.calibration[:, 0], samples(own))
    assert not context.log.problems


def test_calibration_of_other_channels_alone_is_told(lines_of, make_line, scan_header):
    body = [make_line(np.full((1, N_X), 9), ONLY, y=y) for y in BLOCK]
    context = Context(scan_header((N_X, N_Y, 1), mode="separate"))
    (made,) = Accumulator()(iter([*body, *lines_of(range(0, N_Y, 2))]), context)
    assert made.calibration is None
    assert context.log.problems == ["calibration lines have 1 channels, the images 2: not used"]


def test_a_short_reference_in_an_encoding_of_its_own_is_oversampled_as_the_images_are(make_line, scan_header):
    """Its lines have as many samples as a readout without oversampling."""
    n = 48
    header = scan_header((2 * n, N_Y, 1), (n, N_Y, 1), mode="separate")
    header.encoding.append(copy.deepcopy(header.encoding[0]))
    rng = np.random.default_rng(0)
    own = [make_line(rng.standard_normal((N_COILS, n)), ONLY, y=y) for y in BLOCK]
    for line in own:
        line.encoding_space_ref = 1
    imaging = [make_line(np.ones((N_COILS, 2 * n)), y=y) for y in range(0, N_Y, 2)]
    (made,) = Accumulator()(iter([*own, *imaging]), Context(header))
    whole = np.pad(samples(own), ((0, 0), (0, 0), (n // 2, n // 2)))
    first = (n - made.calibration.shape[-1]) // 2
    expected = remove_oversampling(whole.astype(np.complex64), n)[..., first : n - first]
    np.testing.assert_allclose(made.calibration[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["embedded", "other", "interleaved", None])
@pytest.mark.parametrize("is_first", [True, False])
def test_lines_of_a_stream_that_calibrate_where_lines_of_the_image_lie_are_no_data(
    lines_of, scan_header, mode, is_first
):
    own, imaging = lines_of(BLOCK, ONLY), lines_of(range(0, N_Y, 2))
    for line in own:
        line.data[:] *= 20
    lines = [*own, *imaging] if is_first else [*imaging, *own]
    (made,) = Accumulator()(iter(lines), Context(scan_header((N_X, N_Y, 1), mode=mode)))
    np.testing.assert_array_equal(made.kspace[:, 0, ::2], samples(imaging))
    assert not made.counts[0, 1::2].any()
    np.testing.assert_array_equal(made.calibration[:, 0], samples(own))
