"""DiffPIR and DPS of deepinv (PyPI deepinv) with our network and its `MultiCoilMRI`.

deepinv wants two real channels in [0, 1] and noise levels per channel: `unit_range` converts. Its operator is checked against
ours before anything is timed. DPS is run twice: with its default guidance ("norm", weight 1), which in a solver of continuous
time leaves the data almost without influence, and with its alternative "annealed", which weighs the residual by the noise of
the data and did better than "norm" with any weight that was tried.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nilatron.gadgets.problem import Problem
from peers.case import Case
from peers.denoiser import CountedDenoiser
from peers.measurement import Measurement, RunSettings, once
from peers.torchvision_stub import import_torchvision
from peers.unit_range import OFFSET, UnitRange, as_channels, as_complex

AGREEMENT = 1e-5
HEADROOM = 1.05
N_DPS_STEPS = 1000
ZETA = 1.0  # share of fresh noise that DiffPIR's documentation names as the default; its code has 0.1, which is 1.5 dB worse


class WrappedDenoiser(torch.nn.Module):
    """v of noisy v: our network between the conversions; with a gradient where one is asked for."""

    def __init__(self, denoiser: CountedDenoiser, unit: UnitRange) -> None:
        super().__init__()
        self.denoiser, self.unit = denoiser, unit

    def forward(self, x: Tensor, sigma: Tensor | float, **_: object) -> Tensor:
        """Denoise (batch, 2, y, x) at noise `sigma` per channel."""
        level = self.unit.complex_sigma(float(torch.as_tensor(sigma).reshape(-1)[0]))
        image = self.unit.image(x.to(torch.float32))
        with_gradient = torch.is_grad_enabled() and x.requires_grad
        clean = self.denoiser.differentiable(image, level) if with_gradient else self.denoiser(image, level).clone()
        return self.unit.channels(clean)


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """Variant: "diffpir", "dps:norm" or "dps:annealed"."""
    import_torchvision()
    import deepinv  # type: ignore[import-not-found,import-untyped,unused-ignore]

    problem = case.problem(settings.weights)
    scale = problem.scale
    unit = UnitRange(HEADROOM * max(1.0, float(np.max(np.abs(problem.conventional))) / scale))
    sigma = unit.channel_sigma(problem.noise_level / scale)
    physics = multi_coil(deepinv, problem, sigma)
    physics_error = disagreement(physics, problem)
    if physics_error > AGREEMENT:
        raise ValueError(f"deepinv's operator differs from ours by {physics_error:.1e}, expected at most {AGREEMENT:g}")
    denoiser = CountedDenoiser(settings.weights, case.reference.shape)
    wrapped = WrappedDenoiser(denoiser, unit)
    sampler, note = chosen_sampler(deepinv, variant, wrapped, sigma, settings)
    y = unit_data(problem, scale, unit)
    torch.manual_seed(0)
    channels, seconds = once(lambda: sampler(y, physics, seed=1))
    image = (unit.image(channels.detach().to(torch.float32)) * scale).numpy()
    note = f"{note}; images in +-{unit.bound:.2f} of the scale, so that nothing is clipped"
    return Measurement(seconds, 1, case.psnr(image), denoiser.n_evaluations, note=note)


def chosen_sampler(
    deepinv: ModuleType, variant: str, denoiser: WrappedDenoiser, sigma: float, settings: RunSettings
) -> tuple[Any, str]:
    """The sampler with its defaults, and what differs from them."""
    name, _, guidance = variant.partition(":")
    if name == "diffpir":
        fidelity = deepinv.optim.data_fidelity.L2()
        return deepinv.sampling.DiffPIR(denoiser, fidelity, sigma=sigma, zeta=ZETA), "100 steps, lambda 7, zeta 1"
    n_steps = settings.steps(N_DPS_STEPS)
    note = f"{n_steps} steps, each with a gradient through the network, in fp32"
    return deepinv.sampling.DPS(denoiser, num_steps=n_steps, guidance=guidance), note


def multi_coil(deepinv: ModuleType, problem: Problem, sigma: float) -> Any:
    """`MultiCoilMRI` of the problem, with the noise that its channels have."""
    operator = problem.operator
    if operator.coil_maps.shape[1] != 1 or not np.isin(operator.counts, (0, 1)).all():
        raise ValueError("expected one slice whose lines were each measured once: MultiCoilMRI has a mask, no counts")
    mask = torch.from_numpy(np.ascontiguousarray(operator.counts[0]))
    maps = torch.from_numpy(np.ascontiguousarray(operator.coil_maps[:, 0]))[None]
    noise = deepinv.physics.GaussianNoise(sigma)
    return deepinv.physics.MultiCoilMRI(mask=mask, coil_maps=maps, noise_model=noise)


def unit_data(problem: Problem, scale: float, unit: UnitRange) -> Tensor:
    """Measurement (1, 2, coil, y, x) of the image in [0, 1]."""
    offset = np.full(problem.conventional.shape, OFFSET, np.complex64)
    data, offset_data = (torch.from_numpy(array[:, 0]) for array in (problem.data, problem.operator.forward(offset)))
    return as_channels(unit.measurement(data / scale, offset_data)[None])


def disagreement(physics: Any, problem: Problem) -> float:
    """Largest relative difference of A x and A^H y between deepinv's operator and ours, for random arrays."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(problem.conventional.shape, dtype=torch.complex64, generator=generator)
    data = torch.randn(problem.data.shape, dtype=torch.complex64, generator=generator)
    forward = as_complex(physics.A(as_channels(image)))[0]
    adjoint = as_complex(physics.A_adjoint(as_channels(data[:, 0][None])))
    ours = (problem.operator.forward(image.numpy())[:, 0], problem.operator.adjoint(data.numpy()))
    pairs = zip((forward.numpy(), adjoint.numpy()), ours, strict=True)
    return max(float(np.linalg.norm(theirs - mine) / np.linalg.norm(mine)) for theirs, mine in pairs)
