import numpy as np
import torch

from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.prior import prior_for


def test_the_prior_is_loaded_once():
    assert prior_for(DEFAULT_WEIGHTS, "cpu") is prior_for(DEFAULT_WEIGHTS, "cpu")


def test_arrays_come_back_as_they_went_in():
    denoise = prior_for(DEFAULT_WEIGHTS, "cpu").denoise
    x = np.random.default_rng(0).normal(size=(1, 1, 32, 24)).astype(np.complex64)
    out = denoise(x, 0.1)
    assert isinstance(out, np.ndarray)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert np.array_equal(out, denoise(torch.from_numpy(x), 0.1).numpy())
