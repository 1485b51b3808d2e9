"""Where the centre of k-space is: the header says it, and the data show it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray, FloatArray

MIN_DISTANCE = 2  # rows; nearer, a phase ramp of the object may move its strongest row
MIN_RATIO = 3.0  # of the energies of the strongest row and of those around the centre


def centre_shift(kspace: ComplexArray, counts: FloatArray) -> tuple[int, int]:
    """Rows (z, y) by which k-space has to be moved so that its strongest row lies at n // 2; 0 where it does already.

    The header's centre stands unless the rows around it have far less energy than the strongest one. A shift of a whole row
    changes the phase of the image alone, so a row more or less does not matter.

    Parameters
    ----------
    kspace, counts
        (coil, z, y, x) and (z, y, x), the header's centre at n // 2.
    """
    z, y = (_shift(*_row_energy(kspace, counts, axis)) for axis in (0, 1))
    return z, y


def moved(kspace: ComplexArray, counts: FloatArray, shift: tuple[int, int]) -> tuple[ComplexArray, FloatArray] | None:
    """K-space and counts moved by `shift` rows (z, y); None where acquired rows would leave the grid."""
    for axis, rows in enumerate(shift):
        acquired = np.flatnonzero(counts.any(axis=(1 - axis, 2)))
        if acquired.size and not 0 <= acquired[0] + rows <= acquired[-1] + rows < counts.shape[axis]:
            return None
    return np.roll(kspace, shift, axis=(1, 2)), np.roll(counts, shift, axis=(0, 1))


def _row_energy(
    kspace: ComplexArray, counts: FloatArray, axis: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Mean energy of the acquired samples of each row along z (0) or y (1), and which rows were acquired."""
    others = (1 - axis, 2)
    energy = np.sum(np.abs(kspace) ** 2, axis=(0, *(other + 1 for other in others)), dtype=np.float64)
    n_samples = np.count_nonzero(counts, axis=others)
    return energy / np.maximum(n_samples, 1), n_samples > 0


def _shift(energy: npt.NDArray[np.float64], acquired: npt.NDArray[np.bool_]) -> int:
    rows, centre = np.flatnonzero(acquired), len(energy) // 2
    if len(rows) < 3:
        return 0
    smooth = _without_outliers(energy, rows)
    peak = int(np.argmax(smooth[rows]))
    nearby = rows[max(peak - 1, 0) : peak + 2]
    strongest = int(nearby[np.argmax(energy[nearby])])
    near = max(MIN_DISTANCE, int(np.diff(rows).max()))
    around = rows[np.abs(rows - centre) <= near]
    if abs(strongest - centre) <= near:
        return 0
    at_centre = float(smooth[around].max()) if len(around) else 0.0
    return centre - strongest if smooth[rows[peak]] > MIN_RATIO * at_centre else 0


def _without_outliers(energy: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Median of each acquired row and its neighbours: a spike makes one row strong, the centre of k-space several."""
    found = np.zeros_like(energy)
    padded = np.pad(energy[rows], 1, mode="edge")
    found[rows] = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
    return found
