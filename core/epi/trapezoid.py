"""Where in k-space the samples of a readout lie whose gradient is a trapezoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

RealArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trapezoid:
    """A gradient lobe of amplitude 1 that rises, stays and falls; times in us."""

    ramp_up_us: float
    flat_top_us: float
    ramp_down_us: float

    @property
    def duration_us(self) -> float:
        """From the first to the last moment with gradient."""
        return self.ramp_up_us + self.flat_top_us + self.ramp_down_us

    @property
    def area(self) -> float:
        """Of the whole lobe, us."""
        return self.ramp_up_us / 2 + self.flat_top_us + self.ramp_down_us / 2

    def area_until(self, t_us: RealArray) -> RealArray:
        """Area before the times `t_us`, us; constant outside the lobe."""
        t = np.clip(t_us, 0.0, self.duration_us)
        up, down = np.minimum(t, self.ramp_up_us), np.maximum(self.duration_us - t, 0.0)
        rising = up**2 / (2 * self.ramp_up_us) if self.ramp_up_us > 0 else np.zeros_like(t)
        flat = np.clip(t - self.ramp_up_us, 0.0, self.flat_top_us)
        if self.ramp_down_us <= 0:
            return np.asarray(rising + flat)
        left = np.minimum(down, self.ramp_down_us)
        return np.asarray(rising + flat + self.ramp_down_us / 2 - left**2 / (2 * self.ramp_down_us))


def sample_positions(lobe: Trapezoid, delay_us: float, dwell_us: float, n_samples: int, n_columns: int) -> RealArray:
    """Positions k (n_samples,) in steps of the encoded grid, 0 where half the lobe's area is over, in the order of time.

    The area between the beginning of the first and the end of the last sample is that of `n_columns` steps.

    Parameters
    ----------
    lobe
        Of the readout; a prephasing gradient of half its area goes before.
    delay_us
        From the beginning of the lobe to that of the first sample.
    dwell_us
        Between samples; each stands for the middle of its time.
    """
    ends = np.array([delay_us, delay_us + dwell_us * n_samples])
    first, last = lobe.area_until(ends)
    middle = delay_us + dwell_us * (np.arange(n_samples, dtype=np.float64) + 0.5)
    return np.asarray((lobe.area_until(middle) - lobe.area / 2) * (n_columns / (last - first)))


def unevenness(k: RealArray) -> float:
    """The largest distance of samples from an equidistant row through them, in their mean distance."""
    index = np.arange(len(k)) - (len(k) - 1) / 2
    step = (k @ index) / (index @ index)
    return float(np.abs(k - k.mean() - step * index).max() / abs(step))
