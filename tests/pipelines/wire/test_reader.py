"""Lines that are received many at a time are those that were sent, whatever comes between them and however it is cut."""

import copy
import io
import socket
import struct
import threading
import time
from contextlib import closing, suppress

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.wire import (
    Close,
    Connection,
    FileSource,
    LimitError,
    Limits,
    Text,
    Timeouts,
    TruncatedError,
    UnknownMessageError,
    WireError,
    WireTimeoutError,
    encode,
    read_message,
)
from nilatron.pipelines.wire.lines.memory import SlabMemory
from nilatron.pipelines.wire.lines.slab import MAX_LINES, LineSlab, lines_in_a_slab, make_line, sizes_of

RNG = np.random.default_rng(7)


def line(n_samples=64, n_channels=3, n_dimensions=0):
    sizes = {"number_of_samples": n_samples, "active_channels": n_channels, "trajectory_dimensions": n_dimensions}
    head = ismrmrd.AcquisitionHeader.from_buffer_copy(RNG.bytes(340))
    for name, value in sizes.items():
        setattr(head, name, value)
    head.flags &= (1 << 48) - 1  # not compressed
    samples = RNG.standard_normal((n_channels, 2 * n_samples)).astype(np.float32).view(np.complex64)
    return ismrmrd.Acquisition(head, samples, RNG.standard_normal((n_samples, n_dimensions)).astype(np.float32))


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


LINE = message_bytes(line())


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield ours, theirs


def received(pair, stream, cuts, *, some, limits=None):
    """What comes of a stream that is sent in pieces: bytes of the messages, and the error at the end."""
    ours, theirs = pair
    connection = Connection(ours, limits or Limits(), Timeouts(5, 5, 5))

    def send():
        with suppress(OSError):  # the reader may have stopped at an error
            for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                theirs.sendall(stream[start:stop])
                if len(cuts) < 50:
                    time.sleep(0.002)
            theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    messages, problem = [], None
    try:
        while got := connection.receive_some() if some else [connection.receive()]:
            if got == [None]:
                break
            messages += got
    except WireError as error:
        problem = type(error)
    ours.close()
    thread.join()
    return messages, problem


def random_stream(rng):
    runs = [line(), line(64, 3, 2), line(1000, 8), line(0, 2), line(5, 0), Text.of("hello"), line(1, 1, 3)]
    messages = []
    for _ in range(12):
        messages += [runs[rng.integers(len(runs))]] * int(rng.choice([1, 2, 3, 30, 150]))
    return messages


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_in_any_pieces_arrives_as_it_was_sent(pair, seed, some):
    rng = np.random.default_rng(seed)
    stream = message_bytes(*random_stream(rng))
    cuts = sorted(rng.integers(0, len(stream), [0, 8, 40, 2000][seed]).tolist())
    messages, problem = received(pair, stream, cuts, some=some)
    assert problem is None
    assert message_bytes(*messages) == stream


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 341, 342, 343, len(LINE) - 1])
@pytest.mark.parametrize("n_lines", [2, 3, 100])
def test_a_stream_that_ends_inside_a_line_is_noticed_after_all_whole_lines(pair, n_lines, n_bytes):
    messages, problem = received(pair, n_lines * LINE + LINE[:n_bytes], [], some=True)
    assert (len(messages), problem) == (n_lines, TruncatedError)


def test_what_is_wrong_among_like_lines_is_the_same_error_as_anywhere(pair):
    bad_id, too_long = b"\x39\x30" + LINE[2:], bytearray(LINE)
    too_long[36:38] = struct.pack("<H", 65)
    stream = 10 * LINE + too_long
    assert received(pair, stream, [], some=True, limits=Limits(samples=64))[1] is LimitError
    messages, problem = received_alone(10 * LINE + bad_id)
    assert (len(messages), problem) == (10, UnknownMessageError)


def received_alone(stream):
    pair = socket.socketpair()
    with closing(pair[0]), closing(pair[1]):
        return received(pair, stream, [], some=True)


def read_one_by_one(stream):
    source, messages = FileSource(io.BytesIO(stream)), []
    try:
        while (message := read_message(source)) is not None:
            messages.append(message)
    except WireError as error:
        return messages, type(error)
    return messages, None


