import numpy as np
import torch

from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.engine_prior import EnginePrior


class Halves:
    """D(x, s) = x / 2, self-conditioned: plus a quarter of the previous estimate."""

    sigma_data, multiple, n_inputs = 0.5, 4, 4

    def __call__(self, x, s):
        del s
        return 0.5 * x[:, :2] + 0.25 * x[:, 2:]


def test_the_estimate_is_that_of_the_engine_for_arrays_of_any_library():
    prior = EnginePrior(Engine(Halves(), "halves fp32", lambda: "as asked"), torch.device("cpu"), "ab" * 32)
    rng = np.random.default_rng(0)
    x, previous = (rng.standard_normal((2, 1, 6, 8, 2)).astype(np.float32).view(np.complex64)[..., 0] for _ in range(2))
    expected = denoise_complex(Halves(), torch.from_numpy(x), 0.3, torch.from_numpy(previous)).numpy()
    found = prior.estimate(x, 0.3, previous)
    assert isinstance(found.mean, np.ndarray)
    assert found.variance is None
    np.testing.assert_array_equal(found.mean, expected)
    on_torch = prior.estimate(torch.from_numpy(x), 0.3, torch.from_numpy(previous)).mean
    np.testing.assert_array_equal(on_torch.numpy(), expected)
    np.testing.assert_allclose(prior.estimate(x, 0.3).mean, 0.75 * x, rtol=1e-5)
    assert prior.label == "halves fp32 (as asked)"
