import numpy as np
import pytest
import torch

from nilatron.core.operators import Coils, Fourier, Weights

RNG = np.random.default_rng(0)
SHAPE = (1, 7, 6)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


MAPS = random(3, *SHAPE)
OPERATORS = {
    "fourier": (Fourier(), (3, *SHAPE), (3, *SHAPE)),
    "real weights": (Weights(RNG.random(SHAPE)), (3, *SHAPE), (3, *SHAPE)),
    "complex weights": (Weights(random(*SHAPE)), (3, *SHAPE), (3, *SHAPE)),
    "coils": (Coils(MAPS), (2, *SHAPE), (2, 3, *SHAPE)),
    "sense": (Weights(RNG.random(SHAPE)) @ Fourier() @ Coils(MAPS), (2, *SHAPE), (2, 3, *SHAPE)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_adjoint(name):
    operator, domain, codomain = OPERATORS[name]
    x, y = random(*domain), random(*codomain)
    assert operator.forward(x).shape == codomain
    assert np.vdot(y, operator.forward(x)) == pytest.approx(np.vdot(operator.adjoint(y), x))
    np.testing.assert_allclose(operator.normal(x), operator.adjoint(operator.forward(x)))


def test_torch_agrees():
    x = random(*SHAPE)
    expected = (Fourier() @ Coils(MAPS)).normal(x)
    found = (Fourier() @ Coils(torch.from_numpy(MAPS))).normal(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
