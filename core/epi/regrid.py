"""Readouts that are not equidistant in k onto the encoded grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray
from nilatron.core.epi.trapezoid import RealArray
from nilatron.core.oversampling import remove_oversampling

RIDGE = 1e-2  # of the energy that a sample sees of an object that fills the field of view; scales the result by about 1 - RIDGE


@dataclass(frozen=True)
class Regridding:
    """y_grid = R y, the same for every line of a kind.

    Attributes
    ----------
    matrix
        R, float32 (column, sample), columns with DC at n // 2.
    pre, post
        Columns at the two ends that lie outside what was sampled.
    """

    matrix: npt.NDArray[np.float32]
    pre: int
    post: int

    def apply(self, samples: ComplexArray) -> ComplexArray:
        """Samples (coil, sample) on the grid (coil, column), complex64."""
        found: ComplexArray = (samples @ self.matrix.T).astype(np.complex64, copy=False)
        return found

    def noise_variance(self, n_kept: int) -> float:
        """Of a sample of the grid, averaged, when white noise of variance 1 went in and `n_kept` central pixels are kept."""
        kept = remove_oversampling(self.matrix.T.astype(np.complex64), n_kept)
        return float(np.sum(np.abs(kept) ** 2) / n_kept)


def regridding(k: RealArray, n_columns: int, n_kept: int, usable: tuple[int, int] | None = None) -> Regridding:
    """The operator from samples at `k` to the columns -(n // 2), ..., n - n // 2 - 1.

    It is the least-squares estimate (with a ridge) for objects that are of equal strength anywhere on a field of view of `a`
    encoded ones, and nowhere else:

        R = C_gs (C_ss + RIDGE a I)^-1,    C_ss = a sinc(a (k_s - k_s')),    C_gs = b sinc(b (k_g - k_s)),    b = min(a, 1)

    Where samples are dense, a is what they support, and what lies outside the encoded field of view is removed. Where they
    are farther apart than the grid, a is what does not alias into the pixels that are kept.

    Parameters
    ----------
    k
        Positions (sample,), in steps of the grid.
    n_columns
        Of the grid.
    n_kept
        Central pixels of the image along the readout that are kept.
    usable
        First and past the last sample that count; all by default.
    """
    first, last = usable if usable is not None else (0, len(k))
    used = np.zeros(len(k), bool)
    used[first:last] = True
    at, columns = k[used], np.arange(n_columns) - n_columns // 2.0
    width, kept = 1.0 / widest_gap(at), n_kept / n_columns
    if width < 1:
        width = max(kept, min(1.0, 2 * width - kept))
    seen = min(width, 1.0)
    own = width * np.sinc(width * (at[:, None] - at[None, :])) + RIDGE * width * np.eye(len(at))
    cross = seen * np.sinc(seen * (columns[:, None] - at[None, :]))
    matrix = np.zeros((n_columns, len(k)))
    matrix[:, used] = np.linalg.solve(own, cross.T).T
    reach = (at.min() - 1, at.max() + 1)
    pre, post = int(np.sum(columns < reach[0])), int(np.sum(columns > reach[1]))
    matrix[:pre], matrix[n_columns - post :] = 0, 0
    return Regridding(matrix.astype(np.float32), pre, post)


def widest_gap(k: RealArray) -> float:
    """The largest distance of neighbouring samples."""
    return float(np.abs(np.diff(k)).max())
