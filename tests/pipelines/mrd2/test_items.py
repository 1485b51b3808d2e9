"""Items of v1 to v2 and back: data and all fields of heads that both have are equal; and what v1 has no room for."""

from collections import Counter

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.mrd2.codec import Tagged
from nilatron.pipelines.mrd2.heads import TICK_NS, ticks_of
from nilatron.pipelines.mrd2.items import PHASES, v1_item, v2_item
from nilatron.pipelines.wire import ImageArray, MalformedError, UnsendableError, UnsupportedError, encode
from nilatron.pipelines.wire.received_image import ReceivedImage
from nilatron.pipelines.wire.structures import IMAGE_HEADER, PIXEL_TYPES


def full_line(n_samples=5, n_coils=3, n_axes=2):
    """A line with another value in each field of its head."""
    head = ismrmrd.AcquisitionHeader()
    head.version, head.flags, head.measurement_uid, head.scan_counter = 1, (1 << 18) | (1 << 62), 11, 12
    head.acquisition_time_stamp, head.physiology_time_stamp[:] = 4_000_000_000, [1, 2, 3]
    head.number_of_samples, head.active_channels, head.available_channels = n_samples, n_coils, n_coils
    head.channel_mask[0], head.channel_mask[2] = 0b1010, 1 << 63
    head.discard_pre, head.discard_post, head.center_sample, head.encoding_space_ref = 1, 2, 3, 4
    head.trajectory_dimensions, head.sample_time_us = n_axes, 2.6
    for place, name in enumerate(("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")):
        getattr(head, name)[:] = [place + 0.1, place + 0.2, -place]
    names = ("kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase", "repetition")
    for place, name in enumerate((*names, "set", "segment"), 20):
        setattr(head.idx, name, place)
    head.idx.user[:], head.user_int[:], head.user_float[:] = range(8), range(-4, 4), [0.5 * n for n in range(8)]
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((n_coils, n_samples)) + 1j
    return ismrmrd.Acquisition(head, samples.astype(np.complex64), rng.random((n_samples, n_axes), np.float32))


def full_waveform():
    samples = np.arange(6, dtype=np.uint32).reshape(2, 3) << 29
    return ismrmrd.Waveform.from_array(
        samples, flags=5, waveform_id=7, sample_time_us=2500.5, time_stamp=9, scan_counter=3, measurement_uid=1
    )


def full_image(code, meta=None):
    dtype = PIXEL_TYPES[code]
    head = ismrmrd.ImageHeader()
    head.version, head.data_type, head.flags, head.measurement_uid = 1, code, 0x30, 2
    head.channels, head.matrix_size[:], head.field_of_view[:] = 2, [4, 3, 1], [200.1, 150.2, 5.0]
    for place, name in enumerate(("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")):
        getattr(head, name)[:] = [place, place + 0.5, -0.25]
    for place, name in enumerate(("average", "slice", "contrast", "phase", "repetition", "set"), 5):
        setattr(head, name, place)
    head.acquisition_time_stamp, head.physiology_time_stamp[:] = 77, [7, 8, 9]
    head.image_type, head.image_index, head.image_series_index = 5 if dtype.kind == "c" else 1, 65535, 101
    head.user_int[:], head.user_float[:] = range(8), [0.25 * n for n in range(8)]
    pixels = (np.arange(24).reshape(2, 1, 3, 4) - (0 if dtype.kind == "u" else 12)).astype(dtype)
    attributes = b"" if meta is None else ismrmrd.Meta(meta).serialize().encode()
    return ReceivedImage(bytearray(bytes(head)), attributes, pixels)


def image_array():
    data = np.asfortranarray(np.arange(24).reshape(4, 3, 1, 1, 2, 1, 1).astype(np.complex64))
    headers = np.zeros((2, 1, 1), IMAGE_HEADER, order="F")
    for n in range(2):
        head = full_image(7).getHead()
        head.channels, head.image_index = 1, n
        headers[n, 0, 0] = np.frombuffer(bytes(head), IMAGE_HEADER)[0]
    meta = [ismrmrd.Meta({"n": str(n)}).serialize().encode() for n in range(2)]
    return ImageArray(data, headers, meta, [full_waveform()])


def buckets_and_buffers(scan):
    context = Context(parse_header(scan[0]))
    buckets = list(
        STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"](
            {"trigger_dimension": "repetition", "sorting_dimension": "slice"}
        )(iter(scan[1]), context)
    )
    buckets = [item for item in buckets if hasattr(item, "datastats")]
    buffers = list(STOCK_GADGETS["BucketToBufferGadget"]({})(iter(buckets), context))
    return buckets[0], next(item for item in buffers if hasattr(item, "bits"))


def wire_bytes(item):
    return b"".join(bytes(part) for part in encode(item))


def there_and_back(item, model, written, read, scan):
    _, (found,) = read(written(model, scan[0], [item]))
    return found


def test_lines_and_waveforms_come_back_as_they_were(small_model, written, read, scan):
    for item in (full_line(), full_line(n_axes=0), full_line(n_coils=0), full_waveform(), *scan[1][:6]):
        assert wire_bytes(there_and_back(item, small_model, written, read, scan)) == wire_bytes(item)


