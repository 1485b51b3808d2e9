"""Slices for the Nila methods."""

import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.problem import Problem

SHAPE = (1, 24, 32)


@pytest.fixture
def problem():
    """Makes slices of unlike brightness, undersampling and noise, by their place."""

    def make(place):
        rng = np.random.default_rng(place)
        counts = np.zeros(SHAPE, np.float32)
        counts[:, :: 2 + place] = counts[:, 8:16] = 1
        operator = SenseOperator(coil_maps(3, SHAPE), counts)
        data = operator.forward(10.0**place * phantom(SHAPE))
        data = data + operator.weights * complex_normal(rng, data.shape, data)
        return Problem(operator, data, cg_sense(operator, data), rng, "cpu", shipped_weights("tiny"))

    return make
