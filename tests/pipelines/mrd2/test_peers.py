"""mrd-python as a peer, in each version at hand: its streams are read, and ours by its own readers."""

import io
import json

import numpy as np
import pytest

from nilatron.pipelines.mrd2.noise import noise_model, read_noise, write_noise
from nilatron.pipelines.mrd2.protocol import Reader, Writer
from nilatron.pipelines.stream import v2
from nilatron.pipelines.stream.run import StreamSettings, reconstruct

pytestmark = pytest.mark.slow

PHANTOM = "mrd.tools.phantom"
# every kind of item that the peer can write (it refuses its own arrays of heads), with values in all fields of a head
EVERY_KIND = """
import sys, numpy as np, mrd
def fill(record):
    for name, value in vars(record).items():
        if isinstance(value, np.ndarray) and value.shape == (3,):
            value[:] = [1.5, -2, 3]
        elif value is None and not name.endswith("phase_data"):
            try:
                setattr(record, name, 7)
            except TypeError:
                pass
        elif value == [] and name.startswith(("user", "physiology", "channel")):
            setattr(record, name, [1, 2, 3])
    return record
head, image = fill(mrd.AcquisitionHeader()), fill(mrd.ImageHeader(image_type=mrd.ImageType.MAGNITUDE))
head.idx = fill(mrd.EncodingCounters())
kinds = {"Uint16": np.uint16, "Int16": np.int16, "Uint32": np.uint32, "Int32": np.int32, "Float": np.float32,
         "Double": np.float64, "ComplexFloat": np.complex64, "ComplexDouble": np.complex128}
line = mrd.Acquisition(head=head, data=np.ones((2, 5), np.complex64), trajectory=np.ones((2, 5), np.float32))
meta = {"a": [mrd.ImageMetaValue.String("x"), mrd.ImageMetaValue.Int64(-3), mrd.ImageMetaValue.Float64(0.5)]}
items = [mrd.StreamItem.Acquisition(line)]
items.append(mrd.StreamItem.WaveformUint32(mrd.WaveformUint32(data=np.ones((2, 3), np.uint32))))
for name, kind in kinds.items():
    pixels = (np.arange(12).reshape(1, 1, 3, 4) * 3000).astype(kind)
    items.append(getattr(mrd.StreamItem, "Image" + name)(mrd.Image(head=image, data=pixels, meta=meta)))
items.append(mrd.StreamItem.AcquisitionBucket(mrd.AcquisitionBucket(data=[line], ref=[line])))
items.append(mrd.StreamItem.ArrayComplexFloat(np.ones((2, 3), np.complex64)))
with mrd.BinaryMrdWriter(sys.stdout.buffer) as writer:
    writer.write_header(None)
    writer.write_data(items)
"""
READ = """
import sys, json, numpy as np, mrd
with mrd.BinaryMrdReader(sys.stdin.buffer) as reader:
    header, found = reader.read_header(), []
    for item in reader.read_data():
        value = item.value
        meta = {name: [entry.value for entry in entries] for name, entries in value.meta.items()}
        found.append([type(item).__name__.split(".")[-1], value.data.shape, float(np.abs(value.data).sum()),
                      value.head.image_series_index, meta.get("DataRole")])
print(json.dumps([header.encoding[0].recon_space.matrix_size.x, found]))
"""
NOISE = """
import sys, json, mrd
with mrd.BinaryMrdNoiseCovarianceReader(sys.stdin.buffer) as reader:
    noise = reader.read_noise_covariance()
dwell = noise.noise_dwell_time_ns / 1000 if hasattr(noise, "noise_dwell_time_ns") else noise.noise_dwell_time_us
print(json.dumps([noise.sample_count, dwell, [label.coil_name for label in noise.coil_labels], noise.matrix.real.tolist()]))
"""
WRITE_NOISE = """
import sys, numpy as np, mrd
noise = mrd.NoiseCovariance(coil_labels=[mrd.CoilLabelType(coil_number=n, coil_name=f"C{n}") for n in range(2)],
                            receiver_noise_bandwidth=0.79, sample_count=999, matrix=np.eye(2, dtype=np.complex64))
with mrd.BinaryMrdNoiseCovarianceWriter(sys.stdout.buffer) as writer:
    writer.write_noise_covariance(noise)
"""


def copied(data):
    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    writer = Writer(out, reader.model)
    writer.value("header", reader.value("header"))
    for item in reader.items("data"):
        writer.item("data", item)
    writer.end_items()
    return out.getvalue()


def in_single_blocks(data, python, run_peer):
    """The stream as the peer writes it item by item."""
    program = "import sys, mrd\nr = mrd.BinaryMrdReader(sys.stdin.buffer)\nw = mrd.BinaryMrdWriter(sys.stdout.buffer)\n"
    program += "w.write_header(r.read_header())\nw.write_data(i for i in r.read_data())\nr.close()\nw.close()"
    return run_peer(python, program, data=data)


def test_every_kind_of_item_goes_out_as_the_bytes_that_came(peers, run_peer):
    for python, version in peers:
        data = in_single_blocks(run_peer(python, EVERY_KIND), python, run_peer)
        reader = Reader(io.BytesIO(data))
        assert reader.value("header") is None
        assert len(list(reader.items("data"))) == 12, version
        assert copied(data) == data, version


def test_images_of_the_phantom_of_the_peer_are_read_by_the_peer(peers, run_peer):
    for python, version in peers:
        raw = run_peer(python, PHANTOM, "-c", 4, "-m", 32)
        incoming, out = v2.Incoming(io.BytesIO(raw)), io.BytesIO()
        report = reconstruct(
            incoming, v2.Outgoing(out, incoming.model, incoming.header_record), StreamSettings("cg_sense")
        )
        assert (report.failure, report.n_sent) == (None, 1), version
        size, found = json.loads(run_peer(python, READ, data=out.getvalue()))
        ((kind, shape, total, series, role),) = found
        assert (size, kind, shape, series, role) == (32, "ImageFloat", [1, 1, 32, 32], 1, ["Image"]), version
        assert total > 0


def test_noise_covariances_go_both_ways(peers, run_peer):
    for python, version in peers:
        raw = run_peer(python, PHANTOM, "-c", 2, "-m", 16)
        found = read_noise(io.BytesIO(run_peer(python, WRITE_NOISE)))
        assert (found.n_samples, found.coil_names) == (999, ("C0", "C1")), version
        np.testing.assert_array_equal(found.covariance, np.eye(2))
        out = io.BytesIO()
        write_noise(out, found, noise_model(Reader(io.BytesIO(raw)).model))
        count, dwell, names, matrix = json.loads(run_peer(python, NOISE, data=out.getvalue()))
        assert (count, dwell, names, matrix) == (999, 0, ["C0", "C1"], [[1, 0], [0, 1]]), version


def test_our_scans_are_read_by_the_peer(peers, run_peer, scan):
    """In the peer's schema, as a stream that names it gives it."""
    for python, version in peers:
        model = Reader(io.BytesIO(run_peer(python, PHANTOM, "-c", 2, "-m", 16))).model
        out = io.BytesIO()
        outgoing = v2.Outgoing(out, model)
        outgoing.begin(scan[0])
        for item in scan[1]:
            outgoing.send(item)
        outgoing.end()
        assert in_single_blocks(out.getvalue(), python, run_peer) == out.getvalue(), version
