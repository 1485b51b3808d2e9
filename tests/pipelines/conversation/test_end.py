import socket
import threading
from contextlib import closing

import pytest

from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.conversation.end import end_connection, keep_alive
from nilatron.pipelines.wire import Close, Connection, Error, PeerGoneError, encode


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    with closing(here), closing(there):
        yield here, there


def test_error_goes_before_and_close_after_the_rest_of_the_input(ends):
    here, there = ends
    connection = Connection(here)
    reader = EagerReader(connection.receive_some)
    thread = threading.Thread(target=end_connection, args=(connection, reader, Error.of("no"), 10, 1 << 20))
    thread.start()
    error = b"".join(bytes(part) for part in encode(Error.of("no")))
    assert there.recv(100) == error
    there.settimeout(0.1)
    with pytest.raises(TimeoutError):
        there.recv(100)
    there.sendall(b"".join(encode(Close())))
    there.settimeout(10)
    assert there.recv(100) == b"".join(encode(Close()))
    assert there.recv(100) == b""
    there.close()
    thread.join(10)
    assert here.fileno() == -1


def test_a_peer_that_is_gone_is_reported_and_the_socket_closed(ends):
    here, there = ends
    connection = Connection(here)
    there.close()
    with pytest.raises(PeerGoneError):
        end_connection(connection, EagerReader(connection.receive_some), None, 10, 1 << 20)
    assert here.fileno() == -1


def test_silent_connections_are_probed():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        keep_alive(client)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
