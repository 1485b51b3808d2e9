import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.gadgets.stock.types import AcquisitionBucket

to_buffer = STOCK_GADGETS["BucketToBufferGadget"]
CALIBRATION = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
N_X = 8


@pytest.fixture
def line(make_line):
    """Make a line whose samples are all `value`."""
    return lambda value=1.0, *flags, n_samples=N_X, n_coils=2, **rest: make_line(
        np.full((n_coils, n_samples), value), *flags, **rest
    )


def bucket_of(lines):
    bucket = AcquisitionBucket()
    for entry in lines:
        (bucket.add_ref if entry.is_flag_set(CALIBRATION) else bucket.add_data)(entry)
    return bucket


def buffers(lines, header, **properties):
    return list(to_buffer(properties)([bucket_of(lines)], Context(header)))


def sampled(buffer, *outer):
    outer = outer or (0, 0, 0)
    return [tuple(place) for place in np.argwhere(buffer.headers[(..., *outer)]["number_of_samples"] > 0).tolist()]


@pytest.mark.parametrize("mode", [None, "embedded"])
def test_partial_fourier_lines_lie_around_the_centre_of_the_encoded_matrix(scan_header, line, mode):
    header = scan_header((N_X, 16, 1), y_limits=(0, 4, 11), mode=mode)
    (data,) = buffers([line(y=y) for y in range(12)], header)
    assert sampled(data[0].data) == [(e1, 0) for e1 in range(4, 16)]
    assert data[0].data.sampling.sampling_limits[1] == (4, 8, 15)
    assert data[0].data.data.shape == (N_X, 16, 1, 2, 1, 1, 1)


def test_without_parallel_imaging_the_limits_are_the_grid_where_they_fit(scan_header, line):
    (data,) = buffers([line(y=y) for y in range(12)], scan_header((N_X, 16, 1), y_limits=(0, 8, 11)))
    assert data[0].data.data.shape[1] == 12
    assert data[0].data.sampling.sampling_limits[1] == (0, 8, 11)


def test_a_volume_is_centred_along_both_directions(scan_header, line):
    lines = [line(10 * y + z, y=y, z=z) for y in range(4) for z in range(6)]
    (data,) = buffers(lines, scan_header((N_X, 4, 6), mode="embedded"))
    np.testing.assert_array_equal(data[0].data.data[3, :, :, 1, 0, 0, 0], 10 * np.arange(4)[:, None] + np.arange(6))


def test_dimensions_count_from_the_first_index(scan_header, line):
    lines = [line(c, contrast=c, repetition=r, y=2) for c in (3, 5) for r in (7, 8)]
    (data,) = buffers(lines, scan_header((N_X, 4, 1)), N_dimension="contrast", S_dimension="repetition")
    assert data[0].data.data.shape[4:] == (3, 2, 1)
    np.testing.assert_array_equal(data[0].data.data[0, 2, 0, 0, :, :, 0], [[3, 3], [0, 0], [5, 5]])


def test_slices_share_an_array_or_do_not(scan_header, line):
    lines = [line(s, slice=s) for s in (4, 2)]
    (joined,) = buffers(lines, scan_header((N_X, 4, 1)))
    np.testing.assert_array_equal(joined[0].data.data[0, 0, 0, 0, 0, 0], [2, 0, 4])
    split = buffers(lines, scan_header((N_X, 4, 1)), split_slices="true")
    assert [data[0].data.data[0, 0, 0, 0, 0, 0, 0] for data in split] == [2, 4]


def test_other_indices_make_other_images_and_segments_can_be_ignored(scan_header, line):
    lines = [line(y=y, segment=y, repetition=r) for y in range(4) for r in range(2)]
    assert len(buffers(lines, scan_header((N_X, 4, 1)))) == 8
    ignored = buffers(lines, scan_header((N_X, 4, 1)), ignore_segment="true")
    assert [sampled(data[0].data) for data in ignored] == [[(e1, 0) for e1 in range(4)]] * 2


def test_a_segment_dimension_has_room_for_all_segments(scan_header, line):
    lines = [line(s + 1, segment=s) for s in range(3)]
    (data,) = buffers(lines, scan_header((N_X, 4, 1)), S_dimension="segment")
    np.testing.assert_array_equal(data[0].data.data[0, 0, 0, 0, 0, :, 0], [1, 2, 3])


def test_a_second_line_of_the_same_indices_replaces_the_first_and_is_counted(scan_header, line):
    context = Context(scan_header((N_X, 4, 1)))
    (data,) = to_buffer({})([bucket_of([line(1.0, y=1), line(2.0, y=1)])], context)
    assert data[0].data.data[0, 1].max() == 2
    assert context.log.counts["lines replaced by a later one of the same indices"] == 1


