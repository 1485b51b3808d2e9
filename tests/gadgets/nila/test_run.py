import numpy as np
import pytest

from nilatron.gadgets.nila import run as nila_run
from nilatron.gadgets.nila.method import run_nila, run_nila_batch
from nilatron.gadgets.nila.settings import NilaNodeSettings

SETTINGS = NilaNodeSettings(steps=2, samples=2, sample_steps=1, precision="fp32", series=("nila", "uncertainty"))


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_slices_together_have_the_images_and_samples_that_they_have_alone(problem):
    together = run_nila_batch([problem(place) for place in (1, 2, 3)], SETTINGS)
    for place, found in zip((1, 2, 3), together, strict=True):
        expected = run_nila(problem(place), SETTINGS)
        assert found.provenance == expected.provenance
        assert found.images.keys() == {"main", "uncertainty"}
        assert relative(found.images["main"], expected.images["main"]) < 1e-5
        assert relative(found.images["uncertainty"], expected.images["uncertainty"]) < 1e-5


def test_one_slice_that_is_not_finite_spoils_no_other(problem):
    problems = [problem(place) for place in (1, 2)]
    problems[0].conventional[0, 12, 16] = np.nan
    with np.errstate(invalid="ignore"):
        spoilt, found = run_nila_batch(problems, SETTINGS)
    assert not np.isfinite(spoilt.images["main"]).all()
    assert relative(found.images["main"], run_nila(problem(2), SETTINGS).images["main"]) < 1e-5


def test_samples_that_fail_cost_one_slice_its_uncertainty(problem, monkeypatch):
    real, drawn = nila_run.sample_posterior, []

    def sample_posterior(*given, **named):
        drawn.append(1)
        if len(drawn) == 1:
            raise MemoryError("8 GiB")
        return real(*given, **named)

    monkeypatch.setattr(nila_run, "sample_posterior", sample_posterior)
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
