"""Scans beside each other, too many scans, and an orderly end."""

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import ismrmrd
import pytest

from nilatron import __version__
from nilatron.pipelines.wire import Close, Config, Error, Text


def test_a_peer_that_vanishes_costs_its_own_scan_only(server, talk, scan):
    header, items = scan
    vanishing = server.connect()
    talk.send(vanishing, "l1_wavelet", (header, items[:10]), close=False)
    server.wait_for("scan begins", chain="l1_wavelet")
    vanishing.close()
    images, errors = talk(server, "cg_sense")
    assert (len(images), errors) == (2, [])
    assert server.wait_for("scan ended", outcome="peer gone")


def test_the_first_line_of_the_log_is_the_version(server):
    first = server.lines[0]
    assert (first["message"], first["version"]) == (f"nilatron {__version__}", __version__)
    assert first["revision"]


def test_health_and_metrics(server, talk):
    talk(server, "cg_sense")
    server.wait_for("scan ended", outcome="complete")
    assert server.get("/healthz")[0] == 200
    assert server.get("/nothing")[0] == 404
    assert server.metric('nilatron_scans_total{outcome="complete"}') >= 1
    assert server.metric("nilatron_images_total") >= 2
    assert server.metric("nilatron_admitted_bytes_limit") > 0
    assert server.metric("nilatron_scan_seconds_count") >= 1


def test_the_front_loads_neither_torch_nor_numpy(server):
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "torch" not in maps
    assert "numpy" not in maps


def test_refusals_say_why_and_sigterm_lets_scans_end(make_server, talk, scan):
    server = make_server("--max-scans", "2", "--grace-s", "8", "--memory-mb", "400")
    header, items = scan
    images, errors = talk(server, "cg_sense", (re.sub("<(x|y)>(32|64)</", r"<\1>4000</", header), items))
    assert not images
    assert "this server has 400 MiB" in errors[0].text
    server.wait_for("scan ended", outcome="refused")
    wide = ismrmrd.Acquisition(items[-1].getHead())
    wide.resize(items[-1].number_of_samples, 1000)
    images, errors = talk(server, "cg_sense", (header, [*items[:5], wide]))
    assert not images
    assert "the lines of this scan need more than its header says" in errors[0].text
    running = [server.connect() for _ in range(2)]
    for connection in running:
        talk.send(connection, "cg_sense", (header, items[:10]), close=False)
    server.wait_for("scan begins", 3)
    assert server.get("/readyz")[0] == 503
    for asked, kind in (("cg_sense", Text), (Config(b"<configuration/>"), Error)):
        images, errors = talk(server, asked)
        assert not images
        assert type(errors[0]) is kind
        assert "2 scans are running" in errors[0].text
    os.killpg(server.process.pid, signal.SIGTERM)  # as service managers do
    server.wait_for("stopping")
    with pytest.raises(OSError, match="refused"):
        server.connect()
    for item in items[10:]:
        running[0].send(item)
    running[0].send(Close())
    images, errors = talk.replies(running[0])
    assert (len(images), errors) == (2, [])
    images, errors = talk.replies(running[1])  # its scan never ends
    assert not images
    assert "being stopped" in errors[0].text
    assert server.process.wait(60) == 0


@pytest.fixture
def peers(server):
    """Connect silent peers at another address of this machine; they leave after the test."""
    socks = []

    def connect(n, said=b"", address="127.0.0.2"):
        for _ in range(n):
            socks.append(socket.create_connection(("127.0.0.1", server.port), 10, source_address=(address, 0)))
            socks[-1].sendall(said)
        return socks[-n:]

    yield connect
    for sock in socks:
        sock.close()


def children_of(pid):
    return {
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    }


@pytest.mark.parametrize("said", [b"", b"\x02\x00\x00"])
def test_peers_that_say_nothing_or_little_do_not_keep_others_out(server, talk, peers, said):
    peers(80, said)
    images, errors = talk(server, "cg_sense")
    assert (len(images), errors) == (2, [])
    assert server.get("/readyz")[0] == 200


def test_the_silent_peers_of_one_address_are_few_and_told(peers):
    first = peers(65, address="127.0.0.4")[0]
    first.settimeout(10)
    assert b"too many connections that say nothing" in first.recv(4096)


def test_a_peer_that_hangs_up_behind_close_frees_the_worker(server, talk, large_scan):
    connection = server.connect()
    properties = "<property name='target' value='nila_published'/><property name='steps' value='1000'/>"
    talk.send(connection, Config.of(f"<configuration>{properties}</configuration>"), large_scan)
    connection.receive()
    connection.socket.close()
    assert server.wait_for("scan ended", outcome="peer gone")
    images, errors = talk(server, Config(b"<configuration/>"))
    assert (len(images), errors) == (4, [])