@pytest.mark.parametrize("mode", [None, "embedded", "interleaved"])
def test_calibration_of_the_same_scan_has_the_full_grid(scan_header, line, mode):
    lines = [line(y=0), *(line(5.0, CALIBRATION, y=y) for y in (3, 4))]
    (data,) = buffers(lines, scan_header((N_X, 8, 1), mode=mode))
    assert sampled(data[0].data) == [(0, 0)]
    assert sampled(data[0].ref) == [(3, 0), (4, 0)]
    assert data[0].ref.data.shape[:3] == (N_X, 8, 1)


@pytest.mark.parametrize("mode", ["separate", "external"])
def test_calibration_of_another_scan_has_its_own_extent(scan_header, line, mode):
    lines = [line(y=0), *(line(y, CALIBRATION, y=y) for y in (3, 4, 6))]
    (data,) = buffers(lines, scan_header((N_X, 8, 1), mode=mode))
    np.testing.assert_array_equal(data[0].ref.data[0, :, 0, 0, 0, 0, 0], [3, 4, 0, 6])


def test_calibration_alone_is_kept_beside_an_empty_buffer(scan_header, line):
    (data,) = buffers([line(1.0, CALIBRATION, y=3)], scan_header((N_X, 8, 1), mode="separate"))
    assert data[0].data.data.size == 0
    assert data[0].ref.data.shape[1] == 1


@pytest.mark.parametrize("mode", [None, "embedded"])
def test_a_padded_asymmetric_echo_keeps_its_echo_at_the_centre(scan_header, make_line, mode):
    samples = np.arange(N_X)[None]
    lines = [make_line(samples, discard=(2, 0), y=1)]
    (data,) = buffers(lines, scan_header((N_X, 4, 1), mode=mode))
    np.testing.assert_array_equal(data[0].data.data[:, 1, 0, 0, 0, 0, 0], [0, 0, 2, 3, 4, 5, 6, 7])
    assert data[0].data.sampling.sampling_limits[0] == (2, 4, 7)


def test_a_short_echo_lies_with_its_echo_at_the_centre(scan_header, make_line):
    lines = [make_line(np.arange(2, N_X)[None], echo=2, y=1)]
    (data,) = buffers(lines, scan_header((N_X, 4, 1), mode="embedded"))
    np.testing.assert_array_equal(data[0].data.data[:, 1, 0, 0, 0, 0, 0], [0, 0, 2, 3, 4, 5, 6, 7])
    assert data[0].data.sampling.sampling_limits[0] == (2, 4, 7)


def test_a_line_read_backwards_lies_forwards(scan_header, make_line):
    lines = [make_line(np.arange(N_X)[None, ::-1], ismrmrd.ACQ_IS_REVERSE, echo=3, y=1)]
    (data,) = buffers(lines, scan_header((N_X, 4, 1)))
    np.testing.assert_array_equal(data[0].data.data[:, 1, 0, 0, 0, 0, 0], np.arange(N_X))
    assert not data[0].data.headers["flags"].any()


def test_only_used_encoding_spaces_are_there(scan_header, line):
    header = scan_header((N_X, 4, 1))
    header.encoding.append(header.encoding[0])
    entry = line(y=1)
    entry.encoding_space_ref = 1
    (data,) = buffers([entry], header)
    assert len(data.bits) == 1


def test_missing_limits_are_those_of_the_matrix(scan_header, line):
    header = scan_header((N_X, 6, 1), mode="embedded")
    header.encoding[0].encodingLimits = None
    (data,) = buffers([line(y=5)], header)
    assert sampled(data[0].data) == [(5, 0)]
    assert data[0].data.sampling.sampling_limits[1:] == ((0, 3, 5), (0, 0, 0))


def test_a_line_inside_the_limits_but_off_the_matrix_is_a_problem(scan_header, line):
    context = Context(scan_header((N_X, 8, 1), y_limits=(0, 4, 11), mode="embedded"))
    (data,) = to_buffer({})([bucket_of([line(y=0), line(y=10)])], context)
    assert sampled(data[0].data) == [(0, 0)]
    assert "kspace_encode_step_1 = 10" in context.log.problems[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y": 9}, "kspace_encode_step_1 = 9.*0 to 7"),
        ({"y": 1, "n_coils": 3}, "3 channels, the first line of its image 2"),
        ({"y": 1, "n_samples": 2 * N_X}, "does not fit into a readout of 8"),
    ],
)
def test_lines_that_contradict_the_header_are_errors(scan_header, line, wrong, message):
    with pytest.raises(ScanError, match=message):
        buffers([line(y=0), line(1.0, **wrong)], scan_header((N_X, 8, 1), mode="embedded"))


def test_a_radial_trajectory_is_an_error(scan_header, line):
    header = scan_header((N_X, 8, 1))
    header.encoding[0].trajectory = ismrmrd.xsd.trajectoryType.RADIAL
    with pytest.raises(ScanError, match="'radial'"):
        buffers([line()], header)


@pytest.mark.parametrize("properties", [{"N_dimension": "echo"}, {"split_slices": "perhaps"}, {"n_dimension": "set"}])
def test_wrong_properties_are_named(properties):
    with pytest.raises(SettingsError, match=f"BucketToBufferGadget.*{next(iter(properties))}"):
        to_buffer(properties)
