import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.recon_data import slices_from_bucket, slices_from_recon_data
from nilatron.gadgets.stock.registry import STOCK_GADGETS

N_COILS, N_Y, N_X = 2, 32, 16
CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING


@pytest.fixture
def kspace():
    rng = np.random.default_rng(5)
    return (rng.standard_normal((N_COILS, N_Y, N_X)) + 1j * rng.standard_normal((N_COILS, N_Y, N_X))).astype(
        np.complex64
    )


@pytest.fixture
def accelerated(kspace, make_line):
    """Make every second line, and the central 12 as calibration."""

    def make(**counters):
        lines = []
        for y in range(N_Y):
            flags = {(True, True): [BOTH], (False, True): [CALIBRATION]}.get((y % 2 == 0, 10 <= y < 22), [])
            if y % 2 == 0 or flags:
                lines.append(make_line(kspace[:, y], *flags, y=y, **counters))
        return lines

    return make


def by_bucket(lines, header, **properties):  # noqa: ARG001 - dimensions are the business of buffers
    context = Context(header)
    buckets = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({})(lines, context)
    return [made for bucket in buckets for made in slices_from_bucket(bucket, context)]


def by_buffer(lines, header, **properties):
    context = Context(header)
    buckets = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({})(lines, context)
    data = STOCK_GADGETS["BucketToBufferGadget"](properties)(buckets, context)
    return [made for entry in data for made in slices_from_recon_data(entry, context)]


WAYS = pytest.mark.parametrize("way", [by_bucket, by_buffer])


@WAYS
@pytest.mark.parametrize("mode", ["embedded", "interleaved"])
def test_calibration_of_the_same_scan_fills_kspace_and_gives_the_block(accelerated, kspace, scan_header, way, mode):
    (made,) = way(accelerated(), scan_header((N_X, N_Y, 1), mode=mode))
    sampled = [y for y in range(N_Y) if y % 2 == 0 or 10 <= y < 22]
    np.testing.assert_array_equal(np.nonzero(made.counts[0].min(axis=-1))[0], sampled)
    np.testing.assert_array_equal(made.kspace[:, 0, sampled], kspace[:, sampled])
    np.testing.assert_array_equal(made.calibration[:, 0], kspace[:, 10:22])
    assert made.head.idx.kspace_encode_step_1 == N_Y // 2
    assert not made.whitened


@WAYS
def test_calibration_of_another_scan_stays_out_of_kspace(kspace, make_line, scan_header, way):
    lines = [make_line(kspace[:, y], y=y) for y in range(0, N_Y, 2)]
    lines += [make_line(3 * kspace[:, y], CALIBRATION, y=y) for y in range(10, 22)]
    (made,) = way(lines, scan_header((N_X, N_Y, 1), mode="separate"))
    assert not made.counts[0, 1::2].any()
    np.testing.assert_array_equal(made.calibration[:, 0], 3 * kspace[:, 10:22])


