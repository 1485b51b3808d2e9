"""The worker's own work, in this process: memory that runs out, slices that nobody waits for."""

import threading
import time
from dataclasses import replace
from multiprocessing import Pipe

import numpy as np
import pytest
import torch

from nilatron.core.sense import SenseOperator
from nilatron.core.sets import SetsOperator
from nilatron.gadgets.methods import METHODS, BaselineSettings
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings
from nilatron.gadgets.problem import Outcome, Problem
from nilatron.pipelines.server.job_queue import Job
from nilatron.pipelines.server.jobs import pack_problem, receive_frame, send_frame
from nilatron.pipelines.server.worker import Worker, job_of, reduced_budgets


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
            assert receive_frame(ours)[0] == {"begun": True}
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
    ours, theirs = Pipe()
    job = Job({**head, "sent_s": float("inf")}, arrays, reply_to=theirs)
    worker.work(job)
    ours.close()
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


@pytest.fixture
def two_slices(tiny_weights, problem):
    """Work on a long slice while a short one comes at its second step; answers of both, and what was done, in order."""

    def run(long, short):
        order, pipes = [], {}

        def record(own, settings):
            def callback(step, sigma, x):
                order.append(settings.steps)
                if order == [long.steps, long.steps]:
                    worker.waiting.put(jobs[1])
                own.callback(step, sigma, x)

            return run_nila(replace(own, callback=callback), settings)

        worker = Worker("cpu", tiny_weights, lambda _: None, METHODS | {"nila": replace(METHODS["nila"], run=record)})
        jobs = []
        for scan, settings in enumerate((long, short)):
            pipes[scan], theirs = Pipe()
            head, arrays = pack_problem("nila", fresh(problem), settings)
            jobs.append(job_of({**head, "sent_s": time.monotonic(), "scan": scan}, arrays, theirs))
        worker.work(jobs[0])
        while (left := worker.waiting.get(0)) is not None:
            worker.work(left)
        answers = []
        for pipe in pipes.values():
            assert receive_frame(pipe)[0] == {"begun": True}
            answers.append(receive_frame(pipe))
        return answers, order

    return run


def fresh(problem):
    return replace(problem, generator=np.random.default_rng(3))


def test_a_short_slice_comes_between_the_steps_of_a_long_one_and_both_are_as_alone(two_slices, problem):
    long, short = NilaNodeSettings(steps=12), NilaNodeSettings(steps=3)
    answers, order = two_slices(long, short)
    assert order == [12, 12, 3, 3, 3, *[12] * 10]
    for (head, images), settings in zip(answers, (long, short), strict=True):
        assert "error" not in head
        np.testing.assert_allclose(images["main"], run_nila(fresh(problem), settings).images["main"], rtol=1e-5)


def test_a_slice_that_is_not_much_shorter_waits(two_slices):
    _, order = two_slices(NilaNodeSettings(steps=12), NilaNodeSettings(steps=8))
    assert order == [12] * 12 + [8] * 8


def test_a_slice_ends_with_its_budget_though_another_came_between(tiny_weights, problem):
    worker = Worker("cpu", tiny_weights, lambda _: None)
    ours, theirs = Pipe()
    head, arrays = pack_problem("nila_published", problem, PublishedNodeSettings(slice_budget_s=50.0))
    job = job_of({**head, "sent_s": time.monotonic()}, arrays, theirs)

    def shorter(running):
        if running.steps_done == 2:
            job.deadline_s = 0.0
            return job_of(
                {**pack_problem("nila", problem, NilaNodeSettings(steps=3))[0], "sent_s": 0.0}, arrays, Pipe()[0]
            )
        return None

    worker.waiting.get_shorter = shorter
    worker.work(job)
    receive_frame(ours)
    head, _ = receive_frame(ours)
    assert "its budget ended in the worker" in head["error"]
    assert job.steps_done == 2
    assert job.held_s > 0


def test_waiting_takes_from_the_budgets():
    assert reduced_budgets(BaselineSettings(), 5.0) == BaselineSettings()
    settings = NilaNodeSettings(slice_budget_s=3.0)
    assert reduced_budgets(settings, 1.0).slice_budget_s == pytest.approx(2.0)
    assert reduced_budgets(settings, 1.0).scan_budget_s == 0
    with pytest.raises(RuntimeError, match="no time left"):
        reduced_budgets(settings, 3.0)
