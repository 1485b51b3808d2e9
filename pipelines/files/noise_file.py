"""Noise lines of a separate scan, made to fit those of another one."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import ScanError, with_samples
from nilatron.gadgets.known_noise import NoiseOrigin
from nilatron.gadgets.noise.channels import Names, matched_channels
from nilatron.gadgets.noise.header import coil_names, measurement_id, receiver_factor, stated_bandwidth_ratio
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.raw_scan import RawScan

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Channels:
    """Channels of a line: coil labels (None where they are not known), number of channels, channel mask."""

    names: Names | None
    n: int
    mask: tuple[int, ...]

    @classmethod
    def of(cls, line: ismrmrd.Acquisition, header: Any) -> Channels:
        """Channels of a line of the scan with this header."""
        n, mask = int(line.active_channels), tuple(int(word) for word in line.channel_mask)
        return cls(coil_names(header, n, mask), n, mask)


def noise_origin(noise: RawScan) -> NoiseOrigin:
    """The measurement that a noise file holds."""
    return NoiseOrigin("noise file", measurement_id(noise.header), stated_bandwidth_ratio(noise.header))


def noise_lines(noise: RawScan, wanted: Channels | None, header: Any) -> Iterator[ismrmrd.Acquisition]:
    """Noise lines of a file as if another scan had measured them; all lines of the file where none is flagged as noise.

    Their channels are chosen and put in the order of that scan's image lines by the coil labels of both headers, and they are
    scaled so that the bandwidth ratio of that scan's header holds for them. Lines whose channels do not fit are left out.

    Parameters
    ----------
    noise
        The noise scan.
    wanted, header
        Channels of the other scan's image lines (None where it has none), and its header.

    Raises
    ------
    InputError
        When the file holds no lines, or the channels of none fit.
    """
    n_lines, problems = 0, dict[Channels, str]()
    gain = math.sqrt(receiver_factor(stated_bandwidth_ratio(noise.header), header))
    for line in _noise_or_all(noise):
        channels = Channels.of(line, noise.header)
        if channels in problems:
            continue
        try:
            fitted = _fitted(line, channels, wanted, gain)
        except ScanError as error:
            problems[channels] = str(error)
            continue
        n_lines += 1
        fitted.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        yield fitted
    if not n_lines:
        raise InputError(f"{noise.path}: {next(iter(problems.values()), 'expected a noise scan, found no lines')}")
    for problem in problems.values():
        log.warning("%s: lines left out: %s", noise.path, problem)


def image_channels(raw: RawScan) -> Channels | None:
    """Channels of the first imaging or calibration line; None where there is none."""
    return next((Channels.of(item, raw.header) for item in raw.items() if is_image_line(item)), None)


def is_image_line(item: Any) -> bool:
    """Whether this is an imaging or calibration line."""
    return isinstance(item, ismrmrd.Acquisition) and kind_of(item.flags) in (LineKind.IMAGING, LineKind.CALIBRATION)


def _noise_or_all(raw: RawScan) -> Iterator[ismrmrd.Acquisition]:
    def lines() -> Iterator[ismrmrd.Acquisition]:
        return (item for item in raw.items() if isinstance(item, ismrmrd.Acquisition))

    marked = any(kind_of(line.flags) is LineKind.NOISE for line in lines())
    return (line for line in lines() if not marked or kind_of(line.flags) is LineKind.NOISE)


def _fitted(line: ismrmrd.Acquisition, own: Channels, wanted: Channels | None, gain: float) -> ismrmrd.Acquisition:
    """The noise line with the channels of an image, scaled unless its dwell time is unknown: the ratio does not count there."""
    gain = gain if line.sample_time_us > 0 else 1.0
    if wanted is None or (own == wanted and gain == 1.0):
        return line
    order = matched_channels(own.names, own.n, wanted.names, wanted.n)
    samples: ComplexArray = np.asarray(line.data)
    fitted = with_samples(line, samples[order] * np.complex64(gain))
    fitted.channel_mask[:] = wanted.mask
    return fitted