@WAYS
def test_partial_fourier_is_centred_on_the_encoded_grid(kspace, make_line, scan_header, way):
    lines = [make_line(kspace[:, y], y=y - 8) for y in range(8, N_Y)]
    (made,) = way(lines, scan_header((N_X, N_Y, 1), y_limits=(0, N_Y // 2 - 8, N_Y - 9)))
    np.testing.assert_array_equal(made.kspace[:, 0, 8:], kspace[:, 8:])
    assert not made.counts[0, :8].any()
    assert made.calibration.shape == (N_COILS, 1, 16, N_X)


@WAYS
def test_unacquired_samples_of_an_asymmetric_echo_do_not_count(kspace, make_line, scan_header, way):
    lines = [make_line(kspace[:, y], y=y, discard=(5, 0)) for y in range(N_Y)]
    (made,) = way(lines, scan_header((N_X, N_Y, 1)))
    np.testing.assert_array_equal(np.nonzero(made.counts[0, 3])[0], np.arange(5, N_X))
    np.testing.assert_array_equal(made.kspace[:, 0, :, 5:], kspace[..., 5:])
    assert not made.kspace[..., :5].any()


def test_a_grid_shortened_by_the_server_is_put_back(kspace, make_line, scan_header):
    context = Context(scan_header((N_X, N_Y, 1)))
    lines = [make_line(kspace[:, y], y=y, discard=(5, 0)) for y in range(N_Y)]
    bucket = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({})(lines, context)
    (data,) = STOCK_GADGETS["BucketToBufferGadget"]({})(bucket, context)
    object.__setattr__(data[0].data, "data", data[0].data.data[5:])
    (made,) = slices_from_recon_data(data, context)
    np.testing.assert_array_equal(made.kspace[:, 0, :, 5:], kspace[..., 5:])


@WAYS
def test_averages_become_one_slice_with_counts(kspace, make_line, scan_header, way):
    lines = [make_line(kspace[:, y] * (1 + a), y=y, average=a) for a in range(2) for y in range(N_Y) if a == 0 or y < 8]
    (made,) = way(lines, scan_header((N_X, N_Y, 1)), S_dimension="average")
    np.testing.assert_array_equal(made.counts[0, :, 0], [2.0] * 8 + [1.0] * 24)
    np.testing.assert_allclose(made.kspace[:, 0, :8], 1.5 * kspace[:, :8], rtol=1e-6)
    np.testing.assert_allclose(made.kspace[:, 0, 8:], kspace[:, 8:], rtol=1e-6)


@WAYS
def test_a_line_is_the_mean_of_the_averages_that_have_it(kspace, make_line, scan_header, way):
    factors = np.zeros((3, N_Y))  # of average and line: all lines, the first half, every fourth
    factors[0], factors[1, : N_Y // 2], factors[2, ::4] = 1, 3, 8
    lines = [make_line(factors[a, y] * kspace[:, y], y=y, average=a) for a, y in np.argwhere(factors)]
    (made,) = way(lines, scan_header((N_X, N_Y, 1)), S_dimension="average")
    counts = np.count_nonzero(factors, axis=0)
    assert set(counts) == {1, 2, 3}
    np.testing.assert_array_equal(made.counts[0], np.repeat(counts, N_X).reshape(N_Y, N_X))
    np.testing.assert_allclose(made.kspace[:, 0], kspace * (factors.sum(axis=0) / counts)[:, None], rtol=1e-5)


@WAYS
def test_calibration_lines_of_the_first_average_count_once(kspace, make_line, scan_header, way):
    lines = [make_line(kspace[:, y], y=y, average=a) for a in range(2) for y in range(0, N_Y, 2)]
    lines += [make_line(kspace[:, y], CALIBRATION, y=y, average=0) for y in range(11, 22, 2)]
    (made,) = way(lines, scan_header((N_X, N_Y, 1), mode="embedded"), S_dimension="average")
    expected = [2.0 if y % 2 == 0 else float(10 <= y < 22) for y in range(N_Y)]
    np.testing.assert_array_equal(made.counts[0], np.repeat(expected, N_X).reshape(N_Y, N_X))
    np.testing.assert_allclose(made.kspace[:, 0, 11:22:2], kspace[:, 11:22:2], rtol=1e-6)


@WAYS
def test_other_dimensions_stay_apart(kspace, make_line, scan_header, way):
    lines = [
        make_line(kspace[:, y] * (c + 2 * s + 1), y=y, contrast=c, slice=s)
        for y in range(N_Y)
        for c in range(2)
        for s in range(2)
    ]
    slices = way(lines, scan_header((N_X, N_Y, 1)), N_dimension="contrast")
    found = {(made.head.idx.contrast, made.head.idx.slice): made.kspace for made in slices}
    assert len(slices) == len(found) == 4
    for (contrast, number), values in found.items():
        np.testing.assert_allclose(values[:, 0], kspace * (contrast + 2 * number + 1), rtol=1e-6)


@WAYS
def test_volumes_and_odd_sizes(make_line, scan_header, way):
    rng = np.random.default_rng(6)
    volume = rng.standard_normal((1, 5, 9, 7)).astype(np.complex64)
    lines = [make_line(volume[:, z, y], y=y, z=z) for z in range(5) for y in range(9)]
    (made,) = way(lines, scan_header((7, 9, 5)))
    np.testing.assert_array_equal(made.kspace, volume)


def test_data_without_lines_give_no_slice(scan_header, make_line, kspace):
    header = scan_header((N_X, N_Y, 1), mode="separate")
    assert by_buffer([make_line(kspace[:, 3], CALIBRATION, y=3)], header) == []


def test_data_that_do_not_fit_the_header_are_an_error(accelerated, scan_header):
    context = Context(scan_header((N_X, N_Y, 1), mode="embedded"))
    bucket = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({})(accelerated(), context)
    (data,) = STOCK_GADGETS["BucketToBufferGadget"]({})(bucket, context)
    with pytest.raises(ScanError, match="does not fit into the encoded matrix"):
        list(slices_from_recon_data(data, Context(scan_header((N_X, N_Y // 2, 1), mode="embedded"))))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("scan", ["", "_brain_8ch_R4"])
def test_lines_buckets_and_the_servers_buffers_give_the_same_slices(recording, scan):
    context, data = recording(f"node_buffer{scan}.bin")
    _, lines = recording(f"node_whitened{scan}.bin")
    slices = [made for entry in data for made in slices_from_recon_data(entry, context)]
    triggered = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({"trigger_dimension": "repetition"})(lines, context)
    others = [
        list(Accumulator()(lines, context)),
        [made for bucket in triggered for made in slices_from_bucket(bucket, context)],
    ]
    assert slices
    for other in others:
        for made, same in zip(slices, other, strict=True):
            np.testing.assert_array_equal(made.kspace, same.kspace)
            np.testing.assert_array_equal(made.counts, same.counts)
            np.testing.assert_array_equal(made.calibration, same.calibration)


@pytest.mark.shared
def test_the_servers_buckets_and_prepared_references(recording):
    context, buckets = recording("node_bucket.bin")
    _, data = recording("node_buffer.bin")
    _, prepared = recording("node_buffer_refprep.bin")
    from_buckets = [made for bucket in buckets for made in slices_from_bucket(bucket, context)]
    from_data = [made for entry in data for made in slices_from_recon_data(entry, context)]
    from_prepared = [made for entry in prepared for made in slices_from_recon_data(entry, context)]
    for first, second, third in zip(from_buckets, from_data, from_prepared, strict=True):
        np.testing.assert_array_equal(first.kspace, second.kspace)
        np.testing.assert_array_equal(first.calibration, second.calibration)
        assert third.calibration.shape == second.calibration.shape
        np.testing.assert_array_equal(third.calibration, second.calibration)
