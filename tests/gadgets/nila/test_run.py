import time
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from nilatron.gadgets.nila import prior
from nilatron.gadgets.nila import run as nila_run
from nilatron.gadgets.nila.budget import Stopwatch
from nilatron.gadgets.nila.method import run_nila, run_nila_batch
from nilatron.gadgets.nila.prior import prior_for
from nilatron.gadgets.nila.settings import NilaNodeSettings

SETTINGS = NilaNodeSettings(steps=2, samples=2, sample_steps=1, precision="fp32", series=("nila", "uncertainty"))


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


@pytest.mark.slow
def test_slices_together_have_the_images_and_samples_that_they_have_alone(problem):
    together = run_nila_batch([problem(place) for place in (1, 2, 3)], SETTINGS)
    for place, found in zip((1, 2, 3), together, strict=True):
        expected = run_nila(problem(place), SETTINGS)
        assert found.provenance == expected.provenance
        assert found.images.keys() == {"main", "uncertainty"}
        assert relative(found.images["main"], expected.images["main"]) < 1e-5
        rounding = np.linalg.norm(found.images["uncertainty"] - expected.images["uncertainty"])
        assert rounding < 1e-5 * np.linalg.norm(expected.images["main"])  # a deviation is a difference of images


def test_slices_of_one_run_have_the_same_detail(problem):
    problems = [problem(place) for place in (0, 2)]  # of much noise and of little
    for one in problems:
        vars(one)["acquired_share"] = 0.3  # as of a scan with fewer calibration lines
    settings = replace(SETTINGS, series=("nila",))
    found = [outcome.provenance["detail"] for outcome in run_nila_batch(problems, settings)]
    assert found == ["0.3", "0"]
    run = nila_run.NilaRun(problems, settings, Stopwatch(0.0, 0.0, time.monotonic), prior_of(problems[0]))
    with pytest.raises(ValueError, match=r"same detail, got 0\.3 and 0\.0"):
        run.images(run.plan())


def test_one_slice_that_is_not_finite_spoils_no_other(problem):
    problems = [problem(place) for place in (1, 2)]
    problems[0].conventional[0, 12, 16] = np.nan
    with np.errstate(invalid="ignore"):
        spoilt, found = run_nila_batch(problems, SETTINGS)
    assert not np.isfinite(spoilt.images["main"]).all()
    assert relative(found.images["main"], run_nila(problem(2), SETTINGS).images["main"]) < 1e-5


def test_samples_that_fail_cost_one_slice_its_uncertainty(problem, monkeypatch):
    real, drawn = nila_run.sampled_images, []

    def sampled_images(*given, **named):
        drawn.append(1)
        if len(drawn) == 1:
            raise MemoryError("8 GiB")
        return real(*given, **named)

    monkeypatch.setattr(nila_run, "sampled_images", sampled_images)
    first, second = run_nila_batch([problem(1), problem(2)], SETTINGS)
    assert (first.images.keys(), second.images.keys()) == ({"main"}, {"main", "uncertainty"})
    assert first.provenance["shortened"] == "no posterior samples: 8 GiB"
    assert "shortened" not in second.provenance


def test_one_slice_is_solved_with_its_own_operator(problem):
    """Which may be watched, to stop when nobody waits."""

    class StoppedError(RuntimeError):
        pass

    def stop(_):
        raise StoppedError

    one = problem(1)
    one.operator.normal = stop
    with pytest.raises(StoppedError):
        run_nila(one, SETTINGS)


class Clock:
    """Moves only when something takes time: here what a GPU still has to compute when it is waited for."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def gpu(monkeypatch):
    """A device that takes work at once and is busy for 2 s; returns the clock and what is remembered of its steps."""
    clock = Clock()

    def wait(_):
        clock.now += 2.0

    monkeypatch.setattr(nila_run, "synchronize", wait)
    monkeypatch.setattr(nila_run, "on_host", lambda _: False)
    monkeypatch.setattr(prior, "_prior_for", lru_cache(prior._prior_for.__wrapped__))
    return clock


def prior_of(one):
    return prior_for(one.weights, one.device, SETTINGS.engine_settings)


def costs_of(one):
    return prior_of(one).costs.step_s((1, *one.data.shape))


def test_a_step_on_a_gpu_costs_what_it_takes_and_not_what_it_takes_to_ask_for_it(problem, gpu):
    one = replace(problem(1), clock=gpu)
    run_nila(one, replace(SETTINGS, steps=2, series=("nila",), slice_budget_s=100.0))
    # the trial step waits for 2 s, and so do the two steps of the image: 1 s each; the slowest is remembered
    assert costs_of(one) == pytest.approx(2.0)
    run_nila(replace(problem(1), clock=gpu), replace(SETTINGS, series=("nila",), slice_budget_s=5.0))
    assert gpu.now == pytest.approx(6.0)


def test_without_a_budget_a_gpu_is_not_waited_for(problem, gpu):
    one = replace(problem(1), clock=gpu)
    run_nila(one, replace(SETTINGS, series=("nila",)))
    assert gpu.now == 0
    assert costs_of(one) is None
