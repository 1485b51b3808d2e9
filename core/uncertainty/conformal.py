"""Conformal calibration: from how wrong predictions were for some subjects to what holds for the next one.

Of K + 1 exchangeable scores the last is at most the m-th smallest of the others with probability m / (K + 1) or more (Vovk,
Gammerman and Shafer, 2005). Slices and pixels of one subject resemble each other, so the unit is the subject: each gives one
score, however many slices it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


class TooFewSubjectsError(ValueError):
    """Fewer subjects than the wanted confidence needs."""


def subjects_needed(confidence: float) -> int:
    """Smallest K for which the largest of K scores is not exceeded with probability `confidence`: K / (K + 1) >= it."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence is between 0 and 1, got {confidence}")
    return max(1, math.ceil(confidence / (1 - confidence) - 1e-9))


def conformal_bound(scores: Sequence[float], confidence: float) -> float:
    """Smallest of the subjects' scores that a new subject's score does not exceed with probability `confidence`.

    It is the ceil((K + 1) confidence)-th smallest of K.

    Raises
    ------
    TooFewSubjectsError
        When not even the largest is such a bound.
    """
    needed = subjects_needed(confidence)
    if len(scores) < needed:
        raise TooFewSubjectsError(
            f"a confidence of {confidence:g} needs scans of at least {needed} subjects, there are {len(scores)}"
        )
    rank = math.ceil((len(scores) + 1) * confidence - 1e-9)
    return float(np.sort(np.asarray(scores, np.float64))[min(rank, len(scores)) - 1])


def covering_factor(errors: FloatArray, standard_deviations: FloatArray, coverage: float) -> float:
    """Smallest kappa with |error| <= kappa sd for the share `coverage` of the pixels, which are those of one subject."""
    if not 0 < coverage < 1:
        raise ValueError(f"a coverage is between 0 and 1, got {coverage}")
    if errors.size == 0 or errors.shape != standard_deviations.shape:
        raise ValueError(
            f"expected errors and deviations of the same pixels, got {errors.shape}, {standard_deviations.shape}"
        )
    ratios = np.abs(errors) / np.maximum(standard_deviations, np.finfo(np.float32).tiny)
    return float(np.quantile(ratios, coverage, method="inverted_cdf"))
