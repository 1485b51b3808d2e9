"""Our gadgets against what the stock ones of a real server made of the same lines."""

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.stock.registry import STOCK_GADGETS

pytestmark = pytest.mark.shared
PREPARATION = ("NoiseAdjustGadget", "AsymmetricEchoAdjustROGadget", "RemoveROOversamplingGadget")


def lines_of(path):
    dataset = ismrmrd.Dataset(path, mode="r")
    try:
        return [dataset.read_acquisition(i) for i in range(dataset.number_of_acquisitions())]
    finally:
        dataset.close()


def through(names_and_properties, items, context):
    for name, properties in names_and_properties:
        items = STOCK_GADGETS[name](properties)(items, context)
    return list(items)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "whitened"),
    [
        ("wire/node_raw.bin", "node_whitened.bin"),
        ("wire/small.h5", "node_whitened.bin"),
        ("data/raw/brain_8ch_R4.h5", "node_whitened_brain_8ch_R4.bin"),
    ],
)
def test_prepared_lines_are_those_of_the_server(recording, shared, source, whitened):
    context, expected = recording(whitened)
    lines = recording("node_raw.bin")[1] if source.endswith(".bin") else lines_of(shared / source)
    ours = through([(name, {}) for name in PREPARATION], lines, context)
    assert len(ours) == len(expected)
    for line, reference in zip(ours, expected, strict=True):
        assert bytes(line.getHead()) == bytes(reference.getHead())
        assert np.linalg.norm(line.data - reference.data) < 1e-5 * np.linalg.norm(reference.data)


@pytest.mark.parametrize("scan", ["", "_brain_8ch_R4"])
def test_buffers_are_those_of_the_server_byte_for_byte(recording, scan):
    context, lines = recording(f"node_whitened{scan}.bin")
    _, expected = recording(f"node_buffer{scan}.bin")
    ours = through(
        [
            ("AcquisitionAccumulateTriggerGadget", {"trigger_dimension": "repetition"}),
            ("BucketToBufferGadget", {"N_dimension": "contrast", "S_dimension": "average", "split_slices": "true"}),
        ],
        lines,
        context,
    )
    pairs = [
        (mine, theirs)
        for made, reference in zip(ours, expected, strict=True)
        for bit, other in zip(made.bits, reference.bits, strict=True)
        for mine, theirs in ((bit.data, other.data), (bit.ref, other.ref))
    ]
    assert pairs
    for mine, theirs in pairs:
        np.testing.assert_array_equal(mine.data, theirs.data)
        assert mine.headers.shape == theirs.headers.shape
        assert mine.headers.tobytes(order="F") == b"".join(bytes(head) for head in theirs.headers.flatten(order="F"))
        assert [tuple(limit) for limit in mine.sampling.sampling_limits] == [
            tuple(limit) for limit in theirs.sampling.sampling_limits
        ]
        for name in ("encoded_FOV", "recon_FOV", "encoded_matrix", "recon_matrix"):
            assert list(getattr(mine.sampling, name)) == list(getattr(theirs.sampling, name))


def test_buckets_are_those_of_the_server(recording):
    context, lines = recording("node_whitened.bin")
    _, expected = recording("node_bucket.bin")
    ours = through([("AcquisitionAccumulateTriggerGadget", {"trigger_dimension": "repetition"})], lines, context)
    assert len(ours) == len(expected)
    for made, reference in zip(ours, expected, strict=True):
        for mine, theirs in ((made.data, reference.data), (made.ref, reference.ref)):
            assert [line.to_bytes() for line in mine] == [line.to_bytes() for line in theirs]
        assert [vars(stats) for stats in made.datastats] == [vars(stats) for stats in reference.datastats]
        assert [vars(stats) for stats in made.refstats] == [vars(stats) for stats in reference.refstats]
