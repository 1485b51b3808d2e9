import socket
import threading

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.server.caller import Caller, SharedState
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.wire import Close, Connection, Error, Limits, PeerGoneError, Text, Timeouts, TruncatedError


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    connection = PeerConnection(ours, Limits(), Timeouts(5, 5, 5), SharedState(bytearray(2)))
    with connection, Connection(theirs) as peer:
        yield connection, peer


@pytest.mark.parametrize(
    ("caller", "said"),
    [(Caller.NODE, Error.of("no")), (Caller.CLIENT, Text.of("no")), (Caller.FIRE, Text.of("ERR no"))],
)
def test_errors_in_the_callers_words(ends, caller, said):
    connection, peer = ends
    connection.shared.caller = caller
    connection.send(Error.of("no"))
    assert peer.receive() == said


def test_images_are_counted_for_the_front(ends):
    connection, peer = ends
    connection.send(Text.of("no image"))
    connection.send(ismrmrd.Image.from_array(np.zeros((1, 1, 2, 2), np.float32)))
    assert isinstance(peer.receive(), Text)
    assert isinstance(peer.receive(), ismrmrd.Image)
    assert connection.shared.images == 1


def test_a_message_that_was_put_back_comes_next(ends):
    connection, peer = ends
    peer.send(Close())
    connection.put_back(Text.of("first"))
    assert connection.receive() == Text.of("first")
    assert connection.live
    assert connection.timing.ended_s is None
    assert connection.receive() == Close()
    assert not connection.live
    assert connection.timing.ended_s is not None
    assert connection.gone is None


def test_what_broke_is_remembered(ends):
    connection, peer = ends
    peer.socket.sendall(b"\x05\x00\xff")
    peer.close()
    with pytest.raises(TruncatedError):
        connection.receive()
    assert isinstance(connection.gone, TruncatedError)


def test_an_end_without_close_is_no_end(ends):
    connection, peer = ends
    peer.close()
    assert connection.receive() is None
    assert isinstance(connection.gone, PeerGoneError)


def test_a_message_that_did_not_go_out_leaves_its_mark(ends):
    connection, peer = ends
    connection.send(Text.of("whole"))
    assert not connection.shared.sending
    peer.close()
    with pytest.raises(PeerGoneError):
        connection.send(Text(b"x" * 10_000_000))
    assert connection.shared.sending


@pytest.fixture
def over_tcp():
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    connection = PeerConnection(ours, Limits(), Timeouts(5, 5, 5), SharedState(bytearray(6)))
    with connection, Connection(theirs) as peer:
        yield connection, peer


def test_a_peer_that_has_said_close_and_waits_is_not_gone_and_gets_the_stream_as_it_is(over_tcp):
    connection, peer = over_tcp
    peer.send(Close())
    connection.receive()
    assert connection.why_gone() is None
    connection.send(Text.of("before"))
    peer.socket.shutdown(socket.SHUT_WR)
    for _ in range(3):
        threading.Event().wait(0.05)
        assert connection.why_gone() is None
    assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
    connection.send(Text.of("an image"))
    assert [peer.receive(), peer.receive()] == [Text.of("before"), Text.of("an image")]


def test_a_peer_that_hangs_up_behind_close_is_gone_though_nothing_is_sent(over_tcp):
    connection, peer = over_tcp
    peer.send(Close())
    connection.receive()
    peer.close()
    for _ in range(500):
        if connection.why_gone():
            break
        threading.Event().wait(0.01)
    assert isinstance(connection.why_gone(), PeerGoneError)


def test_a_connection_that_was_closed_here_is_not_lost(over_tcp):
    connection, peer = over_tcp
    peer.close()
    connection.send(Close())
    assert connection.why_gone() is None
    connection.close()
    assert connection.why_gone() is None


def test_nothing_is_received_before_it_may_come(ends):
    connection, peer = ends
    peer.send(Close())
    got = []
    thread = threading.Thread(target=lambda: got.append(connection.receive_some()))
    thread.start()
    thread.join(0.05)
    assert not got
    connection.let_in.set()
    thread.join(5)
    assert got == [[Close()]]
