"""Lines that were sampled on ramps, or backwards, as forward lines on the encoded grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.epi.regrid import Regridding, regridding, widest_gap
from nilatron.core.epi.trapezoid import RealArray, unevenness
from nilatron.gadgets.encoding import kept_width
from nilatron.gadgets.epi.description import ReadoutGradient, readout_gradient
from nilatron.gadgets.flags import is_reversed
from nilatron.gadgets.items import ScanError, ScanLog
from nilatron.gadgets.placement import Readout, is_echo_set

log = logging.getLogger(__name__)

EVEN = 0.05  # of the samples' distance: nearer to an equidistant row than this, nothing is regridded
CENTRED = 2  # samples: an echo that the header of a line puts nearer to the middle than this says nothing


@dataclass
class RampSampling:
    """The operators of one encoding, made when a line needs them.

    A regridded sample has noise of variance 1, on the average over the grid, where those of the line had: the operator is
    scaled for that. The middle of k-space is somewhat noisier than its ends, where the gradient was slow.
    """

    gradient: ReadoutGradient
    encoding: Any
    log: ScanLog
    _positions: dict[tuple[int, float], RealArray] = field(default_factory=dict)
    _even: dict[tuple[int, float], bool] = field(default_factory=dict)
    _operators: dict[tuple[int, float, bool, int, int], tuple[Regridding, float]] = field(default_factory=dict)

    @property
    def n_columns(self) -> int:
        """Of the encoded grid."""
        return int(self.encoding.encodedSpace.matrixSize.x)

    def is_even(self, line: ismrmrd.Acquisition) -> bool:
        """Whether the samples of a line are equidistant in k in spite of the ramps."""
        key = _kind(line)
        if key not in self._even:
            self._even[key] = unevenness(self._k(line)) < EVEN
        return self._even[key]

    def readout(self, line: ismrmrd.Acquisition) -> Readout:
        """The line on the encoded grid, forwards.

        Raises
        ------
        ScanError
            For a line that the description does not fit.
        """
        n, pre, post = int(line.number_of_samples), int(line.discard_pre), int(line.discard_post)
        if pre + post > n - 2:
            raise ScanError(f"line {line.scan_counter} has {n} samples, of which {pre} and {post} do not count")
        self._check_echo(line)
        key = (n, float(line.sample_time_us), is_reversed(line.flags), pre, post)
        if key not in self._operators:
            k = self._k(line) * (-1 if is_reversed(line.flags) else 1)
            self._operators[key] = (
                regridding(k, self.n_columns, kept_width(self.encoding), (pre, n - post)),
                self._scale(line),
            )
        operator, scale = self._operators[key]
        samples = operator.apply(np.asarray(line.data)) * np.float32(scale)
        return Readout(samples, self.n_columns // 2, operator.pre, operator.post, int(line.scan_counter))

    def _k(self, line: ismrmrd.Acquisition) -> RealArray:
        key = _kind(line)
        if self.gradient.n_samples is None and key[0] == kept_width(self.encoding) < self.n_columns:
            raise ScanError(
                f"{self.gradient.where} states ramp sampling without numSamples, and line {line.scan_counter} has the "
                f"{key[0]} samples of a readout without oversampling: it is not known whether it was cropped in front"
            )
        if key not in self._positions:
            self._positions[key] = self.gradient.positions(*key, self.n_columns)
        return self._positions[key]

    def _scale(self, line: ismrmrd.Acquisition) -> float:
        """1 / the noise of a regridded sample, for lines with all their samples."""
        k, n_kept = self._k(line), kept_width(self.encoding)
        if not self._operators:
            gap = widest_gap(k)
            log.info("%s: regridding, samples up to %.2f steps of the grid apart", self.gradient.where, gap)
            if n_kept * gap > self.n_columns * (1 + EVEN):
                self.log.problem(
                    log,
                    f"{self.gradient.where}: samples are up to {gap:.2f} steps of the grid apart, which supports "
                    f"{100 / gap:.0f} % of the encoded field of view: aliases at the ends of the readout",
                )
            self._warn_of_offset(line, k)
        return float(regridding(k, self.n_columns, n_kept).noise_variance(n_kept) ** -0.5)

    def _warn_of_offset(self, line: ismrmrd.Acquisition, k: RealArray) -> None:
        """A receiver that follows an image off the centre by a fixed frequency leaves a phase on the ramps."""
        fov_mm = float(self.encoding.encodedSpace.fieldOfView_mm.x)
        offset_mm = float(np.dot(np.asarray(line.position), np.asarray(line.read_dir)))
        if abs(offset_mm) / fov_mm * unevenness(k) > EVEN:
            log.warning(
                "%s: the image lies %.0f mm off the centre along the readout; where the receiver has followed that by a "
                "fixed frequency, samples on the ramps keep a phase that is not corrected",
                self.gradient.where,
                offset_mm,
            )

    def _check_echo(self, line: ismrmrd.Acquisition) -> None:
        """Refuse an echo that the line states and the gradient cannot have."""
        n, stated = int(line.number_of_samples), int(line.center_sample)
        if not is_echo_set(line) or abs(stated - n // 2) <= CENTRED:
            return
        echo = float(np.interp(0.0, self._k(line), np.arange(n)))
        if abs(stated - echo) > CENTRED:
            raise ScanError(
                f"line {line.scan_counter} has its echo at sample {stated} (center_sample), the gradient of "
                f"{self.gradient.where} at {echo:.1f}: acqDelayTime or center_sample is wrong"
            )


def _kind(line: ismrmrd.Acquisition) -> tuple[int, float]:
    """Samples and dwell time (us) of a line."""
    return int(line.number_of_samples), float(line.sample_time_us)


def ramp_sampling(encoding: Any, number: int, log_of_scan: ScanLog) -> RampSampling | None:
    """How the lines of an encoding are regridded; None where the header states no ramps.

    Raises
    ------
    ScanError
        See `readout_gradient`.
    """
    gradient = readout_gradient(encoding, number)
    return None if gradient is None else RampSampling(gradient, encoding, log_of_scan)


def unturned(line: ismrmrd.Acquisition) -> Readout:
    """A line that a chain in front has put in the order of rising k without taking its flag away."""
    samples: ComplexArray = np.asarray(line.data)
    n = samples.shape[1]
    return Readout(samples, n // 2, int(line.discard_pre), int(line.discard_post), int(line.scan_counter))


def forward_line(line: ismrmrd.Acquisition, readout: Readout) -> ismrmrd.Acquisition:
    """A copy of a line that holds a readout, in the order of rising k."""
    head = line.getHead()
    head.active_channels, head.number_of_samples = readout.samples.shape
    head.trajectory_dimensions = 0
    head.center_sample, head.discard_pre, head.discard_post = readout.echo, readout.pre, readout.post
    out = ismrmrd.Acquisition(head)
    out.clear_flag(ismrmrd.ACQ_IS_REVERSE)
    out.data[:] = readout.samples
    return out
