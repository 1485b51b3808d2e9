"""The front is killed: its peers see broken connections, and none of its processes is left."""

import os
import signal
import time
from pathlib import Path

import pytest

from nilatron.pipelines.wire import WireError

FINISHED_SCAN_DELAY_S = 120


def children_of(pid):
    """All processes below this one."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, waiting = set(), [pid]
    while waiting:
        parent = waiting.pop()
        below = {child for child, its_parent in parents.items() if its_parent == parent} - found
        found |= below
        waiting.extend(below)
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_nothing_is_left_of_a_killed_server(make_server, talk, scan):
    server = make_server()
    header, items = scan
    connection = server.connect()
    talk.send(connection, "cg_sense", (header, items[:10]), close=False)
    session = server.wait_for("scan begins")["pid"]
    processes = children_of(server.process.pid)
    assert {session, server.worker_pid()} <= processes
    os.kill(server.process.pid, signal.SIGKILL)
    with connection, pytest.raises(WireError):
        list(connection)
    server.process.wait(FINISHED_SCAN_DELAY_S)
    deadline = time.monotonic() + FINISHED_SCAN_DELAY_S
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in processes if alive(pid)]


def test_a_fork_server_that_dies_while_it_is_asked_for_a_session_costs_a_pause_only(make_server, talk, scan):
    server = make_server()
    fork_server = int(Path(f"/proc/{server.worker_pid()}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(fork_server, signal.SIGSTOP)
    waiting = server.connect()
    talk.send(waiting, "cg_sense", scan)
    time.sleep(1)  # the front asks for the process of the session, and waits
    os.kill(fork_server, signal.SIGKILL)
    images, errors = talk.replies(waiting)
    assert (len(images), errors) == (2, [])
    assert server.process.poll() is None
