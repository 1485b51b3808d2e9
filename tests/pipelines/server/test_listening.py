import errno
import logging
import resource
import socket
from types import SimpleNamespace

import pytest

from nilatron.pipelines.server.listening import Doors, PortError, listen, naming_the_port, raise_descriptors


def failing(number):
    def accept():
        raise OSError(number, "no")

    return SimpleNamespace(accept=accept)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_or_memory_there_is_a_pause_and_one_line(number, caplog):
    caplog.set_level(logging.WARNING)
    doors = Doors()
    assert not doors.paused
    assert [list(doors.accept(failing(number))) for _ in range(3)] == [[]] * 3
    assert doors.paused
    assert len(caplog.records) == 1


def test_a_peer_that_leaves_while_it_is_accepted_makes_no_pause():
    doors = Doors()
    assert list(doors.accept(failing(errno.ECONNABORTED))) == []
    assert not doors.paused


def test_a_connection_comes_with_its_address():
    doors = Doors(listen("127.0.0.1", 0))
    port = doors.sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        accepted = list(doors.accept(doors.sockets[0]))
    for sock, _ in accepted:
        assert sock.getblocking()
        sock.close()
    assert [address for _, address in accepted] == ["127.0.0.1"] * 2
    doors.close()
    assert not doors.sockets


def test_a_port_that_is_taken_is_named():
    (taken, *others) = listen("127.0.0.1", 0)
    with taken, pytest.raises(PortError, match=r"--port.*in use"), naming_the_port("--port", "127.0.0.1", 1):
        listen("127.0.0.1", taken.getsockname()[1])
    for sock in others:
        sock.close()


def test_descriptors_are_as_many_as_the_system_allows():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        n = raise_descriptors()
        assert n == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(before[1], 1 << 16)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
