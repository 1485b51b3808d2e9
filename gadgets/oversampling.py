"""Readouts: asymmetric echoes are completed, readout oversampling is removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.oversampling import remove_oversampling
from nilatron.gadgets.encoding import encoding_of, kept_width
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, ScanLog, with_samples
from nilatron.gadgets.placement import grid_width, readout_of

RINGING_SAMPLES = 2  # next to a gap, after the field of view was cropped, not measured values any more


def prepare_readouts(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """Bring every line to the same width, DC at n // 2; `discard_pre` and `discard_post` then tell what was not measured.

    Lines that the chain in front has prepared already pass unchanged.
    """
    for item in items:
        if isinstance(item, ismrmrd.Acquisition) and kind_of(item.flags) in (LineKind.IMAGING, LineKind.CALIBRATION):
            yield _prepare(item, encoding_of(context.header, item.encoding_space_ref), context.log)
        else:
            yield item


def _prepare(line: ismrmrd.Acquisition, encoding: Any, log_of_scan: ScanLog) -> ismrmrd.Acquisition:
    readout, n_kept = readout_of(line), kept_width(encoding)
    n_x = grid_width(readout, encoding)
    placed = readout.on_grid(n_x, log_of_scan)
    samples, pre, post = placed.samples, placed.pre, placed.post
    if n_x > n_kept:
        samples = np.array(samples)  # the caller's line stays as it is
        gaps = (pre > 0, post > 0)
        samples[:, :pre] = 0
        samples[:, n_x - post :] = 0
        samples = remove_oversampling(samples, n_kept)
        pre, post = (
            -(-count * n_kept // n_x) + RINGING_SAMPLES * gap for count, gap in zip((pre, post), gaps, strict=True)
        )
    return with_samples(line, samples, (pre, post))
