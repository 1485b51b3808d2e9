import numpy as np
import pytest
import torch

from nilatron.core.fft import fft
from nilatron.core.measurement import chi_squared
from nilatron.core.sense import SenseOperator, with_empty_coils

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def sampling(shape, kind):
    counts = np.zeros(shape)
    if kind == "lines":
        counts[:, ::2] = 1
    elif kind == "averaged":
        counts[:, ::3] = 1
        counts[:, shape[1] // 2] = 4
    elif kind == "scattered":
        counts = RNG.integers(0, 3, shape).astype(float)
    elif kind == "two phase encodings":
        counts[:] = RNG.integers(0, 2, shape[:2])[..., None]
    else:
        counts[:] = 2
    return counts


CASES = [
    (shape, kind)
    for shape in [(1, 8, 6), (1, 9, 7), (5, 6, 7)]
    for kind in ["lines", "averaged", "scattered", "two phase encodings", "full"]
]


@pytest.mark.parametrize(("shape", "kind"), CASES)
def test_laws(shape, kind):
    maps, counts = random(3, *shape), sampling(shape, kind)
    operator = SenseOperator(maps, counts)
    x, y = random(2, *shape), random(2, 3, *shape)
    assert np.vdot(y, operator.forward(x)) == pytest.approx(np.vdot(operator.adjoint(y), x))
    np.testing.assert_allclose(operator.normal(x), operator.adjoint(operator.forward(x)), atol=1e-12)
    np.testing.assert_allclose(operator.forward(x), np.sqrt(counts) * fft(maps * x[:, None]), atol=1e-12)
    on_torch = SenseOperator(torch.from_numpy(maps), torch.from_numpy(counts))
    np.testing.assert_allclose(on_torch.normal(torch.from_numpy(x)).numpy(), operator.normal(x), atol=1e-12)
    assert operator.n_samples == 3 * np.count_nonzero(counts)


@pytest.mark.parametrize(("one", "other"), [("lines", "averaged"), ("lines", "scattered"), ("full", "lines")])
def test_a_batch_of_slices_is_each_of_them(one, other):
    """Slices that are undersampled along different axes, too: what one leaves constant the other may not."""
    shape = (3, 8, 7)
    alone = [SenseOperator(random(4, *shape), sampling(shape, kind)) for kind in (one, other)]
    both = SenseOperator.stacked(alone)
    x, y = random(2, *shape), random(2, 4, *shape)
    for name, given in (("forward", x), ("adjoint", y), ("normal", x), ("data", y)):
        expected = [getattr(operator, name)(element) for operator, element in zip(alone, given, strict=True)]
        np.testing.assert_allclose(getattr(both, name)(given), expected, rtol=1e-10, atol=1e-12)
    on_torch = SenseOperator(torch.from_numpy(both.coil_maps), torch.from_numpy(both.counts))
    np.testing.assert_allclose(on_torch.normal(torch.from_numpy(x)).numpy(), both.normal(x), atol=1e-12)
    assert both.n_samples == sum(operator.n_samples for operator in alone)


def test_slices_with_fewer_coils_get_such_that_see_nothing():
    shape = (1, 8, 6)
    alone = [SenseOperator(random(n, *shape), sampling(shape, "lines")) for n in (2, 5)]
    both, x, y = SenseOperator.stacked(alone), random(2, *shape), [random(n, *shape) for n in (2, 5)]
    assert both.coil_maps.shape == (2, 5, *shape)
    filled = np.stack([with_empty_coils(one, 5) for one in y])
    np.testing.assert_allclose(both.adjoint(filled), [a.adjoint(b) for a, b in zip(alone, y, strict=True)], atol=1e-12)
    np.testing.assert_allclose(both.normal(x), [a.normal(b) for a, b in zip(alone, x, strict=True)], atol=1e-12)
    assert with_empty_coils(y[1], 5) is y[1]


def test_chi_squared_of_a_batch_is_that_of_all_its_samples():
    alone = [SenseOperator(random(2, 1, 8, 6), sampling((1, 8, 6), kind)) for kind in ("lines", "full")]
    x, y = random(2, 1, 8, 6), random(2, 2, 1, 8, 6)
    found = chi_squared(SenseOperator.stacked(alone), y, x)
    each = [chi_squared(operator, *pair) for operator, *pair in zip(alone, y, x, strict=True)]
    assert found == pytest.approx(np.average(each, weights=[operator.n_samples for operator in alone]))


def test_averaged_lines_have_unit_noise():
    counts = np.full((1, 40, 40), 4.0)
    operator = SenseOperator(np.ones((2, 1, 40, 40), complex), counts)
    mean_of_four = np.mean([random(2, 1, 40, 40) / np.sqrt(2) for _ in range(4)], axis=0)
    assert np.mean(np.abs(operator.data(mean_of_four)) ** 2) == pytest.approx(1, abs=0.06)


def test_chi_squared_is_one_for_the_truth_and_grows_with_error():
    maps, counts = random(4, 1, 32, 32), sampling((1, 32, 32), "averaged")
    operator = SenseOperator(maps, counts)
    x = random(1, 32, 32)
    data = operator.forward(x) + (counts > 0) * random(4, 1, 32, 32) / np.sqrt(2)
    assert chi_squared(operator, data, x) == pytest.approx(1, abs=0.1)
    assert chi_squared(operator, data, 1.5 * x) > 1.5
    assert chi_squared(operator, data, x, sigma=2) == pytest.approx(0.25, abs=0.03)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit the counts"):
        SenseOperator(random(2, 1, 8, 8), np.ones((1, 8, 7)))
    with pytest.raises(ValueError, match="do not fit the counts"):
        SenseOperator(random(3, 2, 1, 8, 8), np.ones((1, 8, 8)))


@pytest.mark.gpu
def test_cupy_agrees():
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    maps, counts, x = random(3, 1, 9, 8), sampling((1, 9, 8), "lines"), random(1, 9, 8)
    found = SenseOperator(cupy.asarray(maps), cupy.asarray(counts)).normal(cupy.asarray(x))
    np.testing.assert_allclose(found.get(), SenseOperator(maps, counts).normal(x), atol=1e-10)
