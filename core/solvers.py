"""Iterative solvers, which take functions instead of operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nilatron.core.backend import Array, namespace, on_host, real_dtype


@dataclass(frozen=True)
class Solution:
    """Solver result.

    Attributes
    ----------
    x
        The solution.
    iterations
        Number of iterations of each element of the batch.
    relative_residuals
        |b - A x| / |b| of each element at the end.
    """

    x: Array
    iterations: Array
    relative_residuals: Array

    @property
    def n_iterations(self) -> int:
        """Number of iterations of the slowest element; reading it waits for a GPU."""
        return int(namespace(self.iterations).max(self.iterations))

    @property
    def residual(self) -> float:
        """The largest relative residual; reading it waits for a GPU."""
        return float(namespace(self.relative_residuals).max(self.relative_residuals))


def conjugate_gradient(
    apply: Callable[[Array], Array],
    b: Array,
    start: Array | None = None,
    *,
    tolerance: float = 1e-3,
    min_change: float = 0.0,
    max_iterations: int = 20,
    n_axes: int = 3,
) -> Solution:
    """Solve A x = b for Hermitian positive definite A (Hestenes and Stiefel 1952), each batch element separately.

    An element that is solved no longer changes. In host memory the loop ends when all elements are solved; a GPU runs all
    iterations, because the question whether all are solved would make the host wait for it in each of them.

    Parameters
    ----------
    apply
        x -> A x.
    b, start
        Right-hand side and first guess (..., z, y, x); the default guess 0 saves a product.
    tolerance
        An element is solved when |b - A x| <= tolerance |b|.
    min_change
        An element is also solved when an iteration changes it by less than this, as rms over its pixels.
    max_iterations
        Largest number of iterations.
    n_axes
        Number of last axes that belong to one element.
    """
    xp, real, may_ask = namespace(b), real_dtype(b), on_host(b)
    image_axes = tuple(range(-n_axes, 0))

    def dot(u: Array, v: Array) -> Array:
        # a row is summed in single, the rows in double precision: a volume has millions of products
        rows = xp.real(xp.linalg.vecdot(u, v))[..., None]
        return xp.astype(xp.sum(rows, axis=image_axes, keepdims=True, dtype=xp.float64), real)

    def ratio(
        numerator: Array, denominator: Array, where: Array
    ) -> Array:  # 0 elsewhere, and where one is solved exactly
        usable = where & (denominator > 0)
        return xp.where(usable, numerator / xp.where(usable, denominator, one), zero)

    x, r = (xp.zeros_like(b), b) if start is None else (start, b - apply(start))
    p = r
    bb = dot(b, b)
    rr, target = bb if start is None else dot(r, r), tolerance**2 * bb
    zero, one = xp.zeros_like(rr), xp.ones_like(rr)
    pp, min_change_energy = rr, min_change**2 * math.prod(b.shape[-n_axes:])
    iterations = xp.zeros(rr.shape, dtype=xp.int64, device=b.device)
    changing = xp.ones(rr.shape, dtype=xp.bool, device=b.device)
    for _ in range(max_iterations):
        active = changing & (rr > target)
        if may_ask and not bool(xp.any(active)):
            break
        q = apply(p)
        step = ratio(rr, dot(p, q), active)
        x = x + step * p
        r = r - step * q
        changing = active & (step**2 * pp > min_change_energy)
        previous, rr = rr, dot(r, r)
        beta = ratio(rr, previous, active)
        p, pp = r + beta * p, rr + beta**2 * pp  # r is orthogonal to the previous p
        iterations = iterations + xp.astype(active, xp.int64)
    return Solution(x, iterations, xp.sqrt(ratio(rr, bb, bb > 0)))


def fista(
    gradient: Callable[[Array], Array],
    prox: Callable[[Array, Array | float], Array],
    start: Array,
    *,
    step: Array | float,
    n_iterations: int,
) -> Array:
    """Minimise f(x) + g(x) by accelerated proximal gradients (Beck and Teboulle 2009, Eq. 4.1 to 4.3).

    Parameters
    ----------
    gradient
        x -> grad f(x), Lipschitz with constant at most 1 / step.
    prox
        (x, step) -> argmin_z step g(z) + |z - x|^2 / 2.
    start
        First guess.
    step
        A number, or one for each image of a batch (..., 1, 1, 1).
    """
    x = z = start
    t = 1.0
    for _ in range(n_iterations):
        x_next = prox(z - step * gradient(z), step)
        t_next = (1 + (1 + 4 * t * t) ** 0.5) / 2
        z = x_next + ((t - 1) / t_next) * (x_next - x)
        x, t = x_next, t_next
    return x
