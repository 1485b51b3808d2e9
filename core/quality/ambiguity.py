"""Can the centre of k-space tell aliases apart? The largest side lobe of its sampling pattern.

b = max |sum_k p(k) exp(2 pi i k r)| / sum_k p(k)  over shifts r beyond the main lobe,  p(k) = 1 where row k was acquired

Rows of one grid alone have b = 1: image and coil maps shifted against their aliases fit them as well, whatever the noise. Then
joint estimation has no answer, and no residual tells.
"""

from __future__ import annotations

import numpy as np

from nilatron.core.backend import Array, namespace, to_numpy

ROWS = 24  # of the centre along each axis, that coil maps are made of
SHIFTS = 8  # for each row: the lobes are sampled so finely
MAIN_LOBE = 1.5  # half width in FOV / rows


def ambiguity(counts: Array) -> float:
    """B of the central rows (z, y) of counts (z, y, x): 1 where aliases cannot be told apart; 1 without any rows."""
    acquired = to_numpy(namespace(counts).any(counts > 0, axis=-1))
    sizes = [min(n, ROWS) for n in acquired.shape]
    first = [n // 2 - size // 2 for n, size in zip(acquired.shape, sizes, strict=True)]
    pattern = acquired[first[0] : first[0] + sizes[0], first[1] : first[1] + sizes[1]].astype(np.float64)
    if not pattern.any():
        return 1.0
    shifts = [SHIFTS * size if size > 1 else 1 for size in sizes]
    lobes = np.abs(np.fft.fft2(pattern, s=shifts)) / pattern.sum()
    near = [np.abs(np.fft.fftfreq(n)) * size <= MAIN_LOBE for n, size in zip(shifts, sizes, strict=True)]
    lobes[np.ix_(*near)] = 0
    return float(lobes.max())
