"""Readouts on the grid of the image: asymmetric echoes completed, readout oversampling removed."""

from __future__ import annotations

from typing import Any

import numpy as np

from nilatron.core.oversampling import remove_oversampling
from nilatron.gadgets.encoding import kept_width
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.placement import Readout

RINGING_SAMPLES = 2  # next to a gap, after the field of view was cropped, not measured values any more


def without_oversampling(readout: Readout, encoding: Any, n_x: int, log_of_scan: ScanLog) -> Readout:
    """The readout on `n_x` columns with DC at n_x // 2, then on those that are kept of its field of view.

    What was not measured is told by `pre` and `post`.

    Raises
    ------
    ScanError
        For a readout that does not fit.
    """
    n_kept = kept_width(encoding)
    placed = readout.on_grid(n_x, log_of_scan)
    if n_x <= n_kept:
        return placed
    samples, pre, post = np.array(placed.samples), placed.pre, placed.post  # the caller's line stays as it is
    gaps = (pre > 0, post > 0)
    samples[:, :pre] = 0
    samples[:, n_x - post :] = 0
    pre, post = (
        -(-count * n_kept // n_x) + RINGING_SAMPLES * gap for count, gap in zip((pre, post), gaps, strict=True)
    )
    return Readout(remove_oversampling(samples, n_kept), n_kept // 2, pre, post, readout.number)
