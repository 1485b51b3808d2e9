"""Gadgets that change the length of a line: asymmetric echoes and readout oversampling."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core import fft
from nilatron.gadgets.encoding import encoding_of
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.placement import echo_of
from nilatron.gadgets.stock.types import derived_line

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AsymmetricEchoAdjustROGadget:
    """Zero-pad lines whose echo is off centre to the encoded matrix, with the echo at n // 2.

    `discard_pre` and `discard_post` say afterwards how many samples are padding. The stock gadget puts all zeros on
    one side, which is the same for the usual lines (as many samples left out as the echo is off centre); where the
    two differ, the echo's position decides here. A `center_sample` of 0 means that it was not set.
    """

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, lines out; noise lines and anything else pass."""
        for item in items:
            if isinstance(item, ismrmrd.Acquisition) and not item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
                yield _centred(item, context)
            else:
                yield item


def _centred(line: ismrmrd.Acquisition, context: Context) -> ismrmrd.Acquisition:
    n_encoded = int(encoding_of(context.header, line.encoding_space_ref).encodedSpace.matrixSize.x)
    n_samples, echo = line.number_of_samples, echo_of(line)
    if 2 * echo == n_samples or n_samples >= n_encoded:
        return line
    n_before = min(max(n_encoded // 2 - echo, 0), n_encoded - n_samples)
    n_after = n_encoded - n_samples - n_before
    head = line.getHead()
    head.discard_pre += n_before
    head.discard_post += n_after
    head.center_sample = n_before + echo
    trajectory = np.pad(line.traj, ((n_before, n_after), (0, 0)), mode="edge")
    return derived_line(line, np.pad(line.data, ((0, 0), (n_before, n_after))), trajectory, head=head)


@dataclass(frozen=True)
class RemoveROOversamplingGadget:
    """Crop the field of view along the readout to that of the recon space of the first encoding.

    Unitary: white noise stays white, with the same variance per k-space sample.
    """

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, shorter lines out; anything else passes."""
        encoding = encoding_of(context.header, 0)
        spaces = (encoding.encodedSpace, encoding.reconSpace)
        # in single precision, as there: in double precision some ratios of decimal fields of view lose a sample
        encoded_mm, recon_mm = (np.float32(space.fieldOfView_mm.x) for space in spaces)
        ratio = encoded_mm / recon_mm
        for item in items:
            if isinstance(item, ismrmrd.Acquisition) and ratio != 1:
                yield _cropped(item, ratio)
            else:
                yield item


def _cropped(line: ismrmrd.Acquisition, ratio: np.float32) -> ismrmrd.Acquisition:
    n_samples = line.number_of_samples
    n_kept = int(np.float32(n_samples) / ratio)
    if not 0 < n_kept <= n_samples:
        raise ScanError(
            f"RemoveROOversamplingGadget: line {line.scan_counter} has {n_samples} samples; the header's fields of "
            f"view ask for {n_kept} of them (encoded / recon = {ratio:g}); expected a ratio of 1 or more"
        )
    start = n_samples // 2 - n_kept // 2
    profile = fft.ifft(line.data, axes=(-1,))[:, start : start + n_kept]
    head = line.getHead()
    head.center_sample = int(np.float32(line.center_sample) / ratio)
    head.discard_pre = int(np.float32(line.discard_pre) / ratio)
    head.discard_post = int(np.float32(line.discard_post) / ratio)
    kept = np.clip((np.arange(n_kept) - n_kept // 2) * ratio + n_samples // 2, 0, n_samples - 1).astype(int)
    trajectory: npt.NDArray[np.float32] = line.traj[kept]
    return derived_line(line, fft.fft(profile, axes=(-1,)), trajectory, head=head)
