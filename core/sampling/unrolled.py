"""The sampler as a function of the network's weights that can be differentiated, and its error as a loss.

Training a denoiser on white noise alone leaves out what it meets inside the sampler with tau = 0: images whose error is what
data consistency has left, aliasing and noise of the coil geometry. The weights are therefore also trained through the whole
sampler (unrolled: Hammernik et al., MRM 2018; Aggarwal et al., MoDL, IEEE TMI 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from nilatron.core.metrics import FOREGROUND
from nilatron.core.solvers import Solution, conjugate_gradient

Solve: TypeAlias = Callable[[Tensor], Tensor]

MAGNITUDE_SHARE = 0.75  # of the loss: images are looked at as magnitudes
BACKWARD_TOLERANCE = 3e-3  # relative residual


def differentiable_solve(
    apply: Solve,
    b: Tensor,
    start: Tensor,
    *,
    tolerance: float,
    min_change: float,
    max_iterations: int,
) -> Solution:
    """`conjugate_gradient` on torch tensors with the derivative of the exact solution: where x = A^-1 b, db = A^-1 dx.

    A is Hermitian, so that a derivative costs one more solution and no memory (MoDL, section III).
    """
    found: list[Solution] = []

    def solution(right: Tensor) -> Tensor:
        found.append(
            conjugate_gradient(
                apply,
                right,
                start.detach(),
                tolerance=tolerance,
                min_change=min_change,
                max_iterations=max_iterations,
            )
        )
        return cast("Tensor", found[-1].x)

    def derivative(outer: Tensor) -> Tensor:
        solved = conjugate_gradient(apply, outer, outer, tolerance=BACKWARD_TOLERANCE, max_iterations=max_iterations)
        return cast("Tensor", solved.x)

    x = _Inverse.apply(b, solution, derivative)  # type: ignore[no-untyped-call]
    return replace(found[0], x=x)


class _Inverse(torch.autograd.Function):
    """b -> A^-1 b, and the same for derivatives."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, solution: Solve, derivative: Solve) -> Tensor:
        ctx.derivative = derivative
        return solution(b)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        return ctx.derivative(outer[0]), None, None


def log_error(image: Tensor, truth: Tensor, scale: float) -> Tensor:
    """Logarithm of the relative squared error, of magnitudes in the foreground and of the whole complex image.

    ln (1.5 |(|x| - |t|)_F|^2 / |t_F|^2 + 0.25 |x - t|^2 / |t|^2), F where |t| is above 8 % of the image scale: the magnitude's
    error is about half of the complex one. The logarithm weighs hard and easy scans alike.
    """
    inside = truth.abs() > FOREGROUND * scale
    least = (1e-6 * scale) ** 2  # a magnitude of 0 has no derivative, an empty truth no relative error
    magnitude = (image.real.square() + image.imag.square() + least).sqrt()
    expected = truth.abs()[inside]
    of_magnitude = (magnitude[inside] - expected).square().sum() / (expected.square().sum() + least)
    of_all = (image - truth).abs().square().sum() / (truth.abs().square().sum() + least)
    return (2 * MAGNITUDE_SHARE * of_magnitude + (1 - MAGNITUDE_SHARE) * of_all).log()
