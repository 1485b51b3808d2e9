"""Where the centre of k-space is: header and lines say it, and the data show it."""

from __future__ import annotations

import logging
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.gadgets.items import ScanLog

log = logging.getLogger(__name__)

MIN_DISTANCE = 2  # rows; nearer, a phase ramp of the object may move its strongest row
MIN_RATIO = 3.0  # of the energies of the strongest row and of those around the centre
SPIKE_SAMPLES = 4  # of a line, that interference may spoil: the strongest row has to be strong without them, too
MIN_RATIO_WITHOUT_SPIKES = 1.2


Shift: TypeAlias = tuple[int, int, int]  # along z, y, x


def centre_shift(kspace: ComplexArray, counts: FloatArray) -> Shift:
    """Samples (z, y, x) by which k-space has to be moved so that its strongest row lies at n // 2; 0 where it does already.

    A row is all that was acquired at one place of an axis: a column of samples for x, whose centre is that of the lines. The
    stated centre stands unless the rows around it have far less energy than the strongest one. A shift of a whole row changes
    the phase of the image alone, so a row more or less does not matter.

    Parameters
    ----------
    kspace, counts
        (coil, z, y, x) and (z, y, x), the header's centre at n // 2.
    """
    z, y, x = (_shift_along(axis, kspace, counts) for axis in (0, 1, 2))
    return z, y, x


def centred(
    kspace: ComplexArray, counts: FloatArray, label: str, scan_log: ScanLog
) -> tuple[ComplexArray, FloatArray, str]:
    """K-space and counts with the strongest rows at the centre, where the header's centre is clearly another one.

    Parameters
    ----------
    kspace, counts, label, scan_log
        As for `centre_shift`; the name of the image and the log of the scan, for messages.

    Returns
    -------
    K-space, counts and what was done, empty if nothing.
    """
    shift = centre_shift(kspace, counts)
    if not any(shift):
        return kspace, counts, ""
    away = ", ".join(f"{-rows} along {axis}" for axis, rows in zip("zyx", shift, strict=True) if rows)
    text = f"the stated centre of k-space is away from the strongest samples: {away}"
    found = moved(kspace, counts, shift)
    if found is None:  # the acquired rows fill the matrix: the header is right, and the samples outliers
        log.info("%s: %s, which cannot be the centre of the encoded matrix: not moved", label, text)
        return kspace, counts, ""
    scan_log.counts["slices whose centre of k-space was corrected"] += 1
    log.warning("%s: %s: moved", label, text)
    return *found, f"{text}: corrected"


def moved(kspace: ComplexArray, counts: FloatArray, shift: Shift) -> tuple[ComplexArray, FloatArray] | None:
    """K-space and counts moved by `shift` samples (z, y, x); None where acquired samples would leave the grid."""
    for axis, rows in enumerate(shift):
        acquired = np.flatnonzero(counts.any(axis=_others(axis)))
        if rows and acquired.size and not 0 <= acquired[0] + rows <= acquired[-1] + rows < counts.shape[axis]:
            return None
    rolled: ComplexArray = np.roll(kspace, shift, axis=(1, 2, 3))
    return rolled, np.roll(counts, shift, axis=(0, 1, 2))


def _others(axis: int) -> tuple[int, int]:
    first, second = (other for other in range(3) if other != axis)
    return first, second


def _shift_along(axis: int, kspace: ComplexArray, counts: FloatArray) -> int:
    """Samples along an axis (z, y, x) from the strongest row to the centre; 0 where the centre is as strong."""
    acquired = np.asarray(counts.any(axis=_others(axis)))
    rows, centre = np.flatnonzero(acquired), len(acquired) // 2
    if len(rows) < 2 or (axis == 2 and len(rows) == len(acquired)):  # whole lines say themselves where their centre is
        return 0
    energy = _row_energy(kspace, counts, axis, n_spoilt=0)
    strongest, near = int(rows[np.argmax(energy[rows])]), max(MIN_DISTANCE, int(np.diff(rows).max()))
    if abs(strongest - centre) <= near:
        return 0
    around = rows[np.abs(rows - centre) <= near]
    ratios = {0: MIN_RATIO, SPIKE_SAMPLES: MIN_RATIO_WITHOUT_SPIKES}
    for n_spoilt, ratio in ratios.items():
        energy = _row_energy(kspace, counts, axis, n_spoilt)
        if len(around) and energy[strongest] <= ratio * float(energy[around].max()):
            return 0
    return centre - strongest


def _row_energy(kspace: ComplexArray, counts: FloatArray, axis: int, n_spoilt: int) -> npt.NDArray[np.float64]:
    """Mean energy of what was acquired in each row of an axis, without the `n_spoilt` strongest samples of each line.

    A line runs along x, or along y for the rows of x.
    """
    energy: npt.NDArray[np.float64] = np.sum(np.abs(kspace) ** 2, axis=0, dtype=np.float64)
    along = 1 if axis == 2 else 2
    energy, acquired = np.moveaxis(energy, along, -1), np.moveaxis(counts > 0, along, -1)
    n_kept = energy.shape[-1] - min(n_spoilt, energy.shape[-1] // 4)
    lines = np.partition(energy, n_kept - 1, axis=-1)[..., :n_kept].sum(axis=-1)
    other = {0: 1, 1: 0, 2: 0}[axis]
    n_lines = np.count_nonzero(acquired.any(axis=-1), axis=other)
    found: npt.NDArray[np.float64] = np.sum(lines, axis=other) / np.maximum(n_lines, 1)
    return found
