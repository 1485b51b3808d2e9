"""Budgets on a clock that only the work moves: every network evaluation takes a second."""

from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.engines.engine_prior import EnginePrior
from nilatron.core.prior.unet import UNetConfig
from nilatron.gadgets.items import Context, ScanTiming
from nilatron.gadgets.nila import prior as nila_prior
from nilatron.gadgets.nila.budget import (
    MIN_STEPS,
    BudgetSettings,
    OutOfTimeError,
    StepCosts,
    Stopwatch,
    budget_from_now,
    n_slices_of,
)
from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.pipelines.simulation.simulate import SimulationSettings

SCAN = SimulationSettings(matrix=(24, 20, 1), n_coils=3, acceleration=2, calibration_lines=8, n_slices=3)
nine_steps = partial(NilaNodeSettings, steps=9)


@dataclass
class Clock:
    now: float = 100.0
    step_s: float = 1.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    save_prior(path, EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.5), {"licence": "none"})
    return path


@pytest.fixture(scope="module")
def scan(slices_of):
    return slices_of(SCAN)


@pytest.fixture
def make(scan, weights, clock, monkeypatch):
    """Reconstruct slices of the scan with settings; returns images and log."""
    nila_prior._prior_for.cache_clear()
    real = EnginePrior.estimate

    def timed(prior, x, sigma, before=None):
        clock.now += clock.step_s * x.shape[0]
        return real(prior, x, sigma, before)

    monkeypatch.setattr(EnginePrior, "estimate", timed)
    header, slices = scan

    def run(settings, n_slices=1, target="nila", **timing):
        context = Context(header, timing=ScanTiming(clock, **timing))
        return list(Reconstructor(target, settings, weights)(slices[:n_slices], context)), context.log

    yield run
    nila_prior._prior_for.cache_clear()


def steps_of(images):
    return [int(image.provenance["steps"]) for image in images if image.role == "main"]


def test_without_a_budget_nothing_is_measured_and_nothing_said(make, clock):
    (_, image), log = make(nine_steps())
    assert clock.now == 109
    assert not {"seconds", "slice_budget_s", "shortened"} & image.provenance.keys()
    assert log.problems == []


def test_a_generous_budget_changes_nothing_in_the_image(make):
    (_, free), _ = make(nine_steps())
    (_, image), log = make(nine_steps(slice_budget_s=1000))
    assert image.image.tobytes() == free.image.tobytes()
    assert "shortened" not in image.provenance
    assert log.problems == []


def test_the_first_slice_pays_for_a_measurement_and_the_next_one_does_not(make, clock):
    images, log = make(nine_steps(slice_budget_s=8), 2)
    assert steps_of(images) == [6, 7]  # 0.9 (8 - 1) s, then 0.9 * 8 s, at 1 s a step
    assert clock.now == 100 + 1 + 6 + 7
    main = [image.provenance for image in images if image.role == "main"]
    assert main[0]["shortened"].startswith("6 of 9 steps: ")
    assert [made["seconds"] for made in main] == ["7.000", "7.000"]
    assert main[0]["slice_budget_s"] == "8"
    assert log.problems == []  # a shorter reconstruction is one all the same


@pytest.mark.slow
def test_every_budget_is_kept_and_used(make, clock):
    make(nine_steps(slice_budget_s=1000))
    for budget_s in (3.5, 5.0, 6.7, 9.0):
        began = clock.now
        (_, image), _ = make(nine_steps(slice_budget_s=budget_s))
        assert 0.9 * budget_s - 1 < clock.now - began <= budget_s
        assert steps_of([image]) == [min(9, int(0.9 * budget_s))]


def test_the_time_since_the_last_line_counts(make, clock):
    make(nine_steps(slice_budget_s=1000))
    (_, image), _ = make(nine_steps(slice_budget_s=9), arrived_s=clock.now - 4)
    assert steps_of([image]) == [4]
    assert image.provenance["seconds"] == "8.000"


def test_when_too_few_steps_fit_the_conventional_image_says_so(make, clock):
    make(nine_steps(slice_budget_s=1000))
    began = clock.now
    (first, copy), log = make(nine_steps(slice_budget_s=3.2))
    assert clock.now == began  # nothing was prepared
    assert (first.role, copy.role) == ("conventional", "main")
    assert f"not enough for {MIN_STEPS} steps" in copy.provenance["fallback"]
    assert (copy.provenance["seconds"], copy.provenance["slice_budget_s"]) == ("0.000", "3.2")
    assert len(log.problems) == 1


def test_fewer_steps_than_the_minimum_may_be_asked_for(make):
    (_, image), _ = make(nine_steps(slice_budget_s=4, steps=2))
    assert steps_of([image]) == [2]


def test_a_budget_that_was_over_before(make, clock):
    (_, copy), _ = make(nine_steps(slice_budget_s=5), arrived_s=clock.now - 6)
    assert "no time left: 6.00 s since the slice's last line" in copy.provenance["fallback"]
    assert clock.now == 100


def test_a_machine_that_becomes_slow_is_stopped(make, clock):
    make(nine_steps(slice_budget_s=1000))
    clock.step_s, began = 3.0, clock.now
    (_, copy), log = make(nine_steps(slice_budget_s=9))
    assert "stopped after 9.00 s" in copy.provenance["fallback"]
    assert clock.now == began + 9
    assert log.counts["fall-backs"] == 1


