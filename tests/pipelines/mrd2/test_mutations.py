"""Mutated streams of MRD v2: an end, images or an error, and no memory above the limit of an item.

NILATRON_MUTATIONS sets how many; the default is a sample of them.
"""

import io
import os
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nilatron.pipelines.mrd2.protocol import Reader
from nilatron.pipelines.stream import v2
from nilatron.pipelines.wire import Close, Limits, UnsendableError, WireError

COUNT = int(os.environ.get("NILATRON_MUTATIONS", "60"))
FUZZ = Path(__file__).resolve().parents[3] / "fuzz"
PATIENCE_S = 60
LIMITS = Limits(message_bytes=1 << 21, header_bytes=1 << 16)
OTHER_BYTES = 6 << 20  # schema, header as XML and as objects, the stream that is written
NUMBERS = (b"\0", b"\1", b"\x7f", b"\xff\xff\x03", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\1", b"\xff" * 12)


@pytest.fixture(scope="module")
def streams():
    sys.path.insert(0, str(FUZZ))
    try:
        import seeds
    finally:
        sys.path.remove(str(FUZZ))
    return seeds.seeds()["mrd2"]


def mutated(stream, schema_bytes, rng):
    """One to four changes: a bit, a hole, an end, a count; most of them behind the schema."""
    data = bytearray(stream)
    for _ in range(int(rng.integers(1, 5))):
        first = 12 + schema_bytes if rng.random() < 0.85 else 0
        at = int(rng.integers(min(first, len(data) - 1), len(data)))
        kind = rng.choice(["bit", "hole", "end", "count"], p=[0.4, 0.2, 0.05, 0.35])
        if kind == "bit":
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == "hole":
            del data[at : at + int(rng.integers(1, 40))]
        elif kind == "end":
            del data[at + 1 :]
        else:
            number = NUMBERS[int(rng.integers(len(NUMBERS)))]
            data[at : at + len(number)] = number
    return bytes(data)


def outcome(data):
    """How a stream ends that is read, and written again as far as it was understood."""
    n_items = 0
    try:
        incoming = v2.Incoming(io.BytesIO(data), b"", LIMITS)
        outgoing = v2.Outgoing(io.BytesIO(), incoming.model, incoming.header_record)
        outgoing.begin(incoming.header)
        while not isinstance(item := incoming.receive_some()[0], Close):
            n_items += 1
            try:
                outgoing.send(item)
            except UnsendableError:
                continue
    except WireError as error:
        return type(error).__name__, n_items
    return "complete", n_items


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers that became infinite
def test_every_mutated_stream_ends_within_its_memory(streams):
    schema_bytes = [len(Reader(io.BytesIO(stream)).model.text) for stream in streams]
    for stream in streams:
        assert outcome(stream)[0] == "complete"
    outcomes, worst_bytes, worst_s = Counter(), 0, 0.0
    tracemalloc.start()
    try:
        for seed in range(COUNT):
            number = seed % len(streams)
            data = mutated(streams[number], schema_bytes[number], np.random.default_rng((4, seed)))
            tracemalloc.reset_peak()
            before, started = tracemalloc.get_traced_memory()[0], time.process_time()
            outcomes[outcome(data)[0]] += 1
            seconds, n_bytes = time.process_time() - started, tracemalloc.get_traced_memory()[1] - before
            worst_bytes, worst_s = max(worst_bytes, n_bytes), max(worst_s, seconds)
            assert n_bytes < LIMITS.message_bytes + OTHER_BYTES, f"stream {seed} took {n_bytes} bytes"
            assert seconds < PATIENCE_S, f"stream {seed} took {seconds} s"
    finally:
        tracemalloc.stop()
    print(dict(outcomes), f"{worst_bytes / 2**20:.1f} MiB, {worst_s:.2f} s at most")  # noqa: T201
    assert outcomes["complete"] > COUNT // 20
    assert outcomes["MalformedError"] + outcomes["TruncatedError"] > COUNT // 4
