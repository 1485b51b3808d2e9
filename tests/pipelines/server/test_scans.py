"""A session that dies costs its own scan only, and its peer is told."""

import json
import os
import signal
import socket
import time
from types import SimpleNamespace

import pytest

from nilatron.pipelines.server.caller import Caller, SharedState
from nilatron.pipelines.server.scans import WANTED_BACK, Scan, send_error
from nilatron.pipelines.wire import Close, Config, Error, Text

NODE = Config(b"<configuration><property name='target' value='cg_sense'/></configuration>")


@pytest.mark.parametrize(("asked", "chain", "kind"), [("cg_sense", "cg_sense", Text), (NODE, "node cg_sense", Error)])
def test_the_peer_of_a_killed_session_gets_its_images_and_an_error(server, talk, scan, asked, chain, kind):
    header, items = scan
    missing = server.metric("nilatron_images_missing_total")
    beside = server.connect()
    talk.send(beside, "zero_filled", (header, items[:3]), close=False)
    connection = server.connect()
    talk.send(connection, asked, (header, items[:-3]), close=False)
    assert connection.receive().image_series_index == 1  # the first slice is complete
    time.sleep(0.5)  # a session that is killed while it sends cannot be followed by anything
    begins = server.wait_for("scan begins", chain=chain)
    os.kill(begins["pid"], signal.SIGKILL)
    images, errors = talk.replies(connection)
    assert not images
    assert [type(error) for error in errors] == [kind]
    assert "died" in errors[0].text
    ended = server.wait_for("scan ended", scan=begins["scan"])
    assert ended["outcome"] == "died"
    assert ended["code"] == -signal.SIGKILL
    assert (ended["images"], ended["expected"]) == (1, 2)
    assert server.metric("nilatron_images_missing_total") == missing + 1
    for item in items[3:]:
        beside.send(item)
    beside.send(Close())
    images, errors = talk.replies(beside)
    assert (len(images), errors) == (2, [])


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def test_the_last_word_waits_for_what_the_peer_still_sends(pair):
    ours, theirs = pair
    theirs.sendall(b"x" * 50_000)
    theirs.shutdown(socket.SHUT_WR)
    memory = bytearray(2)
    SharedState(memory).caller = Caller.NODE
    send_error(ours, SharedState(memory), "it died")
    received = b""
    while piece := theirs.recv(4096):
        received += piece
    assert received.startswith(b"\x08\x00")
    assert received.endswith(b"it died\x04\x00")


def test_nothing_follows_a_message_that_was_cut(pair):
    ours, theirs = pair
    memory = bytearray(2)
    SharedState(memory).sending = True
    send_error(ours, SharedState(memory), "it died")
    assert theirs.recv(100) == b""


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        (None, {"outcome": "died", "images": 3, "expected": 8}),
        ({"outcome": "stopped"}, {"outcome": "stopped", "images": 3, "expected": 8}),
        ({"outcome": "failed", "images": 3, "expected": 4}, {"outcome": "failed", "images": 3, "expected": 8}),
        ({"outcome": "complete", "images": 3, "expected": 3}, {"outcome": "complete", "images": 3, "expected": 3}),
        ({"outcome": "empty"}, {"outcome": "empty", "images": 3, "expected": 0}),
    ],
)
def test_a_scan_that_broke_off_misses_what_its_header_announced(done, expected):
    scan = Scan(1, None, "127.0.0.1", SharedState(bytearray(6)), None, done=done, n_expected=8)
    scan.shared.images = 3
    assert scan.summary() | {"error": None} == expected | {"error": None}


def test_a_scan_that_shall_give_back_its_memory_is_hurried_then_stopped_then_killed():
    orders, killed = [], []
    control = SimpleNamespace(send_bytes=lambda order: orders.append(json.loads(order)))
    child = SimpleNamespace(control=control, process=SimpleNamespace(kill=lambda: killed.append(True)))
    scan = Scan(1, None, "127.0.0.1", SharedState(bytearray(6)), child)
    scan.give_back(60, 60)
    scan.give_back(60, 60)
    assert orders == [{"hurry": WANTED_BACK}]
    scan.give_back(0, 60)
    scan.give_back(0, 60)
    assert orders == [{"hurry": WANTED_BACK}, {"stop": WANTED_BACK}]
    assert not killed
    scan.give_back(0, 0)
    assert killed == [True]
    assert scan.summary()["error"] == WANTED_BACK
