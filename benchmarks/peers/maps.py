"""How far other coil maps are from those of a case."""

from __future__ import annotations

import math

import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.metrics import foreground
from peers.case import Case


def map_error(maps: ComplexArray, case: Case) -> float:
    """NRMSE against the maps of the case where both are set in the foreground, the pointwise common phase removed."""
    inside = foreground(case.reference) & np.any(case.maps != 0, axis=0) & np.any(maps != 0, axis=0)
    phase = np.exp(1j * np.angle(np.sum(np.conj(maps) * case.maps, axis=0)))
    difference = np.sum(np.abs(maps * phase - case.maps) ** 2, axis=0)[inside]
    return math.sqrt(float(difference.sum() / np.sum(np.abs(case.maps) ** 2, axis=0)[inside].sum()))
