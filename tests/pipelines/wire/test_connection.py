"""Conversations over sockets, and their ends."""

import socket
import struct
import threading
import time
from contextlib import contextmanager

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.wire import (
    Close,
    Connection,
    Error,
    PeerGoneError,
    SocketSource,
    Text,
    Timeouts,
    TruncatedError,
    WireTimeoutError,
    read_message,
    read_to_end,
)
from nilatron.pipelines.wire import connection as connections

QUICK = Timeouts(message_s=0.1, idle_s=0.1, end_s=0.1)


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    theirs.settimeout(20)
    yield ours, theirs
    ours.close()
    theirs.close()


def received_until_the_end(sock):
    data = b""
    while chunk := sock.recv(1 << 20):
        data += chunk
    return data


def in_thread(target, *arguments):
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    return thread


def test_every_kind_arrives_over_a_socket_in_drops(pair, some_of_each):
    ours, theirs = pair
    stream = b"".join(some_of_each)

    def drip():
        for start in range(0, len(stream), 977):
            theirs.sendall(stream[start : start + 977])
        theirs.shutdown(socket.SHUT_WR)

    thread = in_thread(drip)
    connection = Connection(ours)
    n_messages = 0
    while connection.receive() is not None:
        n_messages += 1
    thread.join()
    assert n_messages == len(some_of_each)


@pytest.mark.parametrize("n_bytes", [1, 2, 100, 342, 400, 9000])
def test_a_peer_that_vanishes_inside_a_message_is_noticed(pair, n_bytes):
    ours, theirs = pair
    line = ismrmrd.Acquisition.from_array(np.ones((4, 512), np.complex64))
    theirs.sendall((struct.pack("<H", 1008) + line.to_bytes())[:n_bytes])
    theirs.close()
    with pytest.raises(TruncatedError):
        Connection(ours).receive()


def test_an_end_between_messages_is_an_end_but_no_close(pair):
    ours, theirs = pair
    theirs.sendall(b"\5\0\2\0\0\0hi")
    theirs.close()
    messages = iter(Connection(ours))
    assert next(messages) == Text(b"hi")
    with pytest.raises(PeerGoneError, match="without CLOSE"):
        next(messages)


def test_a_reset_is_an_error(pair):
    ours, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(PeerGoneError, match="broke"):
        Connection(ours).receive()


@pytest.mark.parametrize(("begun", "where"), [(b"", "between messages"), (b"\4", "inside a message")])
def test_silence_is_an_error(pair, begun, where):
    ours, theirs = pair
    theirs.sendall(begun)
    start = time.monotonic()
    with pytest.raises(WireTimeoutError, match=where):
        Connection(ours, timeouts=QUICK).receive()
    assert time.monotonic() - start < 10


def test_between_messages_the_other_end_may_be_silent_for_longer(pair):
    ours, theirs = pair
    connection = Connection(ours, timeouts=Timeouts(message_s=0.01, idle_s=None))
    timer = threading.Timer(0.2, theirs.sendall, [b"\4\0"])
    timer.start()
    assert connection.receive() == Close()
    timer.join()


@pytest.mark.slow
def test_an_other_end_that_takes_nothing_is_an_error_and_nothing_follows_a_cut_message(pair):
    ours, _ = pair
    connection = Connection(ours, timeouts=QUICK)
    with pytest.raises(WireTimeoutError, match="took nothing"):
        connection.send(ismrmrd.Image.from_array(np.zeros((16, 1024, 1024), np.float32)))
    with pytest.raises(PeerGoneError, match="in part"):
        connection.send(Close())


def test_unread_input_at_the_end_costs_no_image(pair):
    ours, theirs = pair
    line = struct.pack("<H", 1008) + ismrmrd.Acquisition.from_array(np.ones((8, 512), np.complex64)).to_bytes()

    def peer():
        theirs.sendall(line * 20 + b"\4\0")
        time.sleep(0.1)
        source = SocketSource(theirs, 20, 20)
        while (message := read_message(source)) is not None:
            got.append(message)
        theirs.close()

    got: list[object] = []
    thread = in_thread(peer)
    connection = Connection(ours)
    connection.receive()
    for _ in range(8):
        connection.send(ismrmrd.Image.from_array(np.ones((512, 1024), np.float32)))
    connection.end()
    thread.join()
    assert [type(message).__name__ for message in got] == ["ReceivedImage"] * 8 + ["Close"]