@pytest.mark.slow
def test_mutated_lines_end_as_they_do_one_by_one():
    rng = np.random.default_rng(12)
    short = [message_bytes(line(4, 2), line(4, 2), line(4, 2, 1), Text.of("hi"))] + [message_bytes(line(4, 2))] * 8
    for _ in range(400):
        stream = bytearray(b"".join(short[i] for i in rng.integers(0, len(short), 12)))
        for at in rng.integers(0, len(stream), rng.integers(1, 4)):
            stream[at] ^= 1 << rng.integers(8)
        del stream[int(rng.integers(len(stream) // 2, len(stream))) :]
        messages, problem = received_alone(stream)
        expected, expected_problem = read_one_by_one(stream)
        assert problem is expected_problem
        assert message_bytes(*messages) == message_bytes(*expected)


@pytest.mark.parametrize("last", [Close(), Text.of("?"), line(8, 1)])
def test_a_message_is_there_as_soon_as_its_last_byte_has_come(pair, last):
    ours, theirs = pair
    connection = Connection(ours, timeouts=Timeouts(5, 5, 5))
    for _ in range(20):
        theirs.sendall(LINE)
        assert message_bytes(*connection.receive_some()) == LINE
    theirs.sendall(message_bytes(last))
    assert message_bytes(connection.receive()) == message_bytes(last)


@pytest.mark.parametrize(
    ("n_bytes", "where"), [(0, "between messages"), (1, "inside"), (100, "inside"), (900, "inside a message")]
)
def test_silence_among_like_lines_says_where_it_is(pair, n_bytes, where):
    ours, theirs = pair
    connection = Connection(ours, timeouts=Timeouts(0.05, 0.05, 5))
    theirs.sendall(4 * LINE + LINE[:n_bytes])
    assert [sizes_of(connection.receive()) for _ in range(4)] == [(64, 3, 0)] * 4
    with pytest.raises(WireTimeoutError, match=where):
        connection.receive()


@pytest.mark.parametrize("n_dimensions", [0, 1, 3])
def test_samples_lie_aligned_contiguous_and_apart(pair, n_dimensions):
    sent = [line(63, 3, n_dimensions) for _ in range(90)]
    messages, _ = received(pair, message_bytes(*sent), [], some=True)
    for message in messages:
        for array in (message.data, message.traj):
            assert array.flags.c_contiguous
            assert array.flags.aligned
            assert array.flags.writeable
        message.data[:], message.traj[:], message.scan_counter = 1, 2, 3
        message.resize(4, 2, 1)
    assert message_bytes(*received_again(sent)) == message_bytes(*sent)


def received_again(sent):
    return received_alone(message_bytes(*sent))[0]


def test_what_is_kept_of_a_line_keeps_its_values_while_others_come_and_go(pair):
    sent = [line() for _ in range(1000)]
    ours, theirs = pair
    sender = threading.Thread(target=theirs.sendall, args=(message_bytes(*sent, Close()),))
    sender.start()
    with Connection(ours) as connection:
        parts = [message.data[1:, ::2] for number, message in enumerate(connection) if number % 150 == 0]
    sender.join(10)
    assert len(parts) == 7
    for part, message in zip(parts, sent[::150], strict=True):
        np.testing.assert_array_equal(part, message.data[1:, ::2])


def test_lines_do_not_share_what_is_written_into_one():
    sent = [line() for _ in range(70)]
    got = received_again(sent)
    got[30].data[:] = 0
    got[30].scan_counter = got[30].scan_counter ^ 1
    same = [message_bytes(a) == message_bytes(b) for a, b in zip(got, sent, strict=True)]
    assert same == [number != 30 for number in range(70)]


def test_memory_that_lines_share_is_bounded():
    for sizes in [(1, 1, 0), (64, 3, 0), (512, 16, 0), (4096, 64, 0), (65535, 1024, 16)]:
        n_lines = lines_in_a_slab(sizes, 1 << 40)
        assert n_lines <= MAX_LINES
        assert n_lines * sizes[0] * (8 * sizes[1] + 4 * sizes[2]) <= 4 << 20
        assert lines_in_a_slab(sizes, 1 << 10) * sizes[0] * sizes[1] * 8 <= 1 << 10
    assert lines_in_a_slab((0, 4, 0), 1 << 40) == lines_in_a_slab((4, 0, 0), 1 << 40) == 0


def test_what_does_not_belong_to_a_line_is_given_back_and_the_place_used_again():
    slab = LineSlab((64, 3, 0), 4, SlabMemory())
    stream = memoryview(LINE + b"\4\0" + LINE)
    at = 0
    for view in slab.room(4):
        part = stream[at : at + len(view)]
        view[: len(part)] = part
        at += len(part)
    slab.received(len(stream))
    assert message_bytes(*slab.take_lines()) == LINE
    assert slab.contradicted()
    assert slab.take_back() == stream[len(LINE) :]
    assert slab.between_messages
    assert sum(map(len, slab.room(4))) == 3 * len(LINE)


def test_a_line_made_the_short_way_is_one_of_the_constructor():
    original = ismrmrd.Acquisition.from_array(line(20, 2).data, line(20, 2, 3).traj, scan_counter=7)
    head = original.getHead()
    made, built = make_line(head, original.data, original.traj), ismrmrd.Acquisition(head, original.data, original.traj)
    assert vars(made).keys() == vars(built).keys()
    assert all(made.__dict__[name] is built.__dict__[name] for name in ("_head",))
    assert made == built == original
    assert made.to_bytes() == built.to_bytes()
    assert made.getHead() == built.getHead() == copy.deepcopy(head)
    made.resize(10, 1, 0)
    assert made.data.shape == (1, 10)
