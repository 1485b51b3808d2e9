"""What other packages write we read, and what we write they read."""

import io
import socket
import threading

import gadgetron.external
import ismrmrd
import numpy as np
import pytest
from gadgetron.types.image_array import ImageArray as PeerImageArray
from ismrmrd.serialization import ConfigFile, ConfigText, ProtocolDeserializer, ProtocolSerializer

from nilatron.gadgets.stock.types import (
    AcquisitionBucket,
    AcquisitionBucketStats,
    Buffer,
    ReconBit,
    ReconData,
    SamplingDescription,
    SamplingLimit,
    header_object,
)
from nilatron.pipelines.wire import (
    Close,
    Config,
    ConfigName,
    Connection,
    Decoder,
    Header,
    ImageArray,
    Text,
    UnsendableError,
    encode,
)
from nilatron.pipelines.wire.structures import ACQUISITION_HEADER, IMAGE_HEADER, PIXEL_TYPES, WAVEFORM_HEADER

XML = "<ismrmrdHeader xmlns='http://www.ismrm.org/ISMRMRD'><experimentalConditions><H1resonanceFrequency_Hz>1</H1resonanceFrequency_Hz></experimentalConditions></ismrmrdHeader>"
TYPES_OF_ISMRMRD = [dtype for code, dtype in PIXEL_TYPES.items() if code != 4]


def line(n_samples=6, n_channels=3, n_dimensions=2, step=0):
    rng = np.random.default_rng(step)
    samples = (rng.standard_normal((n_channels, n_samples)) + 1j).astype(np.complex64)
    made = ismrmrd.Acquisition.from_array(samples, rng.random((n_samples, n_dimensions), dtype=np.float32))
    made.idx.kspace_encode_step_1 = step
    return made


def waveform():
    return ismrmrd.Waveform.from_array(np.arange(12, dtype=np.uint32).reshape(3, 4), waveform_id=2)


def image(dtype):
    made = ismrmrd.Image.from_array((np.arange(24) % 7).astype(dtype).reshape(2, 3, 4), image_index=5)
    made.meta = {"name": "Müller", "list": ["1", "2"]}
    return made


def gridded(rng):
    data = np.asfortranarray(rng.random((4, 3, 1, 2, 1, 1, 1)).astype(np.complex64))
    headers = np.frombuffer(bytearray(rng.bytes(340 * 3)), ACQUISITION_HEADER).reshape((3, 1, 1, 1, 1), order="F")
    limits = (SamplingLimit(0, 2, 3), SamplingLimit(0, 1, 2), SamplingLimit(0, 0, 0))
    sampling = SamplingDescription((1.5, 2, 3), (1, 2, 3), (4, 3, 1), (4, 3, 1), limits)
    buffer = Buffer(data, headers, sampling)
    return ReconData([ReconBit(buffer, buffer), ReconBit(buffer)])


def joined(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


def decoded(data):
    decoder = Decoder()
    messages = list(decoder.feed(data))
    decoder.finish()
    return messages


def test_structures_have_the_sizes_of_the_protocol():
    assert (ACQUISITION_HEADER.itemsize, IMAGE_HEADER.itemsize, WAVEFORM_HEADER.itemsize) == (340, 198, 40)


def test_what_ismrmrd_writes_is_read():
    stream = io.BytesIO()
    items = [line(), waveform(), *(image(dtype) for dtype in TYPES_OF_ISMRMRD)]
    with ProtocolSerializer(stream) as writer:
        for item in (ConfigFile("nila.xml"), ConfigText("<configuration/>"), "hello", *items):
            writer.serialize(item)
    name, config, text, *got, end = decoded(stream.getvalue())
    assert (name, config, text, end) == (
        ConfigName("nila.xml"),
        Config.of("<configuration/>"),
        Text.of("hello"),
        Close(),
    )
    assert got == items
    assert joined(name, config, text, *got, end) == stream.getvalue()


def test_what_is_written_ismrmrd_reads():
    items = [line(), waveform(), *(image(dtype) for dtype in TYPES_OF_ISMRMRD)]
    stream = io.BytesIO(joined(ConfigName("nila.xml"), Header.of(XML), *items, Close()))
    name, header, *got = ProtocolDeserializer(stream).deserialize()
    assert name == "nila.xml"
    assert header.experimentalConditions.H1resonanceFrequency_Hz == 1
    assert got[:2] == items[:2]
    for back, sent in zip(got[2:], items[2:], strict=True):
        assert (back.image_index, back.meta, back.data.dtype) == (5, sent.meta, sent.data.dtype)
        np.testing.assert_array_equal(back.data, sent.data)
    assert stream.read() == b""


def test_32_bit_integers_go_out_as_such():
    made = image(np.int64)
    made.data[0, 0, 0, 0] = -7
    (got,) = decoded(joined(made))
    assert got.data.dtype == np.int32
    np.testing.assert_array_equal(got.data, made.data)
    assert decoded(joined(got))[0].data[0, 0, 0, 0] == -7


@pytest.fixture
def peer():
    """A `gadgetron.external.Connection` and ours at the other end of it."""
    ours, theirs = socket.socketpair()
    ours.sendall(joined(Config.of("<configuration/>"), Header.of(XML)))
    connection = gadgetron.external.Connection(theirs)
    yield connection, Connection(ours)
    ours.close()
    theirs.close()


def send_all(connection, items):
    def run():
        for item in items:
            connection.send(item)
        connection.send(Close()) if isinstance(connection, Connection) else connection.socket.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["raw", "recon_data", "image_array"])
