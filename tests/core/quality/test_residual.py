import numpy as np
import pytest

from nilatron.core.backend import complex_normal, to_torch
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.measurement import chi_squared
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.quality.residual import residual_map, residual_of
from nilatron.core.sense import SenseOperator

SHAPE, N_COILS = (1, 64, 72), 6


def scan(level=40.0, every=2, shape=SHAPE):
    """Operator, data with noise of variance 1, and object, whose brightest pixels are about `level`."""
    counts = np.zeros(shape, np.float32)
    counts[:, ::every] = counts[:, shape[1] // 2 - 10 : shape[1] // 2 + 10] = 1
    operator, truth = SenseOperator(coil_maps(N_COILS, shape), counts), (level * phantom(shape)).astype(np.complex64)
    noise = complex_normal(np.random.default_rng(0), (N_COILS, *shape), truth)
    return operator, operator.data(operator.forward(truth) + noise), truth


def test_the_truth_leaves_the_noise_and_nothing_else():
    operator, data, truth = scan()
    residual = residual_of(operator, data, truth)
    assert residual.chi2 == pytest.approx(chi_squared(operator, data, truth), rel=1e-5)
    assert residual.chi2 == pytest.approx(1, abs=0.02)
    assert (residual.unexplained < 0.02, residual.structured, residual.line_unexplained.max()) == (True, 0, 0)
    assert residual.evenness > 0.9
    assert residual.noise_floor == pytest.approx(1, abs=0.05)
    assert residual.n_samples.sum() == residual.n_total == operator.n_samples


def test_an_image_of_nothing_leaves_all_of_the_signal():
    operator, data, truth = scan()
    residual = residual_of(operator, data, 0 * truth)
    assert residual.chi2 == pytest.approx(residual.signal_to_noise**2, rel=1e-5)
    assert residual.unexplained == pytest.approx(np.sqrt(1 - 1 / residual.chi2), rel=1e-4)
    assert residual.structured > 0.9
    assert residual.central_share() > 0.9


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_what_is_taken_from_the_image_is_the_part_of_the_signal_that_is_unexplained(share):
    operator, data, truth = scan(level=400.0)
    assert residual_of(operator, data, (1 - share) * truth).unexplained == pytest.approx(share, rel=0.02)


def test_a_residual_is_small_against_the_signal_where_that_is_strong():
    """The same error of the maps: chi2 grows with the square of the signal, the unexplained part does not."""
    figures = []
    for level in (40.0, 4000.0):
        operator, data, truth = scan(level)
        residual = residual_of(SenseOperator(operator.coil_maps * np.float32(1.02), operator.counts), data, truth)
        figures.append((residual.chi2, residual.unexplained))
    assert figures[0][0] < 1.1
    assert figures[1][0] > 50
    assert figures[1][1] == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("fault", ["lost", "repeated", "swapped"])
def test_lines_that_do_not_fit_are_found(fault):
    operator, data, _ = scan()
    y, other = 30, 33
    wrong = data.copy()
    wrong[:, :, y] = {"lost": 0 * data[:, :, y], "repeated": data[:, :, other], "swapped": data[:, :, other]}[fault]
    if fault == "swapped":
        wrong[:, :, other] = data[:, :, y]
    residual = residual_of(operator, wrong, cg_sense(operator, wrong))
    lines = residual.line_unexplained > 0.25
    assert min(abs(row - line) for row in np.flatnonzero(lines[0]) for line in (y, other)) <= 2
    assert residual.share_of(lines) > 0.02
    right = residual_of(operator, data, cg_sense(operator, data))
    assert right.line_unexplained.max() < 0.1


def test_noise_that_is_stronger_than_assumed_is_even_and_no_structure():
    operator, data, truth = scan()
    noisier = data + 2 * operator.data(complex_normal(np.random.default_rng(1), data.shape, data))
    residual = residual_of(operator, noisier, truth)
    assert residual.chi2 == pytest.approx(5, abs=0.2)
    assert residual.noise_floor == pytest.approx(5, abs=0.3)
    assert residual.evenness > 0.9
    assert residual.structured == 0


def test_dead_coils_and_lines_that_were_not_acquired_do_not_count():
    operator, data, truth = scan()
    maps, dead = operator.coil_maps.copy(), data.copy()
    maps[1], dead[1] = 0, 0
    residual = residual_of(SenseOperator(maps, operator.counts), dead, truth)
    assert residual.n_total == operator.n_samples * 5 / 6
    assert residual.chi2 == pytest.approx(1, abs=0.02)
    assert not residual.n_samples[operator.counts.max(axis=-1) == 0].any()


def test_no_data_no_figures():
    operator, data, truth = scan()
    residual = residual_of(operator, 0 * data, 0 * truth)
    assert (residual.chi2, residual.unexplained, residual.structured, residual.central_share()) == (0, 0, 0, 0)


def test_the_map_shows_where_the_object_is_missing_and_noise_as_one():
    operator, data, truth = scan(level=400.0)
    at_noise = residual_map(operator, residual_of(operator, data, truth))
    assert np.sqrt(np.mean(at_noise**2)) == pytest.approx(1, abs=0.1)
    missing = truth.copy()
    missing[0, 30:34, 30:34] = 0
    found = residual_map(operator, residual_of(operator, data, missing))
    _, y, x = np.unravel_index(found.argmax(), found.shape)
    assert 29 <= y <= 34
    assert 29 <= x <= 34
    assert found.max() > 20


def test_torch_gives_the_figures_of_numpy():
    operator, data, truth = scan()
    wrong = SenseOperator(operator.coil_maps[::-1].copy(), operator.counts)
    expected = residual_of(wrong, data, truth)
    torch_operator = SenseOperator(to_torch(wrong.coil_maps), to_torch(wrong.counts))
    found = residual_of(torch_operator, to_torch(data), to_torch(truth))
    for name in ("chi2", "unexplained", "structured", "noise_floor"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-4)
    np.testing.assert_allclose(
        residual_map(torch_operator, found).numpy(), residual_map(wrong, expected), rtol=1e-3, atol=1e-2
    )
