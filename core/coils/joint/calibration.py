"""Joint estimation of image and coil maps by regularised nonlinear inversion (Uecker et al., MRM 2008;60:674).

The data y_c = P F(S_c rho) are a product of two unknowns. The image rho and smooth maps S_c = F^H W h_c follow from

    min |P F(S_c rho) - y_c|^2 + alpha (|rho - rho_0|^2 + |h|^2),   W(k) = (1 + a |k|^2)^-b,

linearised about the last estimate, alpha falling from step to step. No part of k-space has to be fully sampled. Maps need
only the low frequencies, so a window around DC is inverted, on a grid with a margin for what the maps fold into it. The
result is that window without gaps: a calibration block, from which ESPIRiT makes maps as from any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nilatron.core.backend import Array, converted_to, namespace
from nilatron.core.coils.joint.model import DATA_NORM, JointModel
from nilatron.core.coils.window import Window, whole_axes
from nilatron.core.kspace import centre_block

BLOCK_THRESHOLD = 3e-3  # of ESPIRiT's kernels of the result: the model's errors are kernels, too, weak ones


@dataclass(frozen=True)
class JointSettings:
    """Settings of the inversion.

    Attributes
    ----------
    window, volume_window
        Samples around DC that are inverted along each axis, of a slice and of a volume.
    margin
        Samples of the grid beyond the window, both sides together. Along a readout the window is as large as the grid.
    block
        Samples of the result along each axis.
    n_steps
        Gauss-Newton steps.
    reduction
        Factor of alpha from step to step; the first alpha is 1.
    smoothness, order
        a, for k in periods of the field of view, and b.
    start_width
        Standard deviation of the Gaussian rho_0 in half fields of view. An object is in the middle of its field of view more
        often than at the edges, and that tells which of two aliases is which; None starts with an image of 1.
    tolerance, max_iterations
        Of the conjugate gradients of each step.
    enough
        Share of the noise that the inversion may leave.
    """

    window: int = 36
    volume_window: int = 24
    margin: int = 6
    block: int = 24
    n_steps: int = 10
    reduction: float = 0.4
    smoothness: float = 220 / 256**2
    order: float = 32
    start_width: float | None = 0.8
    tolerance: float = 0.1
    max_iterations: int = 60
    enough: float = 0.5


@dataclass(frozen=True, eq=False)
class JointEstimate:
    """Result of an inversion.

    Attributes
    ----------
    block
        k-space around DC without gaps (coil, z, y, x): samples as acquired, the others by the model.
    unexplained
        sqrt(|residual|^2 less the noise / |data|^2) of the window.
    """

    block: Array
    unexplained: float


def joint_calibration(
    kspace: Array, counts: Array, noise_variance: float = 1.0, settings: JointSettings | None = None
) -> JointEstimate:
    """Calibration block of undersampled k-space; zeros where the window holds no signal.

    Parameters
    ----------
    kspace
        Mean of the acquired samples, complex (coil, z, y, x), 0 where there are none.
    counts
        How often each was acquired, (z, y, x); may belong to another array library.
    noise_variance
        Of a sample that was acquired once; 0 where it is not known. The inversion ends where it has explained the rest.
    """
    settings = settings or JointSettings()
    xp, counts = namespace(kspace), converted_to(counts, kspace)
    sides = (settings.window, settings.volume_window)
    window = Window.of(kspace, counts, sides, settings.margin, whole_axes(counts, max(sides) + settings.margin))
    model = JointModel.of(window, settings.smoothness, settings.order)
    if model.scale == 0:
        return JointEstimate(centre_block(kspace, settings.block), 0.0)
    noise = noise_variance * model.scale**2 * int(kspace.shape[0]) * model.n_measured
    estimate = reference = model.start(settings.start_width)
    alpha = 1.0
    residual = model.residual(estimate)
    for _ in range(settings.n_steps):
        if model.misfit(residual) <= settings.enough * noise:
            break
        estimate = model.step(
            estimate,
            reference,
            residual,
            alpha,
            tolerance=settings.tolerance,
            max_iterations=settings.max_iterations,
        )
        residual = model.residual(estimate)
        alpha *= settings.reduction
    predicted = centre_block(model.kspace(estimate) / model.scale, settings.block)
    measured, acquired = (centre_block(a, settings.block) for a in (kspace, counts[None]))
    excess = max(model.misfit(residual) - noise, 0.0)
    return JointEstimate(xp.where(acquired > 0, measured, predicted), math.sqrt(excess) / DATA_NORM)
