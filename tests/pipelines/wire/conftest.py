"""Messages of every kind, made from a seed."""

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.stock.types import (
    AcquisitionBucket,
    AcquisitionBucketStats,
    Buffer,
    ReconBit,
    ReconData,
    SamplingDescription,
    SamplingLimit,
)
from nilatron.pipelines.wire import (
    Close,
    Config,
    ConfigName,
    Dicom,
    Error,
    Header,
    ImageArray,
    Query,
    Response,
    Text,
    encode,
)
from nilatron.pipelines.wire.compressed import COMPRESSION_FLAGS
from nilatron.pipelines.wire.structures import ACQUISITION_HEADER, IMAGE_HEADER, PIXEL_TYPES


def random_header(kind, rng, **sizes):
    head = kind.from_buffer_copy(rng.bytes(np.dtype(kind).itemsize))
    for name, value in sizes.items():
        setattr(head, name, value)
    return head


def noise(rng, shape, dtype):
    """Any bit pattern but signalling NaN."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        return (rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype.kind == "c" else 0)).astype(
            dtype
        )
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def structured(rng, shape, dtype):
    count = int(np.prod(shape))
    return np.frombuffer(bytearray(rng.bytes(count * dtype.itemsize)), dtype).reshape(shape, order="F")


def acquisition(rng):
    n, n_channels, n_dimensions = (int(rng.integers(0, top)) for top in (20, 5, 4))
    sizes = {"number_of_samples": n, "active_channels": n_channels, "trajectory_dimensions": n_dimensions}
    head = random_header(ismrmrd.AcquisitionHeader, rng, **sizes)
    head.flags &= ~COMPRESSION_FLAGS
    return ismrmrd.Acquisition(head, noise(rng, (n_channels, n), "c8"), noise(rng, (n, n_dimensions), "f4"))


def waveform(rng):
    n, n_channels = int(rng.integers(0, 20)), int(rng.integers(0, 4))
    head = random_header(ismrmrd.WaveformHeader, rng, number_of_samples=n, channels=n_channels)
    return ismrmrd.Waveform(head, noise(rng, (n_channels, n), "u4"))


def image(rng, code=None):
    """As bytes, since ismrmrd has no images of int32."""
    code = code or int(rng.integers(1, 9))
    x, y, z, n_channels = (int(rng.integers(0, 5)) for _ in range(4))
    head = random_header(ismrmrd.ImageHeader, rng, data_type=code, channels=n_channels, matrix_size=(x, y, z))
    attributes = [b"", b"<ismrmrdMeta><meta><name>a</name><value>\xc3\xbc</value></meta></ismrmrdMeta>\0"][
        rng.integers(2)
    ]
    pixels = noise(rng, (n_channels, z, y, x), PIXEL_TYPES[code])
    return b"\xfe\x03" + bytes(head) + len(attributes).to_bytes(8, "little") + attributes + pixels.tobytes()


def bucket(rng):
    lines = [[acquisition(rng) for _ in range(rng.integers(0, 4))] for _ in range(2)]
    stats = [
        [
            AcquisitionBucketStats(*(set(rng.integers(0, 65536, rng.integers(0, 5)).tolist()) for _ in range(9)))
            for _ in range(rng.integers(0, 3))
        ]
        for _ in range(2)
    ]
    return AcquisitionBucket(lines[0], stats[0], lines[1], stats[1], [waveform(rng) for _ in range(rng.integers(0, 3))])


def buffer(rng):
    e0, e1, e2, n_channels, n, s, loc = (int(rng.integers(0 if i < 2 else 1, 4)) for i in range(7))
    three = [tuple(noise(rng, 3, "f4").tolist()) for _ in range(2)]
    whole = [tuple(rng.integers(0, 65536, 3).tolist()) for _ in range(5)]
    sampling = SamplingDescription(*three, *whole[:2], tuple(SamplingLimit(*limits) for limits in whole[2:]))
    optional = [None if rng.integers(2) else np.asfortranarray(noise(rng, (2, e0, e1), "f4")) for _ in range(2)]
    data = np.asfortranarray(noise(rng, (e0, e1, e2, n_channels, n, s, loc), "c8"))
    return Buffer(data, structured(rng, (e1, e2, n, s, loc), ACQUISITION_HEADER), sampling, *optional)


def recon_data(rng):
    return ReconData(
        [ReconBit(buffer(rng), buffer(rng) if rng.integers(2) else None) for _ in range(rng.integers(0, 3))]
    )


def image_array(rng):
    shape = tuple(int(size) for size in rng.integers(1, 4, 7))
    return ImageArray(
        np.asfortranarray(noise(rng, shape, "c8")),
        structured(rng, shape[4:], IMAGE_HEADER),
        [rng.bytes(rng.integers(0, 9)) for _ in range(rng.integers(0, 3))],
        [waveform(rng) for _ in range(2)] if rng.integers(2) else None,
        structured(rng, shape[1:3] + shape[4:], ACQUISITION_HEADER) if rng.integers(2) else None,
    )


def text(rng):
    content = rng.bytes(rng.integers(0, 40))
    number = int(rng.integers(0, 1 << 62))
    choices = [Config(content), Header(content), Text(content), Error(content), Query(content, number), Close()]
    choices += [
        Response(content, number),
        Dicom(content, content[:3], content[3:]),
        ConfigName("ünï" * rng.integers(0, 9)),
    ]
    return choices[rng.integers(len(choices))]


KINDS = {f.__name__: f for f in (acquisition, waveform, image, bucket, recon_data, image_array, text)}


def message_bytes(kind, rng):
    """One whole message of a kind."""
    made = KINDS[kind](rng)
    return made if isinstance(made, bytes) else b"".join(encode(made))


@pytest.fixture(scope="session")
def random_message():
    return message_bytes


@pytest.fixture(scope="session")
def some_of_each():
    """Messages of every kind, as bytes."""
    rng = np.random.default_rng(4)
    return [message_bytes(kind, rng) for kind in KINDS for _ in range(8)]
