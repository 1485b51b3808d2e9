"""Whether an image is of the kind that a prior was trained on: the distance of its statistics from those of such images.

The statistics f of an image depend on the scan, which c describes. Over images of the known kind f - W c has mean 0 and
covariance C; the score of an image is the mean square of C^(-1/2) (f - W c) (Mahalanobis, 1936), about 1 for images of that
kind at any noise level and acceleration.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]
SHRINKAGE = 0.02  # of the covariance towards its diagonal
N_CONDITIONS = 6
MAX_STATISTICS = 512


def conditions(noise: float, acceleration: float) -> DoubleArray:
    """What of a scan its statistics may depend on: a polynomial of the logarithms of noise (image scale 1) and acceleration."""
    n, r = math.log(noise) + 3.5, math.log(max(acceleration, 1.0)) - 1.0
    return np.array([1.0, n, r, n * n, n * r, r * r])


@dataclass(frozen=True)
class Familiarity:
    """Statistics of images of the known kind.

    Attributes
    ----------
    mean
        W, (statistic, condition).
    whitening
        C^(-1/2), lower triangular (statistic, statistic).
    threshold
        Score above which an image is called unfamiliar.
    false_alarms
        Share of images of the known kind above it, of those that the statistics were not taken from.
    """

    mean: DoubleArray
    whitening: DoubleArray
    threshold: float
    false_alarms: float

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other."""
        n = len(self.mean)
        if self.mean.shape != (n, N_CONDITIONS) or self.whitening.shape != (n, n) or not 1 <= n <= MAX_STATISTICS:
            raise ValueError(
                f"expected W (n, {N_CONDITIONS}) and C (n, n), got {self.mean.shape}, {self.whitening.shape}"
            )
        if not np.isfinite(self.mean).all() or not np.isfinite(self.whitening).all():
            raise ValueError("the statistics of familiar images must be finite")
        if not 0 < self.threshold < math.inf or not 0 <= self.false_alarms <= 1:
            raise ValueError(f"expected a positive threshold and a share, got {self.threshold}, {self.false_alarms}")

    def score(self, statistics: DoubleArray, noise: float, acceleration: float) -> float:
        """Mean square of the whitened statistics (statistic,): about 1 for a familiar image."""
        if statistics.shape != self.mean.shape[:1]:
            raise ValueError(f"expected {len(self.mean)} statistics, got an array of shape {statistics.shape}")
        whitened = self.whitening @ (statistics - self.mean @ conditions(noise, acceleration))
        return float(np.mean(whitened**2))

    def json(self) -> str:
        """As text, for the metadata of a weights file."""
        rows = [[float(f"{v:.5g}") for v in row] for row in self.mean]
        triangle = [[float(f"{v:.5g}") for v in row[: i + 1]] for i, row in enumerate(self.whitening)]
        parts = {"mean": rows, "whitening": triangle, "threshold": self.threshold, "false_alarms": self.false_alarms}
        return json.dumps(parts)

    @classmethod
    def parsed(cls, text: str) -> Familiarity:
        """Inverse of `json`.

        Raises
        ------
        ValueError
            When the text describes no such statistics.
        """
        try:
            read = json.loads(text)
            mean = np.array(read["mean"], np.float64)
            whitening = np.zeros((len(mean), len(mean)))
            if [len(row) for row in read["whitening"]] != list(range(1, len(mean) + 1)):
                raise ValueError("the whitening is no triangle of the size of the mean")
            for i, row in enumerate(read["whitening"]):
                whitening[i, : i + 1] = row
            return cls(mean, whitening, float(read["threshold"]), float(read["false_alarms"]))
        except (KeyError, TypeError, IndexError, RecursionError) as error:
            raise ValueError(f"no statistics of familiar images: {error}") from error


def fitted(statistics: DoubleArray, conditions_: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """W and C^(-1/2) of images of the known kind: statistics (image, statistic) and conditions (image, condition)."""
    weights = np.linalg.lstsq(conditions_, statistics, rcond=None)[0].T
    rest = statistics - conditions_ @ weights.T
    covariance = rest.T @ rest / max(1, len(rest) - N_CONDITIONS)
    diagonal = np.diag(np.diag(covariance))
    shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal + 1e-9 * np.eye(len(covariance))
    whitening: DoubleArray = np.linalg.inv(np.linalg.cholesky(shrunk)).astype(np.float64)
    return np.asarray(weights, np.float64), whitening
