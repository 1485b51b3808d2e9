import numpy as np
import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sampling.unrolled import log_error
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem
from nilatron.pipelines.training.scans import scan_loss

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scan():
    y, x = torch.meshgrid(torch.linspace(-1, 1, 72), torch.linspace(-1, 1, 72), indexing="ij")
    image = ((y**2 + 1.3 * x**2) < 0.6) * (0.6 + 0.3 * torch.cos(9 * x + 5 * y))
    settings = ScanSettings(accelerations=(4,), n_coils=(6, 6), compression_probability=0.0, sigma=(0.05, 0.05))
    return draw_scan([image], settings, torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    """A self-conditioned network that makes use of the estimate of the step before."""
    return load_prior(shipped_weights("tiny")).denoiser.requires_grad_(True)


@pytest.mark.slow
def test_the_image_that_is_judged_is_the_chain_s_own_without_turns(scan, model):
    coil_maps, counts, data, start = (tensor.numpy() for tensor in scan[:4])
    operator = SenseOperator(coil_maps, counts)
    problem = Problem(operator, data, start, np.random.default_rng(7), "cpu", shipped_weights("tiny"))
    image = run_nila(problem, NilaNodeSettings(precision="fp32", symmetries=False, detail=0.0)).images["main"]
    with torch.no_grad():
        found = scan_loss(model, scan, np.random.default_rng(7), CPU)
    assert float(found) == pytest.approx(float(log_error(torch.from_numpy(image), scan.truth, scan.scale)), abs=1e-3)


@pytest.mark.slow
def test_steps_along_its_derivative_make_the_image_better(scan, model):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = scan_loss(model, scan, np.random.default_rng(0), CPU)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.03
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert torch.all(model.network.first.weight.grad.abs().sum((0, 2, 3)) > 0)
