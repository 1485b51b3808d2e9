"""What a session does when its worker behaves badly."""

import threading
from multiprocessing.connection import Listener

import numpy as np
import pytest

from nilatron.core.sense import SenseOperator
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem
from nilatron.pipelines.server.jobs import receive_frame, send_frame
from nilatron.pipelines.server.remote import WorkerClient, WorkerLostError
from nilatron.pipelines.wire import PeerGoneError


@pytest.fixture
def problem():
    maps = np.ones((1, 1, 8, 8), np.complex64)
    operator = SenseOperator(maps, np.ones((1, 8, 8), np.float32))
    return Problem(operator, maps, maps[0], np.random.default_rng(3), "cpu")


@pytest.fixture
def ask(tmp_path, problem):
    """Send a slice to a worker that answers with `behave(connection)`."""

    def send(behave, gone=lambda: None, wait_s=30.0, settings=None, queue_wait_s=30.0):
        address = str(tmp_path / "worker")
        done = threading.Event()
        with Listener(address, "AF_UNIX") as listener:

            def accept():
                with listener.accept() as connection:
                    behave(connection, done)

            thread = threading.Thread(target=accept)
            thread.start()
            try:
                client = WorkerClient(address, wait_s, lambda: True, gone, queue_wait_s)
                return client.run("nila", problem, settings or NilaNodeSettings())
            finally:
                done.set()
                thread.join(10)

    return send


def test_images_and_how_they_were_made(ask, problem):
    seen = {}

    def behave(connection, _):
        head, arrays = receive_frame(connection)
        seen.update(head)
        send_frame(connection, {"taken": True}, {})
        send_frame(connection, {"begun": True}, {})
        send_frame(connection, {"provenance": {"steps": "8"}}, {"main": 2 * arrays["conventional"]})

    outcome = ask(behave)
    np.testing.assert_array_equal(outcome.images["main"], 2 * problem.conventional)
    assert outcome.provenance == {"steps": "8"}
    assert seen["target"] == "nila"
    assert seen["live"] is True


def test_the_workers_error_is_raised(ask):
    def behave(connection, _):
        receive_frame(connection)
        send_frame(connection, {"taken": True}, {})
        send_frame(connection, {"begun": True}, {})
        send_frame(connection, {"error": "out of memory twice"}, {})

    with pytest.raises(RuntimeError, match="out of memory twice"):
        ask(behave)


def test_a_worker_that_dies(ask):
    def behave(connection, _):
        receive_frame(connection)
        send_frame(connection, {"taken": True}, {})

    with pytest.raises(WorkerLostError, match="was lost"):
        ask(behave)


def silent(connection, done):
    receive_frame(connection)
    done.wait(30)


def test_a_worker_that_does_not_take_it(ask):
    with pytest.raises(WorkerLostError, match="did not take the slice"):
        ask(silent, wait_s=0.3)


def test_a_worker_that_does_not_finish(ask):
    def behave(connection, done):
        receive_frame(connection)
        send_frame(connection, {"taken": True}, {})
        send_frame(connection, {"begun": True}, {})
        done.wait(30)

    with pytest.raises(WorkerLostError, match="did not finish"):
        ask(behave, settings=NilaNodeSettings(slice_budget_s=0.5))


@pytest.mark.parametrize(
    ("queue_wait_s", "settings", "limit"), [(0.3, {}, "0.3 s"), (30.0, {"slice_budget_s": 0.4}, "0.")]
)
def test_a_slice_does_not_wait_in_the_queue_without_end(ask, queue_wait_s, settings, limit):
    def behave(connection, done):
        receive_frame(connection)
        send_frame(connection, {"taken": True}, {})
        done.wait(30)

    with pytest.raises(WorkerLostError, match=f"did not begin the slice within {limit}"):
        ask(behave, settings=NilaNodeSettings(**settings), queue_wait_s=queue_wait_s)


def test_nobody_waits_for_a_peer_that_is_gone(ask):
    with pytest.raises(PeerGoneError):
        ask(silent, gone=lambda: PeerGoneError("gone"))


def test_the_worker_is_asked_for_what_has_a_prior_and_the_table_of_the_process_stays():
    before = dict(METHODS)
    client = WorkerClient("nowhere", 1.0, live=lambda: True, gone=lambda: None)
    methods = client.methods()
    assert {target for target in METHODS if methods[target] != METHODS[target]} == {"nila", "nila_published"}
    assert methods.keys() == METHODS.keys()
    assert before == METHODS


def test_no_worker_at_all(tmp_path, problem):
    client = WorkerClient(str(tmp_path / "none"), 1.0, live=lambda: True, gone=lambda: None)
    with pytest.raises(WorkerLostError):
        client.run("nila", problem, NilaNodeSettings())
