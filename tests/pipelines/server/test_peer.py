import socket

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
