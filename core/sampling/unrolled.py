"""Training through the sampler: a solver that can be differentiated, and the error of the image as a loss.

A denoiser that is trained on white noise alone never sees the errors of images inside the sampler with tau = 0: aliasing and
noise amplification that data consistency has not removed. The weights are therefore also trained through the whole sampler
(unrolled: Hammernik et al., MRM 2018; Aggarwal et al., MoDL, IEEE TMI 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

from nilatron.core.metrics import FOREGROUND
from nilatron.core.solvers import Solution, conjugate_gradient

TensorMap: TypeAlias = Callable[[Tensor], Tensor]

MAGNITUDE_SHARE = 0.75  # fraction of the loss that counts magnitudes, which are what a reader sees
BACKWARD_TOLERANCE = 3e-3  # relative residual


def differentiable_solve(
    apply: TensorMap,
    b: Tensor,
    start: Tensor,
    *,
    tolerance: float,
    min_change: float,
    max_iterations: int,
) -> Solution:
    """`conjugate_gradient` on torch tensors, with the derivative of the exact solution x = A^-1 b, which is db = A^-1 dx.

    A is Hermitian, so a derivative costs one more solution and no memory (MoDL, section III).
    """
    solutions: list[Solution] = []

    def solve(right_side: Tensor) -> Tensor:
        solutions.append(
            conjugate_gradient(
                apply,
                right_side,
                start.detach(),
                tolerance=tolerance,
                min_change=min_change,
                max_iterations=max_iterations,
            )
        )
        return cast("Tensor", solutions[-1].x)

    def backward(dx: Tensor) -> Tensor:
        solved = conjugate_gradient(apply, dx, dx, tolerance=BACKWARD_TOLERANCE, max_iterations=max_iterations)
        return cast("Tensor", solved.x)

    x = _Inverse.apply(b, solve, backward)  # type: ignore[no-untyped-call]
    return replace(solutions[0], x=x)


class _Inverse(torch.autograd.Function):
    """The map b -> A^-1 b, and the same map for derivatives."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, solve: TensorMap, backward: TensorMap) -> Tensor:
        ctx.solve_backward = backward
        return solve(b)

    @staticmethod
    def backward(ctx: Any, *dx: Tensor) -> tuple[Tensor, None, None]:
        return ctx.solve_backward(dx[0]), None, None


def log_error(image: Tensor, truth: Tensor, scale: float) -> Tensor:
    """Logarithm of the relative squared error, of magnitudes in the foreground and of the whole complex image.

    It is ln (1.5 |(|x| - |t|)_F|^2 / |t_F|^2 + 0.25 |x - t|^2 / |t|^2) with image x and truth t; F are the pixels where |t| is
    above 8 % of the image scale. The term of the magnitudes has twice its share, because their error is about half of the
    complex error. The logarithm gives hard and easy scans the same weight.
    """
    foreground = truth.abs() > FOREGROUND * scale
    floor = (1e-6 * scale) ** 2  # a magnitude of 0 has no derivative, and a truth of zeros no relative error
    magnitude = (image.real.square() + image.imag.square() + floor).sqrt()
    expected = truth.abs()[foreground]
    magnitude_error = (magnitude[foreground] - expected).square().sum() / (expected.square().sum() + floor)
    complex_error = (image - truth).abs().square().sum() / (truth.abs().square().sum() + floor)
    return (2 * MAGNITUDE_SHARE * magnitude_error + (1 - MAGNITUDE_SHARE) * complex_error).log()
