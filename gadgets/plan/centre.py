"""Where the centre of k-space is: the header says it, and the data show it."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.gadgets.items import ScanLog

log = logging.getLogger(__name__)

MIN_DISTANCE = 2  # rows; nearer, a phase ramp of the object may move its strongest row
MIN_RATIO = 3.0  # of the energies of the strongest row and of those around the centre
SPIKE_SAMPLES = 4  # of a line, that interference may spoil: the strongest row has to be strong without them, too
MIN_RATIO_WITHOUT_SPIKES = 1.2


def centre_shift(kspace: ComplexArray, counts: FloatArray) -> tuple[int, int]:
    """Rows (z, y) by which k-space has to be moved so that its strongest row lies at n // 2; 0 where it does already.

    The header's centre stands unless the rows around it have far less energy than the strongest one. A shift of a whole row
    changes the phase of the image alone, so a row more or less does not matter.

    Parameters
    ----------
    kspace, counts
        (coil, z, y, x) and (z, y, x), the header's centre at n // 2.
    """
    z, y = (_shift_along(axis, kspace, counts) for axis in (0, 1))
    return z, y


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
    text = f"the header's centre of k-space is (z, y) = {(-shift[0], -shift[1])} rows from the strongest row"
    found = moved(kspace, counts, shift)
    if found is None:  # the acquired rows fill the matrix: the header is right, and the row an outlier
        log.info("%s: %s, which cannot be the centre of the encoded matrix: not moved", label, text)
        return kspace, counts, ""
    scan_log.counts["slices whose centre of k-space was corrected"] += 1
    log.warning("%s: %s: moved", label, text)
    return *found, f"{text}: corrected"


def moved(kspace: ComplexArray, counts: FloatArray, shift: tuple[int, int]) -> tuple[ComplexArray, FloatArray] | None:
    """K-space and counts moved by `shift` rows (z, y); None where acquired rows would leave the grid."""
    for axis, rows in enumerate(shift):
        acquired = np.flatnonzero(counts.any(axis=(1 - axis, 2)))
        if acquired.size and not 0 <= acquired[0] + rows <= acquired[-1] + rows < counts.shape[axis]:
            return None
    return np.roll(kspace, shift, axis=(1, 2)), np.roll(counts, shift, axis=(0, 1))


def _shift_along(axis: int, kspace: ComplexArray, counts: FloatArray) -> int:
    """Rows along z (0) or y (1) from the strongest row to the centre; 0 where the centre is as strong."""
    acquired = np.asarray(counts.any(axis=(1 - axis, 2)))
    rows, centre = np.flatnonzero(acquired), len(acquired) // 2
    if len(rows) < 2:
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
    """Mean energy of the acquired lines of each row along z (0) or y (1), without the `n_spoilt` strongest samples of each."""
    energy = np.sum(np.abs(kspace) ** 2, axis=0, dtype=np.float64)
    n_kept = energy.shape[-1] - min(n_spoilt, energy.shape[-1] // 4)
    lines = np.partition(energy, n_kept - 1, axis=-1)[..., :n_kept].sum(axis=-1)
    n_lines = np.count_nonzero(counts.any(axis=-1), axis=1 - axis)
    found: npt.NDArray[np.float64] = np.sum(lines, axis=1 - axis) / np.maximum(n_lines, 1)
    return found
