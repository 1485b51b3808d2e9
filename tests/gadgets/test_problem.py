import numpy as np
import pytest

from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.recon import inverse_problem
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.problem import Problem, batch_of

SHAPE = (1, 24, 20)


def problem(n_coils, acceleration=2):
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::acceleration] = 1
    operator = SenseOperator(coil_maps(n_coils, SHAPE), counts)
    made = inverse_problem(operator.forward(30 * phantom(SHAPE)), counts, operator.coil_maps)
    return Problem(made.operator, made.data, made.conventional, np.random.default_rng(0), "cpu")


def test_one_slice_keeps_its_own_measurement():
    alone = problem(3)
    operator, data, starts = batch_of([alone])
    assert operator is alone.operator
    assert data is alone.data
    np.testing.assert_array_equal(starts, alone.conventional[None])


def test_slices_of_unlike_coils_are_stacked_with_empty_ones():
    alone = [problem(2), problem(4, 3)]
    operator, data, starts = batch_of(alone)
    assert data.shape == (2, 4, *SHAPE)
    for place, one in enumerate(alone):
        expected = one.operator.normal(one.conventional)
        np.testing.assert_allclose(operator.normal(starts)[place], expected, atol=1e-4 * np.abs(expected).max())
        np.testing.assert_allclose(operator.adjoint(data)[place], one.operator.adjoint(one.data), atol=1e-3)


def test_measurements_of_another_kind_are_not_stacked(toy_measurement):
    other = problem(2)
    other = Problem(toy_measurement(SHAPE), other.data, other.conventional, other.generator, "cpu")
    with pytest.raises(TypeError, match="SenseOperator"):
        batch_of([other, other])