@pytest.mark.slow
def test_posterior_samples_are_dropped_first(make):
    settings = nine_steps(series=("nila", "uncertainty"), samples=6, sample_steps=4)
    make(replace(settings, slice_budget_s=1000))
    found = {}
    for budget_s in (40, 28, 26, 9):
        images, log = make(replace(settings, slice_budget_s=budget_s))
        found[budget_s] = (steps_of(images), images[0].provenance.get("samples"), len(images), len(log.problems))
    assert found == {40: ([9], "6", 2, 0), 28: ([9], "4", 2, 0), 26: ([9], None, 1, 1), 9: ([8], None, 1, 1)}


def test_the_reason_for_missing_samples_is_given(make):
    (image,), log = make(nine_steps(series=("nila", "uncertainty"), sample_steps=3, slice_budget_s=20))
    assert "no posterior samples" in image.provenance["shortened"]
    assert "no uncertainty image: no posterior samples" in log.problems[0]


@pytest.mark.slow
def test_slices_of_a_scan_that_has_ended_share_its_budget(make, clock):
    make(nine_steps(slice_budget_s=1000))
    began = clock.now
    images, log = make(nine_steps(scan_budget_s=20), 3, ended_s=clock.now)
    assert steps_of(images) == [6, 6, 7]  # 0.9 * 20 / 3, 0.9 * 14 / 2, 0.9 * 8
    assert clock.now - began <= 20
    assert log.problems == []


@pytest.mark.slow
def test_as_long_as_lines_come_a_slice_may_take_the_whole_scan_budget(make):
    images, _ = make(nine_steps(scan_budget_s=20), 3, ended_s=None)
    assert steps_of(images) == [9, 9, 9]


def test_slices_at_once_share_the_scan_budget_as_they_do_one_by_one(make, clock):
    settings, began = nine_steps(scan_budget_s=20, batch_slices=2, refine_maps="off"), clock.now
    images, log = make(settings, 3, ended_s=began)
    assert steps_of(images) == [5, 5, 6]  # 2 s for a measurement, 2 s a step: 0.9 (20 * 2 / 3 - 2); then 0.9 (8 - 1)
    assert clock.now - began <= 20
    assert log.problems == []
    clock.now, began = clock.now + 100, clock.now + 100
    images, _ = make(settings, 2, ended_s=began)
    assert steps_of(images) == [6, 6]  # measured already
    assert clock.now - began == 12


def test_when_the_budget_does_not_suffice_for_all_at_once_each_has_what_is_left(make, clock):
    make(nine_steps(slice_budget_s=1000))
    images, log = make(nine_steps(scan_budget_s=5, batch_slices=3, refine_maps="off"), 3, ended_s=clock.now)
    assert [image.role for image in images[:3]] == ["conventional"] * 3
    assert len(images) == 6
    assert all("fallback" in image.provenance or int(image.provenance["steps"]) >= MIN_STEPS for image in images[3:])
    assert log.counts["batches done slice by slice"] == 1


@pytest.mark.slow
def test_with_a_slice_budget_nobody_waits(make):
    images, _ = make(nine_steps(slice_budget_s=1000, batch_slices=3), 3)
    assert [image.role for image in images] == ["conventional", "main"] * 3


def test_the_smaller_budget_counts(clock):
    settings = BudgetSettings(scan_budget_s=30, slice_budget_s=8)
    timing = ScanTiming(clock, ended_s=95.0)
    assert budget_from_now(settings, timing, 99.0, 5) == BudgetSettings(scan_budget_s=7.0, slice_budget_s=5.0)
    assert budget_from_now(settings, timing, 99.0, 2) == BudgetSettings(scan_budget_s=7.0, slice_budget_s=7.0)
    assert budget_from_now(settings, timing, 99.0, 5, 4) == BudgetSettings(scan_budget_s=7.0, slice_budget_s=7.0)
    assert budget_from_now(BudgetSettings(), timing, 99.0, 2) == BudgetSettings()
    with pytest.raises(OutOfTimeError, match="scan_budget_s 4"):
        budget_from_now(BudgetSettings(scan_budget_s=4), timing, 99.0, 2)


def test_the_published_sampler_is_stopped(make, clock):
    settings = PublishedNodeSettings(steps=20, slice_budget_s=7)
    (first, copy), _ = make(settings, target="nila_published")
    assert first.role == "conventional"
    assert "stopped after 7.00 s" in copy.provenance["fallback"]
    assert clock.now == 107


def test_costs_are_those_of_the_slowest_of_the_latest_and_of_one_shape():
    costs = StepCosts()
    assert costs.step_s((8, 16)) is None
    for seconds in (9.0, 1.0, 2.0, 3.0, 2.0):
        costs.add((8, 16), seconds)
    assert costs.step_s((8, 16)) == 3.0
    assert costs.step_s((8, 32)) is None


def test_a_watch_without_limits_stops_nothing(clock):
    watch = Stopwatch(0, 0, clock)
    clock.now += 1e9
    watch.check(3, 0.1, np.ones((1, 1, 8, 8), np.complex64))
    plan = watch.plan(1e9, 8, 4, 1e9)
    assert (plan.steps, plan.samples, plan.reason) == (8, 4, "")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 1),
        ({"slice": (0, 4)}, 5),
        ({"slice": (2, 4), "repetition": (0, 1), "contrast": (0, 2)}, 18),
        ({"slice": (4, 2)}, 1),
    ],
)
def test_number_of_slices_as_announced(limits, expected):
    ends = {name: SimpleNamespace(minimum=low, maximum=high) for name, (low, high) in limits.items()}
    header = SimpleNamespace(encoding=[SimpleNamespace(encodingLimits=SimpleNamespace(**ends))])
    assert n_slices_of(header) == expected
    assert n_slices_of(None) == 1


def test_real_headers_announce_their_slices(scan):
    assert n_slices_of(scan[0]) == SCAN.n_slices
