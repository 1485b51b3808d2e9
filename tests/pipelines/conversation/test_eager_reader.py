import threading
import time
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.conversation.eager_reader import EagerReader, memory_of
from nilatron.pipelines.wire import Close, PeerGoneError, Text, TruncatedError, WireError


class Source:
    """`receive_some` of a connection: hands out messages, counts them, waits at the end for more."""

    def __init__(self, *messages, at_once=1):
        self.messages, self.n_taken, self.more, self.at_once = list(messages), 0, threading.Event(), at_once

    def __call__(self):
        if self.n_taken == len(self.messages):
            self.more.wait(20)
            return []
        some = self.messages[self.n_taken : self.n_taken + self.at_once]
        self.n_taken += len(some)
        if isinstance(some[0], Exception):
            raise some[0]
        return [message for message in some if message is not None]


def block(n_bytes):
    return Text(bytes(n_bytes))


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "not within 10 s"
        time.sleep(0.002)


@pytest.mark.parametrize("at_once", [1, 100, 501])
def test_messages_come_in_order_up_to_close(at_once):
    messages = [Text.of(str(number)) for number in range(500)]
    reader = EagerReader(Source(*messages, Close(), Text.of("later"), at_once=at_once))
    assert list(reader) == messages
    assert reader.n_messages == 500
    assert reader.problem is None
    assert reader.join(5)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (TruncatedError("cut"), TruncatedError),
        (None, PeerGoneError),
        (MemoryError(), WireError),
        (KeyError(1), WireError),
    ],
)
def test_a_broken_stream_is_told_after_what_was_whole(end, kind):
    reader = EagerReader(Source(block(1), block(2), end))
    stream = iter(reader)
    assert [len(next(stream).content) for _ in range(2)] == [1, 2]
    with pytest.raises(kind):
        next(stream)
    assert isinstance(reader.problem, kind)


def test_reading_goes_ahead_of_the_consumer_up_to_the_limit():
    source = Source(*[block(100_000)] * 50, Close())
    reader = EagerReader(source, limit_bytes=1_000_000)
    wait_until(lambda: source.n_taken == 10)
    time.sleep(0.05)
    assert source.n_taken == 10  # 10 x 102,048 bytes are the first to exceed the limit
    stream = iter(reader)
    for _ in range(30):
        next(stream)
    wait_until(lambda: source.n_taken >= 39)
    assert reader.peak_bytes < 1_200_000
    assert len(list(stream)) == 20


def test_a_message_larger_than_the_limit_passes():
    assert len(list(EagerReader(Source(*[block(1000)] * 3, Close()), limit_bytes=10))) == 3


def test_a_slow_consumer_gets_the_times_of_arrival():
    begun = time.monotonic()
    reader = EagerReader(Source(block(1), block(2), Close()))
    assert (reader.arrived_s, reader.join(10)) == (None, True)
    arrived = time.monotonic()
    time.sleep(0.05)
    stamps = [reader.arrived_s for _ in reader]
    assert begun <= stamps[0] <= stamps[1] <= reader.ended_s <= arrived


def test_the_stream_has_not_ended_as_long_as_more_may_come():
    source = Source(block(1))
    reader = EagerReader(source)
    next(iter(reader))
    assert reader.ended_s is None
    source.more.set()
    assert reader.join(10)
    assert reader.ended_s >= reader.arrived_s


def test_discarding_wakes_a_reader_that_waits_for_memory_and_keeps_nothing():
    source = Source(*[block(1000)] * 40, Close())
    reader = EagerReader(source, limit_bytes=10_000)
    wait_until(lambda: source.n_taken > 2)
    assert reader.discard(10, 1 << 20)
    assert source.n_taken == 41
    assert list(reader) == []
    assert reader.peak_bytes < 16_000


def test_discarding_is_bounded_in_time_and_in_bytes():
    silent = Source(block(1))
    assert not EagerReader(silent).discard(0.05, 1 << 20)
    endless = Source(*[block(1000)] * 100)
    assert not EagerReader(endless, limit_bytes=5000).discard(10, 20_000)
    silent.more.set()
    endless.more.set()


def line(n_coils, n_samples, n_dimensions=0):
    return ismrmrd.Acquisition.from_array(
        np.zeros((n_coils, n_samples), np.complex64), np.zeros((n_samples, n_dimensions), np.float32)
    )


@pytest.mark.parametrize(
    ("message", "n_bytes"),
    [
        (line(16, 512, 2), 16 * 512 * 8 + 512 * 2 * 4),
        (SimpleNamespace(data=[line(2, 1000)] * 3, ref=[], waveforms=[]), 3 * 2 * 1000 * 8),
        (
            SimpleNamespace(bits=[SimpleNamespace(data=SimpleNamespace(data=np.zeros(5000), headers=np.zeros(99)), ref=None)]),
            8 * 5099,
        ),
        (Text(bytes(12345)), 12345),
        (ismrmrd.Image.from_array(np.zeros((100, 100), np.float32)), 40_000),
        (Close(), 0),
    ],
)  # fmt: skip
def test_memory_of_messages(message, n_bytes):
    assert n_bytes <= memory_of(message) <= n_bytes + 4096
