import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sense import SenseOperator
from nilatron.gadgets import nila_run
from nilatron.gadgets.nila_method import NilaNodeSettings, run_nila
from nilatron.gadgets.problem import Problem

SHAPE = (1, 24, 32)
SETTINGS = NilaNodeSettings(steps=2, samples=2, sample_steps=1, precision="fp32", series=("nila", "uncertainty"))


def problem(place):
    """Slices of unlike brightness, undersampling and noise."""
    rng = np.random.default_rng(place)
    counts = np.zeros(SHAPE, np.float32)
    counts[:, :: 2 + place] = counts[:, 8:16] = 1
    operator = SenseOperator(coil_maps(3, SHAPE), counts)
    data = operator.forward(10.0**place * phantom(SHAPE))
    data = data + operator.weights * complex_normal(rng, data.shape, data)
    return Problem(operator, data, cg_sense(operator, data), rng, "cpu", shipped_weights("tiny"))


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_slices_together_have_the_images_and_samples_that_they_have_alone():
    together = run_nila.together([problem(place) for place in (1, 2, 3)], SETTINGS)
    for place, found in zip((1, 2, 3), together, strict=True):
        expected = run_nila(problem(place), SETTINGS)
        assert found.provenance == expected.provenance
        assert found.images.keys() == {"nila", "uncertainty"}
        assert relative(found.images["nila"], expected.images["nila"]) < 1e-5
        assert relative(found.images["uncertainty"], expected.images["uncertainty"]) < 1e-5


def test_one_slice_that_is_not_finite_spoils_no_other():
    problems = [problem(place) for place in (1, 2)]
    problems[0].conventional[0, 12, 16] = np.nan
    with np.errstate(invalid="ignore"):
        spoilt, found = run_nila.together(problems, SETTINGS)
    assert not np.isfinite(spoilt.images["nila"]).all()
    assert relative(found.images["nila"], run_nila(problem(2), SETTINGS).images["nila"]) < 1e-5


def test_samples_that_fail_cost_one_slice_its_uncertainty(monkeypatch):
    real, drawn = nila_run.sample_posterior, []

    def sample_posterior(*given, **named):
        drawn.append(1)
        if len(drawn) == 1:
            raise MemoryError("8 GiB")
        return real(*given, **named)

    monkeypatch.setattr(nila_run, "sample_posterior", sample_posterior)
    first, second = run_nila.together([problem(1), problem(2)], SETTINGS)
    assert (first.images.keys(), second.images.keys()) == ({"nila"}, {"nila", "uncertainty"})
    assert first.provenance["shortened"] == "no posterior samples: 8 GiB"
    assert "shortened" not in second.provenance


def test_one_slice_is_solved_with_its_own_operator():
    """Which may be watched, to stop when nobody waits."""

    class StoppedError(RuntimeError):
        pass

    def stop(_):
        raise StoppedError

    one = problem(1)
    one.operator.normal = stop
    with pytest.raises(StoppedError):
        run_nila(one, SETTINGS)
