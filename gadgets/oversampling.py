"""Readouts: asymmetric echoes are completed, readout oversampling is removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.oversampling import remove_oversampling
from nilatron.gadgets.encoding import encoding_of
from nilatron.gadgets.flags import LineKind, is_reversed, kind_of
from nilatron.gadgets.items import Context, ScanError, with_samples

RINGING_SAMPLES = 2  # next to a gap, after the field of view was cropped, not measured values any more


def kept_width(encoding: Any) -> int:
    """Readout samples after removal of oversampling: the encoded matrix times recon FOV / encoded FOV."""
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    n_x, fov, kept = int(encoded.matrixSize.x), float(encoded.fieldOfView_mm.x), float(recon.fieldOfView_mm.x)
    return max(1, round(n_x * kept / fov)) if 0 < kept < fov else n_x


def prepare_readouts(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """Bring every line to the same width, DC at n // 2; `discard_pre` and `discard_post` then tell what was not measured.

    Lines that the chain in front has prepared already pass unchanged.
    """
    for item in items:
        if isinstance(item, ismrmrd.Acquisition) and kind_of(item.flags) in (LineKind.IMAGING, LineKind.CALIBRATION):
            encoding = encoding_of(context.header, item.encoding_space_ref)
            yield _prepare(item, int(encoding.encodedSpace.matrixSize.x), kept_width(encoding))
        else:
            yield item


def _prepare(line: ismrmrd.Acquisition, n_x: int, n_kept: int) -> ismrmrd.Acquisition:
    samples: ComplexArray = np.asarray(line.data)
    pre, post, centre = int(line.discard_pre), int(line.discard_post), int(line.center_sample)
    if is_reversed(line.flags):
        samples, pre, post, centre = samples[:, ::-1], post, pre, samples.shape[1] - 1 - centre
    n = samples.shape[1]
    sides = (centre - n_kept // 2, (n - centre) - (n_kept - n_kept // 2))  # one side of the echo is whole
    target = n_kept if n <= n_kept and min(map(abs, sides)) <= 1 else n_x
    if n > target:
        raise ScanError(
            f"line {line.scan_counter} has {n} samples, more than the encoded matrix of {n_x}: "
            "check encodedSpace in the header"
        )
    if n < target:
        left = target // 2 - centre
        if left < 0 or left + n > target:
            raise ScanError(
                f"line {line.scan_counter}: {n} samples with the echo at {centre} do not fit the encoded matrix of {target}"
            )
        padded = np.zeros((samples.shape[0], target), np.complex64)
        padded[:, left : left + n] = samples
        samples, pre, post = padded, pre + left, post + target - left - n
    if target > n_kept:
        samples = np.array(samples)  # the caller's line stays as it is
        gaps = (pre > 0, post > 0)
        samples[:, :pre] = 0
        samples[:, target - post :] = 0
        samples = remove_oversampling(samples, n_kept)
        pre, post = (
            -(-count * n_kept // target) + RINGING_SAMPLES * gap for count, gap in zip((pre, post), gaps, strict=True)
        )
    return with_samples(line, samples, (pre, post))
