"""Nila as the chain of that name runs it, on arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.recon import warm_started
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem


def nila(
    operator: SenseOperator, data: ComplexArray, weights: Path, settings: NilaNodeSettings | None = None
) -> ComplexArray:
    """By default that of `nilatron replay`, conventional image included."""
    problem = Problem.of(warm_started(operator, data), np.random.default_rng(0), weights=weights)
    image: ComplexArray = run_nila(problem, settings or NilaNodeSettings()).images["main"]
    return image
