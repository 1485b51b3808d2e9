"""The phase between lines read forwards and backwards, from navigators without phase encoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray

Phase: TypeAlias = npt.NDArray[np.float64]  # rad, (x,)
Order: TypeAlias = Literal["none", "mean", "linear", "polynomial"]
POLYNOMIAL_ORDER = 4


def polarity_phase(
    profiles: Sequence[ComplexArray], backwards: Sequence[bool], order: Order = "linear"
) -> Phase | None:
    """Phase (x,) by which a line read backwards leads one read forwards; None without a pair of both.

    The phase that the object gains from line to line is the same in both directions: a navigator between two of the other
    direction is compared with both, so that this drops out. In a pair alone it does not.

    Parameters
    ----------
    profiles
        Navigators along x (coil, x), in the order of time.
    backwards
        Which of them were read backwards; their samples have been turned around.
    order
        What is fitted: "none" is a phase of 0.
    """
    n = len(profiles)
    triples = [(i, i + 1, i + 2) for i in range(n - 2) if backwards[i] == backwards[i + 2] != backwards[i + 1]]
    pairs = [pair for i, j, k in triples for pair in ((i, j), (k, j))]
    if not pairs:
        pairs = [(i, i + 1) for i in range(n - 1) if backwards[i] != backwards[i + 1]]
    if not pairs:
        return None
    total = np.zeros(profiles[0].shape[-1], np.complex128)
    for one, other in pairs:
        forward, backward = (other, one) if backwards[one] else (one, other)
        total += np.sum(np.conj(profiles[forward]) * profiles[backward], axis=0)
    return fitted_phase(total, order)


def evolution_phase(profiles: Sequence[ComplexArray], order: Order = "mean") -> Phase:
    """Phase (x,) that lines of one direction gain from one to the next, half of that between every second navigator."""
    total = np.zeros(profiles[0].shape[-1], np.complex128)
    for earlier, later in zip(profiles[:-2], profiles[2:], strict=True):
        total += np.sum(np.conj(earlier) * later, axis=0)
    return fitted_phase(total, order) / 2


def fitted_phase(product: npt.NDArray[np.complex128], order: Order) -> Phase:
    """Smooth phase (x,) of a complex profile (x,); each pixel counts by its magnitude.

    The slope is that of the mean phase between neighbours, so that wraps do no harm, the constant the mean of what is left.
    """
    n = len(product)
    x = np.arange(n) - float(n // 2)
    if order == "none":
        return np.zeros(n)
    slope = 0.0 if order == "mean" else float(np.angle(np.sum(np.conj(product[:-1]) * product[1:])))
    left = product * np.exp(-1j * slope * x)
    constant = float(np.angle(np.sum(left)))
    phase = slope * x + constant
    if order == "polynomial":
        phase = phase + _polynomial(left * np.exp(-1j * constant))
    return np.asarray(phase, np.float64)


def _polynomial(product: npt.NDArray[np.complex128]) -> Phase:
    basis = np.vander(np.linspace(-0.5, 0.5, len(product)), POLYNOMIAL_ORDER + 1)
    weights = np.sqrt(np.abs(product))
    found, *_ = np.linalg.lstsq(basis * weights[:, None], weights * np.angle(product), rcond=None)
    return np.asarray(basis @ found)
