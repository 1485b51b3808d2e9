"""Looking at a value on a GPU makes the host wait: the loop of the sampler must not, whatever its length."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nilatron.core import solvers
from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.engines.torch_engine import torch_engine
from nilatron.core.prior.prior import Estimate
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sampling.nila_fast import nila_fast
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator

FETCHES = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default, torch.ops.aten.item.default)


class Looks(TorchDispatchMode):
    """Counts how often a value is fetched: what `item`, `bool`, `float` and `int` of a tensor come down to."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n += func in FETCHES
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_the_sampler_looks_at_nothing_inside_its_loop(make_problem, monkeypatch, tau):
    problem = make_problem(0.1)
    engine = torch_engine(load_prior(shipped_weights("tiny")).denoiser, "bf16", "cpu")
    operator = SenseOperator(torch.from_numpy(problem.operator.coil_maps), torch.from_numpy(problem.operator.counts))
    data = torch.from_numpy(problem.data)
    start = operator.adjoint(data)[None]
    operator.normal(start)  # finds out once which axes are undersampled
    monkeypatch.setattr(solvers, "on_host", lambda _: False)

    def looks(n_steps):
        with Looks() as looks, torch.inference_mode():
            nila_fast(
                lambda x, level: Estimate(denoise_complex(engine.denoiser, x, level)),
                operator,
                data,
                karras_schedule(n_steps),
                start=start,
                sigma=problem.sigma,
                scale=1.0,
                tau=tau,
                generator=np.random.default_rng(1),
            )
        return looks.n

    assert looks(3) == looks(6) == 0
