"""Noise pre-whitening with the conventions of the stock gadget."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt
import scipy.linalg

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.stock.types import derived_line

DEFAULT_RELATIVE_BANDWIDTH = 0.793
SINGULAR = 1e-6  # part of a channel's variance that no other channel explains: below, it is rounding of the samples

_logger = logging.getLogger(__name__)
_Matrix = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class NoiseAdjustGadget:
    """Whitened lines  d' = s R^-T d,  R^H R = Psi = sum conj(d) d^T / (n - 1),  s = sqrt(2 b t_line / t_noise).

    Psi is the covariance of all noise lines in front of the first other line (no mean removed), b the relative
    receiver noise bandwidth (0.793 unless the header has it), t the dwell times; s is 1 when either dwell time is 0,
    and is fixed at the first line. The noise then has a standard deviation of 1 in the real and in the imaginary
    part: a complex variance of 2.

    Noise lines do not pass. Without any, the lines pass as they are. Storage server and noise files are not used: the
    two `noise_dependency` properties are accepted and have no effect.
    """

    perform_noise_adjust: bool = True
    pass_nonconformant_data: bool = True
    noise_dwell_time_us_preset: float = 0.0
    scale_only_channels_by_name: str = ""
    noise_dependency_prefix: str = ""
    noise_dependency_folder: str = ""

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, whitened lines out; anything else passes.

        Raises
        ------
        ScanError
            The noise is degenerate (too few samples, equal channels), or a line has other channels than the noise
            and `pass_nonconformant_data` is false.
        """
        noise = _NoiseSum()
        whitening: _Matrix | None = None
        started = False
        for item in items:
            if not isinstance(item, ismrmrd.Acquisition):
                yield item
            elif item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
                if started:
                    context.log.counts["late noise lines ignored"] += 1
                else:
                    noise.add(item, context)
            else:
                if not started:
                    started = True
                    whitening = self._whitening(noise, item, context)
                yield item if whitening is None else self._apply(whitening, item, context)

    def _whitening(self, noise: _NoiseSum, line: ismrmrd.Acquisition, context: Context) -> _Matrix | None:
        if not self.perform_noise_adjust:
            return None
        if noise.covariance is None:
            _logger.warning("NoiseAdjustGadget: no noise lines before the first line; lines pass unscaled")
            return None
        covariance = noise.mean()
        for channel in _channels_named(self.scale_only_channels_by_name, context.header):
            variance = covariance[channel, channel]
            covariance[channel, :] = covariance[:, channel] = 0
            covariance[channel, channel] = variance
        dwell_us = self.noise_dwell_time_us_preset or noise.dwell_us
        scale = noise_scale(line.sample_time_us, dwell_us, relative_bandwidth(context.header))
        return scale * whitening_matrix(covariance)

    def _apply(self, whitening: _Matrix, line: ismrmrd.Acquisition, context: Context) -> ismrmrd.Acquisition:
        if whitening.shape[0] != line.active_channels:
            message = (
                f"NoiseAdjustGadget: line {line.scan_counter} has {line.active_channels} channels, "
                f"the noise scan {whitening.shape[0]}"
            )
            if not self.pass_nonconformant_data:
                raise ScanError(f"{message}; leave out the noise scan or set pass_nonconformant_data to true")
            if not context.log.counts["lines passed unwhitened"]:
                context.log.problem(_logger, f"{message}; such lines pass unwhitened")
            context.log.counts["lines passed unwhitened"] += 1
            return line
        return derived_line(line, whitening.astype(np.complex64) @ line.data)


def noise_scale(line_dwell_us: float, noise_dwell_us: float, bandwidth: float) -> float:
    """sqrt(2 b t_line / t_noise): from the noise scan's level to that of a line, in units per real component."""
    if line_dwell_us == 0 or noise_dwell_us == 0:
        return 1.0
    return math.sqrt(2 * bandwidth * line_dwell_us / noise_dwell_us)


def whitening_matrix(covariance: _Matrix) -> _Matrix:
    """R^-T of the upper Cholesky factor, R^H R = covariance (coil, coil); the identity for a covariance of zeros.

    Raises
    ------
    ScanError
        The covariance is not positive definite.
    """
    if not covariance.any():
        return np.eye(len(covariance), dtype=np.complex128)
    message = (
        "NoiseAdjustGadget: the noise covariance is not positive definite; expected more noise samples than channels "
        f"({len(covariance)}), finite values and no two equal channels"
    )
    try:
        upper = scipy.linalg.cholesky(covariance, lower=False)
    except (scipy.linalg.LinAlgError, ValueError) as error:
        raise ScanError(message) from error
    if np.any(np.diag(upper).real ** 2 < SINGULAR * np.diag(covariance).real):
        raise ScanError(message)
    inverse: _Matrix = scipy.linalg.solve_triangular(upper, np.eye(len(covariance)), lower=False)
    return inverse.T


def relative_bandwidth(header: Any) -> float:
    """Relative receiver noise bandwidth of the header, 0.793 where it has none."""
    system = header.acquisitionSystemInformation
    value = None if system is None else system.relativeReceiverNoiseBandwidth
    return DEFAULT_RELATIVE_BANDWIDTH if value is None else float(value)


@dataclass
class _NoiseSum:
    covariance: _Matrix | None = field(default=None)
    n_samples: int = 0
    dwell_us: float = 0.0

    def add(self, line: ismrmrd.Acquisition, context: Context) -> None:
        samples = line.data.astype(np.complex128)
        if self.covariance is None:
            self.covariance = np.zeros((len(samples), len(samples)), dtype=np.complex128)
            self.dwell_us = line.sample_time_us
        if len(samples) != len(self.covariance):
            context.log.problem(
                _logger,
                f"NoiseAdjustGadget: noise line {line.scan_counter} has {len(samples)} channels, the first one "
                f"{len(self.covariance)}; left out",
            )
            return
        self.covariance += samples.conj() @ samples.T
        self.n_samples += samples.shape[1]

    def mean(self) -> _Matrix:
        assert self.covariance is not None  # noqa: S101 - asked for only when there are noise lines
        return self.covariance / max(self.n_samples - 1, 1)


def _channels_named(names: str, header: Any) -> list[int]:
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    system = header.acquisitionSystemInformation
    if not wanted or system is None:
        return []
    return [int(label.coilNumber) for label in system.coilLabel if label.coilName in wanted]