def test_failed_scans_leave_their_place_though_their_peers_stay(make_server, talk, scan):
    server = make_server("--max-scans", "1")
    staying = server.connect()
    talk.send(staying, "no such chain", scan, close=False)
    assert "no such chain" in staying.receive().text
    images, errors = talk(server, "cg_sense")
    assert (len(images), errors) == (2, [])
    staying.close()


def test_one_address_may_be_kept_from_having_all_scans(make_server, talk, scan):
    server = make_server("--max-scans-per-peer", "1", "--max-scan-s", "3")
    header, items = scan
    holding = server.connect()
    talk.send(holding, "cg_sense", (header, items[:5]), close=False)
    server.wait_for("scan begins")
    _, errors = talk(server, "cg_sense")
    assert "all that one address may have" in errors[0].text
    _, errors = talk.replies(holding)
    assert "a scan may take 3 s" in errors[0].text


def test_one_address_alone_has_all_the_memory_and_gives_back_what_was_lent_to_it(make_server, talk, scan, large_scan):
    server = make_server("--memory-mb", "600")
    header, items = scan
    long = Config.of(
        "<configuration><property name='target' value='nila_published'/><property name='steps' value='1000'/></configuration>"
    )
    finished, coming, third, fourth = (server.connect() for _ in range(4))
    talk.send(finished, long, large_scan)
    talk.send(coming, "cg_sense", (header, items[:5]), close=False)
    talk.send(third, "cg_sense", (header, items[:5]), close=False)
    server.wait_for("scan begins", 3)
    talk.send(fourth, long, large_scan)  # the latest: it is hurried first
    server.wait_for("scan begins", 4)
    assert server.get("/readyz")[0] == 200
    images, errors = talk(server, "cg_sense", address="127.0.0.2")
    assert (len(images), errors) == (2, [])
    images, errors = talk.replies(fourth)
    assert len(images) == 4
    assert "beyond the share of its address); the conventional image replaces it" in errors[0].text
    for connection in (coming, third):
        for item in items[5:]:
            connection.send(item)
        connection.send(Close())
        images, errors = talk.replies(connection)
        assert (len(images), errors) == (2, [])
    finished.close()


def test_lent_memory_of_a_scan_that_does_not_end_is_taken_back(make_server, talk, scan):
    server = make_server("--memory-mb", "300")
    header, items = scan
    connections = [server.connect() for _ in range(2)]
    for number, connection in enumerate(connections, 1):
        talk.send(connection, "cg_sense", (header, items[:5]), close=False)
        server.wait_for("scan begins", number)
    images, errors = talk(server, "cg_sense", address="127.0.0.2")
    assert (len(images), errors) == (2, [])
    _, errors = talk.replies(connections[1])
    assert "beyond the share of its address" in errors[0].text
    for item in items[5:]:
        connections[0].send(item)
    connections[0].send(Close())
    images, errors = talk.replies(connections[0])
    assert (len(images), errors) == (2, [])


def test_sigusr1_shows_the_state_and_sighup_ends_it(make_server):
    server = make_server()
    server.process.send_signal(signal.SIGUSR1)
    state = server.wait_for("state")
    assert (state["scans"], state["silent"], state["workers_ready"], state["problems"]) == (0, 0, 1, [])
    assert state["descriptors"] > 5
    os.killpg(server.process.pid, signal.SIGHUP)
    assert server.process.wait(60) == 0


FAILING = """
import sys
from pathlib import Path
from nilatron.pipelines.server import front, logs
from nilatron.pipelines.server.settings import ServeSettings

def fail(self):
    if any(scan.opened for scan in self.scans.values()):
        raise RuntimeError("a fault")

logs.configure("front", as_json=True, verbose=False)
front.Front._check_deadlines = fail
front.serve(ServeSettings(port=0, health_port=0, device="cpu", weights=Path(sys.argv[1])))
"""


def test_a_front_that_fails_ends_at_once_with_all_its_children(start_program, tiny_weights, talk, scan):
    header, items = scan
    server = start_program([sys.executable, "-c", FAILING, str(tiny_weights)])
    found = {grandchild for child in children_of(server.process.pid) for grandchild in (child, *children_of(child))}
    connection = server.connect()
    talk.send(connection, "cg_sense", (header, items[:5]), close=False)
    assert server.process.wait(30) == 1
    deadline = time.monotonic() + 30
    while any(is_running(pid) for pid in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) >= 2
    assert not [pid for pid in found if is_running(pid)]
    connection.close()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