@pytest.mark.parametrize("code", PIXEL_TYPES)
def test_images_come_back_as_they_were(code, small_model, written, read, scan):
    image = full_image(code, {"a": "1", "b": ["x", "ü"]})
    found = there_and_back(image, small_model, written, read, scan)
    np.testing.assert_array_equal(found.data, image.data)
    expected, head = image.getHead(), found.getHead()
    expected.attribute_string_len = head.attribute_string_len
    assert bytes(head) == bytes(expected)
    assert dict(found.meta) == {"a": "1", "b": ["x", "ü"]}


def test_image_arrays_come_back_as_they_were(small_model, written, read, scan):
    found = there_and_back(image_array(), small_model, written, read, scan)
    np.testing.assert_array_equal(found.data, image_array().data)
    for name in set(IMAGE_HEADER.names) - {"attribute_string_len", "data_type"}:
        np.testing.assert_array_equal(found.headers[name], image_array().headers[name])
    assert [ismrmrd.Meta.deserialize(text.decode())["n"] for text in found.meta] == ["0", "1"]
    assert wire_bytes(found.waveform[0]) == wire_bytes(full_waveform())


def test_buckets_and_buffers_come_back_as_they_were(small_model, written, read, scan):
    bucket, buffers = buckets_and_buffers(scan)
    found = there_and_back(bucket, small_model, written, read, scan)
    assert [wire_bytes(line) for line in found.data] == [wire_bytes(line) for line in bucket.data]
    assert found.datastats == bucket.datastats
    found = there_and_back(buffers, small_model, written, read, scan)
    assert wire_bytes(found) == wire_bytes(buffers)


def test_coordinates_are_transposed_and_accepted_either_way():
    line = full_line()
    item = v2_item(line)
    assert item.value["trajectory"].shape == (2, 5)
    item.value["trajectory"] = line.traj  # as converters wrote it that copied it
    np.testing.assert_array_equal(v1_item(item, Counter()).traj, line.traj)
    item.value["trajectory"] = np.zeros((2, 3), np.float32)
    with pytest.raises(MalformedError, match="coordinates of shape"):
        v1_item(item, Counter())


def test_time_stamps_are_nanoseconds_and_ticks():
    """45,000 s after midnight: 18 million ticks of 2.5 ms, 45 trillion nanoseconds."""
    line = full_line()
    line.acquisition_time_stamp = 18_000_000
    head = v2_item(line).value["head"]
    assert (head["acquisitionTimeStampNs"], head["acquisitionTimeStamp"]) == (45_000 * 10**9, 18_000_000)
    assert head["sampleTimeNs"] == 2600
    assert ticks_of(TICK_NS - 1) == ticks_of(TICK_NS) == 1
    since_1970 = 20_000 * 86_400 * 10**9
    assert ticks_of(since_1970 + 5 * TICK_NS) == 5


def test_absent_values_are_zero_and_lists_have_any_length():
    item = v2_item(full_line())
    item.value["head"] |= {"scanCounter": None, "userInt": [1] * 20, "physiologyTimeStampNs": [TICK_NS]}
    item.value["head"]["idx"] |= {"slice": None, "user": []}
    found = v1_item(item, Counter())
    assert (found.scan_counter, found.idx.slice, list(found.idx.user)) == (0, 0, [0] * 8)
    assert (list(found.user_int), list(found.physiology_time_stamp)) == ([1] * 8, [1, 0, 0])


@pytest.mark.parametrize(("place", "name"), [("head", "discardPre"), ("idx", "slice")])
def test_what_v1_has_no_room_for_is_refused(place, name):
    item = v2_item(full_line())
    head = item.value["head"]
    (head if place == "head" else head["idx"])[name] = 65536
    with pytest.raises(UnsupportedError, match=f"{name} is 65536"):
        v1_item(item, Counter())


def test_kinds_that_v1_has_not_are_counted():
    left_out = Counter()
    assert v1_item(Tagged("pulseqShape", {}), left_out) is None
    phased = v2_item(full_line())
    phased.value["phase"] = np.ones(5, np.float32)
    assert v1_item(phased, left_out) is not None
    assert left_out == {"pulseqShape items, which MRD v1 has not": 1, PHASES: 1}


def test_kinds_that_v2_has_not_cannot_be_sent():
    with pytest.raises(UnsendableError, match="no str"):
        v2_item("x")
    image = full_image(5)
    image._Image__data = np.zeros((1, 1, 2, 2), np.uint8)
    with pytest.raises(UnsendableError, match="uint8"):
        v2_item(image)


def test_an_image_without_a_type_gets_that_of_its_pixels():
    image = full_image(7)
    head = image.getHead()
    head.image_type = 0
    image.setHead(head)
    assert v2_item(image).value["head"]["imageType"] == ismrmrd.IMTYPE_COMPLEX


def test_numbers_of_attributes_become_text():
    item = v2_item(full_image(5))
    item.value["meta"] = {"a": [Tagged("int64", 3), Tagged("float64", 0.5)], "b": []}
    assert dict(v1_item(item, Counter()).meta) == {"a": ["3", "0.5"]}


def test_a_line_that_contradicts_itself_is_refused():
    item = v2_item(full_line())
    del item.value["head"]["position"]
    with pytest.raises(MalformedError, match="cannot be understood"):
        v1_item(item, Counter())
