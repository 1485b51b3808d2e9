"""The worker's own work, in this process: memory that runs out, slices that nobody waits for."""

import threading
from dataclasses import replace
from multiprocessing import Pipe

import numpy as np
import pytest
import torch

from nilatron.core.sense import SenseOperator
from nilatron.core.sets import SetsOperator
from nilatron.gadgets.methods import METHODS, BaselineSettings
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem
from nilatron.pipelines.server.job_queue import Job
from nilatron.pipelines.server.jobs import pack_problem, receive_frame, send_frame
from nilatron.pipelines.server.worker import Worker, reduced_budgets


@pytest.fixture
def problem(tiny_weights):
    rng = np.random.default_rng(1)
    maps = np.ones((2, 1, 16, 16), np.complex64) / np.float32(np.sqrt(2))
    counts = (rng.random((1, 16, 16)) < 0.6).astype(np.float32)
    operator = SenseOperator(maps, counts)
    image = rng.standard_normal((1, 16, 16, 2)).astype(np.float32).view(np.complex64)[..., 0]
    data = operator.forward(20 * image)
    return Problem(operator, data, operator.adjoint(data), np.random.default_rng(3), "cpu", tiny_weights)


@pytest.fixture
def work(tiny_weights, problem):
    """Send the problem to a worker with some method; returns the answer and the worker's last event."""

    def run(method, target="nila", settings=None, problem=problem):
        events = []
        worker = Worker("cpu", tiny_weights, events.append, METHODS | {target: replace(METHODS[target], run=method)})
        ours, theirs = Pipe()
        receiver = threading.Thread(target=worker.receive, args=(theirs,))
        receiver.start()
        head, arrays = pack_problem(target, problem, settings or METHODS[target].settings_class())
        with ours:
            send_frame(ours, {**head, "live": True, "sent_s": float("inf")}, arrays)
            assert receive_frame(ours)[0] == {"taken": True}
            worker.work(worker.waiting.get(10))
            answer = receive_frame(ours)
        receiver.join(10)
        return (*answer, events[-1])

    return run


def test_the_image_is_that_of_the_method_itself(work, problem):
    settings = NilaNodeSettings(steps=3)
    head, images, event = work(METHODS["nila"].run, settings=settings)
    expected = run_nila(problem, settings)
    np.testing.assert_allclose(images["main"], expected.images["main"], rtol=1e-5)
    assert head["provenance"] == expected.provenance
    assert event["result"] == "done"


def test_several_map_sets_come_through(work, problem):
    maps = np.stack([problem.operator.coil_maps, problem.operator.coil_maps * np.array([1, -1]).reshape(2, 1, 1, 1)])
    operator = SetsOperator(maps.astype(np.complex64), problem.operator.counts)
    problem = replace(problem, operator=operator, conventional=operator.adjoint(problem.data))
    head, images, _ = work(lambda given, _: Outcome({"main": given.operator.adjoint(given.data)}), problem=problem)
    assert "error" not in head
    np.testing.assert_allclose(images["main"], problem.conventional, rtol=1e-5, atol=1e-5)
    assert images["main"].shape == (2, 16, 16)


def failing(n_times, error):
    left = [error] * n_times

    def run(problem, settings):
        del settings
        if left:
            raise left.pop()
        return Outcome({"main": problem.conventional})

    return run


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_is_tried_once_more(work, problem, error):
    head, images, event = work(failing(1, error))
    assert "error" not in head
    np.testing.assert_array_equal(images["main"], problem.conventional)
    assert event["result"] == "done"
    head, images, event = work(failing(2, error))
    assert "out of memory twice" in head["error"]
    assert not images
    assert event["result"] == "out of memory"


def test_other_failures_are_answers_too(work):
    head, _, event = work(failing(1, ValueError("a bad day")))
    assert head == {"error": "ValueError: a bad day"}
    assert event["result"] == "failed"


def test_the_sampler_stops_before_its_next_step_when_nobody_waits(tiny_weights, problem):
    steps = []

    def run(own, settings):
        def hang_up(step, sigma, x):
            steps.append(step)
            own.callback(step, sigma, x)
            job.cancelled.set()

        return run_nila(replace(own, callback=hang_up), settings)

    events = []
    worker = Worker("cpu", tiny_weights, events.append, METHODS | {"nila": replace(METHODS["nila"], run=run)})
    head, arrays = pack_problem("nila", problem, NilaNodeSettings())
    job = Job({**head, "sent_s": float("inf")}, arrays)
    worker.work(job)
    assert steps == [0, 1]
    assert events[-1]["result"] == "cancelled"


def test_a_slice_whose_session_hangs_up_is_cancelled(tiny_weights, problem):
    events = []
    worker = Worker("cpu", tiny_weights, events.append, METHODS)
    ours, theirs = Pipe()
    receiver = threading.Thread(target=worker.receive, args=(theirs,))
    receiver.start()
    head, arrays = pack_problem("nila", problem, NilaNodeSettings())
    send_frame(ours, {**head, "sent_s": float("inf")}, arrays)
    receive_frame(ours)
    job = worker.waiting.get(10)
    ours.close()
    receiver.join(10)
    worker.work(job)
    assert events[-1]["result"] == "cancelled"


def test_waiting_takes_from_the_budgets():
    assert reduced_budgets(BaselineSettings(), 5.0) == BaselineSettings()
    settings = NilaNodeSettings(slice_budget_s=3.0)
    assert reduced_budgets(settings, 1.0).slice_budget_s == pytest.approx(2.0)
    assert reduced_budgets(settings, 1.0).scan_budget_s == 0
    with pytest.raises(RuntimeError, match="no time left"):
        reduced_budgets(settings, 3.0)
