"""Decoding inverts encoding, however the stream is cut, and refuses what is not sound before it allocates."""

import itertools
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nilatron.pipelines.wire import (
    Close,
    Decoder,
    LimitError,
    Limits,
    MalformedError,
    Text,
    TruncatedError,
    UnknownMessageError,
    WireError,
    encode,
)
from nilatron.pipelines.wire.structures import BUCKET

KIND_NAMES = ("acquisition", "waveform", "image", "bucket", "recon_data", "image_array", "text")
SMALL = Limits(message_bytes=1 << 20, text_bytes=1 << 16, config_bytes=1 << 16, header_bytes=1 << 16, lines=500)


@pytest.mark.slow
@given(seed=st.integers(0, 1 << 32), kind=st.sampled_from(KIND_NAMES))
@settings(max_examples=300, deadline=None)
def test_what_was_decoded_is_encoded_to_the_same_bytes(seed, kind, random_message):
    sent = random_message(kind, np.random.default_rng(seed))
    decoder = Decoder()
    (message,) = decoder.feed(sent)
    decoder.finish()
    assert b"".join(encode(message)) == sent


@pytest.mark.slow
@given(cuts=st.lists(st.integers(0, 1 << 20), max_size=40))
@settings(max_examples=50, deadline=None)
def test_cuts_do_not_matter(cuts, some_of_each):
    stream = b"".join(some_of_each)
    places = [0, *sorted(cut % len(stream) for cut in cuts), len(stream)]
    decoder, again = Decoder(), []
    for start, end in itertools.pairwise(places):
        again += [b"".join(encode(message)) for message in decoder.feed(stream[start:end])]
    decoder.finish()
    assert again == some_of_each


def test_every_cut_inside_a_message_is_noticed(some_of_each):
    for message in some_of_each:
        for end in {1, 2, len(message) // 2, len(message) - 1} - {0, len(message)}:
            decoder = Decoder()
            assert list(decoder.feed(message[:end])) == []
            with pytest.raises(TruncatedError):
                decoder.finish()


def test_messages_in_front_of_a_fault_arrive_and_the_fault_stays():
    decoder = Decoder()
    stream = decoder.feed(b"\5\0\2\0\0\0hi" + b"\x06\x04" + b"\4\0")
    assert next(stream) == Text(b"hi")
    for _ in range(2):
        with pytest.raises(UnknownMessageError, match=r"1030.*known are 1 CONFIG_NAME") as caught:
            list(decoder.feed(b"\4\0"))
        assert caught.value.number == 1030


def test_what_is_not_iterated_comes_later():
    decoder = Decoder()
    decoder.feed(b"\4\0\4")
    assert list(decoder.feed(b"\0")) == [Close(), Close()]


def acquisition_head(n_samples, n_channels, n_dimensions):
    head = bytearray(342)
    struct.pack_into("<H", head, 0, 1008)
    struct.pack_into("<HHH", head, 36, n_samples, n_channels, n_channels)
    struct.pack_into("<H", head, 178, n_dimensions)
    return bytes(head)


HUGE = (1 << 64) - 1
HOSTILE = {
    "text": b"\5\0\xff\xff\xff\xff",
    "header": b"\3\0\xff\xff\xff\xff",
    "configuration": b"\2\0\xff\xff\xff\xff",
    "error": struct.pack("<HQ", 8, HUGE),
    "query": struct.pack("<HQQQ", 6, 0, 0, HUGE),
    "channels": acquisition_head(1, 65535, 0),
    "samples and channels": acquisition_head(65535, 1024, 0),
    "trajectory": acquisition_head(1, 1, 65535),
    "waveform": struct.pack("<H28xHH8x", 1026, 65535, 1024),
    "image": struct.pack("<HHH12xHHH12xH162xQ", 1022, 1, 7, 65535, 65535, 65535, 65535, 0),
    "image attributes": struct.pack("<HHH194xQ", 1022, 1, 7, HUGE),
    "axes": struct.pack("<HQQ", 1023, 1, HUGE),
    "product of axes": struct.pack("<HQQQQQ", 1023, 1, 3, 1 << 32, 1 << 32, 1 << 32),
    "empty but huge": struct.pack("<HQQQQ", 1023, 1, 2, 0, 1 << 62),
    "encoding spaces": struct.pack("<HQ", 1023, HUGE),
    "lines": struct.pack("<H", 1050) + BUCKET.pack(HUGE, *[0] * 12),
    "attributes of an array": struct.pack("<HQQQ", 1024, 0, 0, HUGE),
}


@pytest.mark.parametrize("stream", HOSTILE.values(), ids=HOSTILE)
def test_sizes_beyond_the_limits_are_refused_before_memory_is_taken(stream):
    tracemalloc.start()
    with pytest.raises(LimitError, match="Limits"):
        list(Decoder(SMALL).feed(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 17


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (struct.pack("<HHH194xQ", 1022, 1, 9, 0), "data type 9"),
        (struct.pack("<H", 1050) + BUCKET.pack(2, 680 - 1, *[0] * 11), "headers of lines take 679 bytes"),
        (struct.pack("<HQQ", 1023, 1, 0) + b"\2", "must be 0 or 1"),
        (b"\1\0" + b"\xff" * 1024, "not UTF-8"),
        (b"\1\0" + b"n" * 1024, "no NUL within 1024 bytes"),
    ],
)
def test_contradictions_are_named(stream, reason):
    with pytest.raises(MalformedError, match=reason):
        list(Decoder().feed(stream))


@pytest.mark.slow
def test_ten_thousand_mutated_streams_end_with_messages_or_a_wire_error(some_of_each):
    rng = np.random.default_rng(17)
    outcomes = {"whole": 0, "cut": 0, "refused": 0}
    for _ in range(10_000):
        outcomes[outcome_of(mutated(some_of_each, rng))] += 1
    assert min(outcomes.values()) > 500


@pytest.mark.slow
def test_mutated_streams_take_no_more_memory_than_the_limits_allow(some_of_each):
    rng = np.random.default_rng(18)
    tracemalloc.start()
    for _ in range(1000):
        outcome_of(mutated(some_of_each, rng))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * SMALL.message_bytes


def outcome_of(stream):
    decoder = Decoder(SMALL)
    try:
        for _ in decoder.feed(stream):
            pass
    except WireError:
        return "refused"
    return "whole" if decoder.between_messages else "cut"


def mutated(messages, rng):
    """A few messages with flipped bits, numbers overwritten, bytes cut out or other ids."""
    chosen = rng.integers(0, len(messages), 2)
    stream = bytearray(b"".join(messages[i] for i in chosen))
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, min(len(stream), 500)))
        match int(rng.integers(4)):
            case 0:
                stream[at] ^= 1 << int(rng.integers(8))
            case 1:
                stream[at : at + 8] = struct.pack("<Q", int(rng.choice([0, 1, 255, 65535, 1 << 31, 1 << 40, 1 << 63])))
            case 2:
                del stream[at : at + int(rng.integers(1, 50))]
            case 3:
                stream[0:2] = struct.pack(
                    "<H", int(rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 1008, 1018, 1022, 1023, 1024, 1050]))
                )
        if not stream:
            break
    return bytes(stream)