def test_both_ways_with_the_package_gadgetron(peer, kind):
    theirs, ours = peer
    rng = np.random.default_rng(1)
    items = {"raw": [line(), waveform(), image(np.complex64)], "recon_data": [gridded(rng)]}.get(kind)
    if items is None:
        headers = np.frombuffer(bytearray(rng.bytes(198 * 2)), IMAGE_HEADER).reshape(2, 1, 1)
        data = np.asfortranarray(rng.random((3, 2, 1, 2, 2, 1, 1)).astype(np.complex64))
        items = [ImageArray(data, headers, [b"<a/>", b""], None, None)]
    thread = send_all(ours, items)
    received = list(theirs)
    thread.join()
    assert len(received) == len(items)
    thread = send_all(theirs, received)
    again = list(ours)
    thread.join()
    assert joined(*again) == joined(*items) == joined(*received)
    assert kind != "image_array" or isinstance(received[0], PeerImageArray)


def test_buckets_reach_the_package_gadgetron(peer):
    theirs, ours = peer
    stats = [AcquisitionBucketStats(kspace_encode_step_1={0, 1, 40})]
    bucket = AcquisitionBucket([line(step=0), line(step=1)], stats, [line(step=1)], stats)
    thread = send_all(ours, [bucket])
    (got,) = list(theirs)
    thread.join()
    assert got.data == bucket.data
    assert got.ref == bucket.ref
    assert got.datastats[0].kspace_encode_step_1 == {0, 1, 40}
    (again,) = decoded(joined(got))
    assert list(again.data) == bucket.data
    assert again.refstats == stats


def test_lines_of_a_bucket_share_the_memory_of_its_arrays():
    (bucket,) = decoded(joined(AcquisitionBucket([line(step=k, n_samples=4 + k) for k in range(5)])))
    assert bucket.data.headers["idx"]["kspace_encode_step_1"].tolist() == [0, 1, 2, 3, 4]
    bucket.data[3].idx.kspace_encode_step_1 = 77
    bucket.data[-1].data[:] = 2
    assert bucket.data.headers["idx"]["kspace_encode_step_1"][3] == 77
    assert header_object(bucket.data.headers[3]) == bucket.data[3].getHead()
    assert (bucket.data[4].data == 2).all()
    assert bucket.data[1:3] == [line(step=1, n_samples=5), line(step=2, n_samples=6)]
    with pytest.raises(IndexError):
        bucket.data[5]


def contradictory_line():
    made = line()
    made._head.active_channels = 4
    return made


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (object(), "no message can carry object"),
        (ConfigName("x" * 1024), "shorter than 1024"),
        (ConfigName("a\0b"), "without NUL"),
        (contradictory_line(), "channels, samples"),
        (ImageArray(np.zeros((1,) * 7, np.complex64), np.zeros((1, 1, 1))), "headers of float64"),
    ],
)
def test_what_cannot_be_sent_is_refused(message, reason):
    with pytest.raises(UnsendableError, match=reason):
        encode(message)


def test_images_with_integers_beyond_32_bits_are_refused():
    made = image(np.int64)
    made.data[:] = 1 << 40
    with pytest.raises(UnsendableError, match="beyond 32 bits"):
        encode(made)
