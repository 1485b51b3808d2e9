"""The laws of every measurement; another one is one more line in `MEASUREMENTS`."""

import numpy as np
import pytest
import torch

from nilatron.core.backend import complex_normal, to_numpy
from nilatron.core.measurement import Measurement, chi_squared, mask_outside_coils
from nilatron.core.sense import SenseOperator

SHAPE = (2, 36, 40)


def noise(rng, *shape):
    return complex_normal(rng, shape, np.ones(1, np.complex64)).astype(np.complex128)


def sense(n_coils=3, seed=0, kind=np.asarray):
    """Scattered samples, some of them averages."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 3, SHAPE).astype(float)
    return SenseOperator(kind(noise(rng, n_coils, *SHAPE)), kind(counts))


def sense_of_lines(n_coils=3, seed=0):
    rng = np.random.default_rng(seed)
    counts = np.zeros(SHAPE)
    counts[:, seed % 2 :: 2 + seed] = 1
    return SenseOperator(noise(rng, n_coils, *SHAPE), counts)


def batch():
    return SenseOperator.stacked([sense(2, seed=1), sense(4, seed=2)])


def coarse():
    return sense().coarse(noise(np.random.default_rng(0), 3, *SHAPE), (2, 20, 24))[0]


# name -> (measurement, shape of its images, shape of its data, array library)
MEASUREMENTS = {
    "scattered": (sense, SHAPE, (3, *SHAPE), np.asarray),
    "lines": (sense_of_lines, SHAPE, (3, *SHAPE), np.asarray),
    "several images for one measurement": (sense, (2, *SHAPE), (2, 3, *SHAPE), np.asarray),
    "batch of unlike coils": (batch, (2, *SHAPE), (2, 4, *SHAPE), np.asarray),
    "coarse": (coarse, (2, 20, 24), (3, 2, 20, 24), np.asarray),
    "torch": (lambda: sense(kind=torch.as_tensor), SHAPE, (3, *SHAPE), torch.as_tensor),
    "toy": (None, SHAPE, (3, *SHAPE), np.asarray),
}


@pytest.fixture(params=MEASUREMENTS)
def measured(request, toy_measurement):
    """A measurement with two random images and data of its shapes."""
    make, image_shape, data_shape, kind = MEASUREMENTS[request.param]
    rng = np.random.default_rng(5)
    operator = toy_measurement(SHAPE) if make is None else make()
    x, y = ([kind(noise(rng, *shape)) for _ in range(2)] for shape in (image_shape, data_shape))
    return operator, x, y


def inner(a, b):
    return np.vdot(to_numpy(a), to_numpy(b))


def close(found, expected):
    found, expected = to_numpy(found), to_numpy(expected)
    return found.shape == expected.shape and np.linalg.norm(found - expected) <= 1e-6 * np.linalg.norm(expected)


def test_it_is_linear(measured):
    operator, (x, other), (y, another) = measured
    assert close(operator.forward(2 * x - 1j * other), 2 * operator.forward(x) - 1j * operator.forward(other))
    assert close(operator.adjoint(2 * y - 1j * another), 2 * operator.adjoint(y) - 1j * operator.adjoint(another))


def test_adjoint(measured):
    operator, (x, _), (y, _) = measured
    assert operator.forward(x).shape == y.shape
    assert operator.adjoint(y).shape == x.shape
    assert inner(y, operator.forward(x)) == pytest.approx(inner(operator.adjoint(y), x), rel=1e-5)


def test_normal_is_adjoint_of_forward(measured):
    operator, (x, _), _ = measured
    assert close(operator.normal(x), operator.adjoint(operator.forward(x)))


def norms(x):
    return np.sqrt(np.sum(np.abs(to_numpy(x)) ** 2, axis=(-3, -2, -1), keepdims=True))


def test_the_bound_bounds_the_largest_eigenvalue(measured):
    operator, (x, _), _ = measured
    bound = operator.norm_bound if isinstance(operator.norm_bound, float) else to_numpy(operator.norm_bound)
    for _ in range(20):
        x = x / float(norms(x).max())
        x, before = operator.normal(x), x
        assert (norms(x) <= 1.00001 * bound * norms(before)).all()


@pytest.mark.parametrize("name", sorted(MEASUREMENTS.keys() - {"several images for one measurement"}))
def test_the_truth_has_the_residual_of_the_noise(name, toy_measurement):
    make, image_shape, data_shape, kind = MEASUREMENTS[name]
    operator = toy_measurement(SHAPE) if make is None else make()
    rng = np.random.default_rng(8)
    x, n = kind(noise(rng, *image_shape)), kind(noise(rng, *data_shape))
    clean = operator.forward(x)
    assert chi_squared(operator, clean + n * (clean != 0), x) == pytest.approx(1, abs=0.07)
    assert chi_squared(operator, clean + n * (clean != 0), x, sigma=2.0) == pytest.approx(0.25, abs=0.02)


def test_images_and_data_that_do_not_fit_are_refused():
    operator = sense()
    for name, wrong in (
        ("forward", (2, 36, 41)),
        ("normal", (2, 35, 40)),
        ("adjoint", (4, *SHAPE)),
        ("adjoint", SHAPE),
        ("density_compensated", (2, *SHAPE)),
    ):
        with pytest.raises(ValueError, match="not fit the coil maps"):
            getattr(operator, name)(np.zeros(wrong, np.complex64))
    with pytest.raises(ValueError, match="one image for each map set"):
        batch().forward(np.zeros((3, *SHAPE), np.complex64))


def test_coils_without_signal_are_no_measurement():
    """Pure noise in half of the coils, nothing in the others: the residual of an empty image is that of noise."""
    rng, counts = np.random.default_rng(3), np.ones((1, 32, 32), np.float32)
    maps = noise(rng, 8, 1, 32, 32)
    data = noise(rng, 8, 1, 32, 32)
    maps[4:], data[4:] = 0, 0
    assert chi_squared(SenseOperator(maps, counts), data, np.zeros((1, 32, 32))) == pytest.approx(1, abs=0.05)
    assert chi_squared(SenseOperator(maps, counts), 0 * data, np.zeros((1, 32, 32))) == 0


def test_what_no_coil_sees_is_blank(toy_measurement):
    maps = np.ones((2, 1, 24, 20), np.complex64)
    maps[..., :5] = 0
    image = mask_outside_coils(SenseOperator(maps, np.ones((1, 24, 20), np.float32)), np.ones((1, 24, 20)))
    assert not image[..., :5].any()
    assert (image[..., 5:] == 1).all()
    everywhere = np.ones((1, 24, 20))
    assert mask_outside_coils(toy_measurement((1, 24, 20)), everywhere) is everywhere


def test_a_measurement_without_its_equations_cannot_be_made():
    class Nothing(Measurement):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()
