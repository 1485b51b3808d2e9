import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from nilatron.pipelines.node import watch as node_watch
from nilatron.pipelines.node.watch import Watch, send_error
from nilatron.pipelines.wire import Close, Decoder, Error

SOURCE = str(Path(__file__).resolve().parents[3] / "src")


@pytest.fixture
def ends():
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = socket.create_connection(server.getsockname())
        here, _ = server.accept()
    there.settimeout(10)
    with closing(here), closing(there):
        yield here, there


@pytest.fixture
def exits(monkeypatch):
    """Exit codes of the process, had it ended."""
    codes = []
    monkeypatch.setattr(node_watch, "INTERVAL_S", 0.01)
    monkeypatch.setattr(node_watch, "GRACE_S", 0.05)
    monkeypatch.setattr(node_watch.os, "_exit", codes.append)
    monkeypatch.setattr(node_watch.logging, "shutdown", lambda: None)
    return codes


class Conversation:
    def __init__(self, peer_lost=False):
        self.peer_lost, self.reasons = peer_lost, []

    def abort(self, reason, timeout_s):
        assert timeout_s > 0
        self.reasons.append(reason)
        return True


def wait_for(codes):
    deadline = time.monotonic() + 10
    while not codes and time.monotonic() < deadline:
        time.sleep(0.01)
    return codes


def watching(sock, conversation):
    watch = Watch(sock, "test")
    watch.conversation = conversation
    return watch


def test_sigterm_aborts_the_conversation_and_the_handler_goes_again(ends, exits):
    conversation = Conversation()
    watch = watching(ends[0], conversation)
    os.kill(os.getpid(), signal.SIGTERM)
    assert wait_for(exits) == [143]
    assert "SIGTERM" in conversation.reasons[0]
    watch.stop()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_a_goodbye_that_hangs_does_not_keep_the_process(ends, exits, monkeypatch):
    monkeypatch.setattr(node_watch, "ABORT_S", 0.02)
    conversation = Conversation(peer_lost=True)
    hanging = threading.Event()
    conversation.abort = lambda *_: hanging.wait(30)
    watch = watching(ends[0], conversation)
    assert wait_for(exits) == [4]
    hanging.set()
    watch.stop()


def test_the_end_of_the_parent(ends, exits, monkeypatch):
    conversation = Conversation()
    watch = watching(ends[0], conversation)
    monkeypatch.setattr(node_watch.os, "getppid", lambda: -1)  # not 1: that may be the parent already
    assert wait_for(exits) == [4]
    assert "started it has ended" in conversation.reasons[0]
    watch.stop()


def test_a_lost_input_ends_the_process_after_some_grace(ends, exits):
    conversation = Conversation(peer_lost=True)
    watch = watching(ends[0], conversation)
    assert wait_for(exits) == [4]
    assert conversation.reasons == ["the other end is gone"]
    watch.stop()


def test_a_reset_is_seen_although_nobody_reads(ends, exits):
    here, there = ends
    watch = watching(here, Conversation())
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    there.close()
    assert wait_for(exits) == [4]
    watch.stop()


def test_a_living_connection_and_one_that_was_closed_here_are_left_alone(ends, exits):
    here, there = ends
    watch = watching(here, Conversation())
    there.sendall(b"x")
    there.shutdown(socket.SHUT_WR)  # it may still want images
    time.sleep(0.2)
    here.close()
    time.sleep(0.1)
    assert exits == []
    watch.stop()


def test_an_error_is_said_and_the_rest_of_the_input_read(ends):
    here, there = ends
    there.sendall(bytes(200_000))
    thread = threading.Thread(target=send_error, args=(here, "no módule", 10))
    thread.start()
    received = b""
    while chunk := there.recv(1 << 16):
        received += chunk
    there.close()
    thread.join(10)
    assert list(Decoder().feed(received)) == [Error.of("no módule"), Close()]
    assert here.fileno() == -1


def test_saying_it_is_bounded_and_harmless_where_nobody_listens(ends):
    here, there = ends
    started = time.monotonic()
    send_error(here, "to a silent peer", 0.1)
    assert time.monotonic() - started < 5
    send_error(here, "to a closed socket", 0.1)
    assert [type(m) for m in Decoder().feed(there.recv(1000))] == [Error, Close]


def test_nothing_that_can_fail_is_imported():
    """The modules of node and watch, each in an interpreter that has no packages."""
    for module in ("node.watch", "node"):
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {SOURCE!r}); import nilatron.pipelines.{module}",
        ]
        subprocess.run(command, check=True, timeout=60)  # noqa: S603