def test_a_failure_is_told_before_the_end(pair):
    ours, theirs = pair
    theirs.sendall(b"\4\0")
    thread = in_thread(Connection(ours).end, "no coil")
    source = SocketSource(theirs, 20, 20)
    assert read_message(source) == Error(b"no coil")
    assert read_message(source) == Close()
    theirs.close()
    thread.join()


def test_an_end_survives_input_that_is_no_message(pair):
    ours, theirs = pair
    theirs.sendall(b"\xff\xff garbage")
    thread = in_thread(Connection(ours).end, "no coil")
    theirs.shutdown(socket.SHUT_WR)
    assert received_until_the_end(theirs) == struct.pack("<HQ", 8, 7) + b"no coil" + b"\4\0"
    thread.join()


def test_who_said_close_already_does_not_repeat_it(pair):
    ours, theirs = pair
    connection = Connection(ours, timeouts=QUICK)
    connection.send(Close())
    theirs.sendall(b"\4\0")
    connection.end()
    assert received_until_the_end(theirs) == b"\4\0"


def test_closing_wakes_a_thread_that_waits(pair):
    ours, _ = pair
    connection = Connection(ours)
    timer = threading.Timer(0.1, connection.close)
    timer.start()
    assert connection.receive() is None
    timer.join()


def test_messages_of_many_threads_arrive_whole(pair):
    ours, theirs = pair
    connection = Connection(ours)
    image = ismrmrd.Image.from_array(np.ones((64, 1024), np.float32))
    threads = [in_thread(lambda: [connection.send(image) for _ in range(10)]) for _ in range(4)]
    source = SocketSource(theirs, 20, 20)
    assert all((read_message(source).data == 1).all() for _ in range(40))
    for thread in threads:
        thread.join()


@contextmanager
def flooded(sock, data):
    """As long as this lasts, a thread sends the data again and again."""
    stopped = threading.Event()
    sock.settimeout(0.05)

    def flood():
        left = data
        while not stopped.is_set():
            try:
                left = left[sock.send(left) :] or data
            except TimeoutError:
                continue
            except OSError:
                return

    thread = in_thread(flood)
    yield
    stopped.set()
    thread.join()


def test_reading_stops_at_the_end_of_the_stream(pair):
    here, there = pair
    there.sendall(bytes(1000))
    there.close()
    read_to_end(here, 10, 1 << 20)
    assert here.recv(1) == b""


@pytest.mark.parametrize(("timeout_s", "limit_bytes"), [(0.1, 1 << 40), (60, 10_000)])
def test_reading_is_bounded_in_time_and_in_bytes_although_the_other_end_never_pauses(pair, timeout_s, limit_bytes):
    here, there = pair
    with flooded(there, bytes(1000)):
        started = time.monotonic()
        read_to_end(here, timeout_s, limit_bytes)
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("flood", [b"\5\0\2\0\0\0hi", b"\5\0\0\0\0\1" + bytes(1 << 24), b"\xff\xff"])
@pytest.mark.parametrize("said_close", [False, True])
def test_an_end_is_bounded_in_time_although_the_other_end_never_pauses(pair, flood, said_close):
    ours, theirs = pair
    connection = Connection(ours, timeouts=Timeouts(5, None, 0.1))
    theirs.sendall(b"\4\0" * said_close)
    with flooded(theirs, flood):
        started = time.monotonic()
        connection.end("enough")
        assert time.monotonic() - started < 20


@pytest.mark.slow
def test_the_rest_of_the_input_is_bounded_in_bytes(pair, monkeypatch):
    monkeypatch.setattr(connections, "_END_BYTES", 100_000)
    ours, theirs = pair
    connection = Connection(ours, timeouts=Timeouts(5, None, 1000))
    with flooded(theirs, b"\5\0\2\0\0\0hi"):
        connection.end()
