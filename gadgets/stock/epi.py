"""Echo-planar chains: the readout transform, the phase of the two directions, and back to k-space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import ismrmrd
import numpy as np

from nilatron.core import fft
from nilatron.core.backend import ComplexArray
from nilatron.core.epi.phase import Order, Phase, evolution_phase, polarity_phase
from nilatron.core.oversampling import resize_centre
from nilatron.gadgets.encoding import encoding_of, kept_width
from nilatron.gadgets.epi.description import is_conventional, number_of_navigators
from nilatron.gadgets.epi.readout import RampSampling, ramp_sampling
from nilatron.gadgets.flags import is_phase_correction, is_reversed
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.placement import readout_of
from nilatron.gadgets.stock.types import derived_line


@dataclass(frozen=True)
class EPIReconXGadget:
    """Lines along x on the field of view of the recon space: those of the first encoding regridded as its header describes.

    Lines read backwards are in the order of rising x as well and keep their flag, for EPICorrGadget. Other than the stock
    gadget this one believes acqDelayTime, leaves white noise at its level, and treats further encodings by their own header.
    """

    verboseMode: bool = False  # noqa: N815 - the stock name

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, lines along x out; noise lines and anything else pass.

        Raises
        ------
        ScanError
            When the first encoding is not described as ConventionalEPI, or a line is not as described.
        """
        _described(context, "EPIReconXGadget")
        ramps: dict[int, RampSampling | None] = {}
        for item in items:
            if not isinstance(item, ismrmrd.Acquisition) or item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
                yield item
                continue
            number = int(item.encoding_space_ref)
            encoding = encoding_of(context.header, number)
            if number not in ramps:
                ramps[number] = ramp_sampling(encoding, number, context.log)
            sampling = ramps[number]
            regrids = sampling is not None and not sampling.is_even(item)
            readout = sampling.readout(item) if sampling is not None and regrids else readout_of(item)
            placed = readout.on_grid(int(encoding.encodedSpace.matrixSize.x), context.log)
            yield _along_x(item, fft.ifft(placed.samples, axes=(-1,)), kept_width(encoding))


@dataclass(frozen=True)
class EPICorrGadget:
    """Lines along x without the phase of their direction, and without the phase that they gain from echo to echo.

    Navigators do not pass; lines that come before all navigators of their shot wait for them. All lines are forward
    afterwards. `referenceNavigatorNumber` is only checked, and parameters are not filtered over repetitions.
    """

    verboseMode: bool = False  # noqa: N815 - the stock names
    referenceNavigatorNumber: int = 1  # noqa: N815
    B0CorrectionMode: str = "mean"
    OEPhaseCorrectionMode: str = "polynomial"
    navigatorParameterFilterLength: int = 0  # noqa: N815
    navigatorParameterFilterExcludeVols: int = 0  # noqa: N815

    def __post_init__(self) -> None:
        for name, known in (("B0CorrectionMode", get_args(Order)[:3]), ("OEPhaseCorrectionMode", get_args(Order))):
            if getattr(self, name) not in known:
                raise ValueError(f"property {name!r}: expected one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.navigatorParameterFilterLength > 1:
            raise ValueError(
                "property 'navigatorParameterFilterLength': filtering over repetitions is not done here; expected 0 or 1"
            )

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, corrected lines out; lines of other encodings, noise lines and anything else pass.

        Raises
        ------
        ScanError
            When the first encoding is not described as ConventionalEPI, or has fewer navigators than the gadget needs.
        """
        n_navigators = number_of_navigators(_described(context, "EPICorrGadget"))
        if n_navigators < 3 or self.referenceNavigatorNumber > n_navigators - 1:
            raise ScanError(
                f"EPICorrGadget: trajectoryDescription/numberOfNavigators is {n_navigators}; expected 3 or more, and more "
                f"than referenceNavigatorNumber ({self.referenceNavigatorNumber})"
            )
        shot, waiting = _Shot(), list[ismrmrd.Acquisition]()
        for item in items:
            if not isinstance(item, ismrmrd.Acquisition) or item.encoding_space_ref > 0 or _is_noise(item):
                yield item
            elif is_phase_correction(item.flags):
                if len(shot.profiles) == n_navigators:
                    shot = _Shot()
                shot.profiles.append(np.asarray(item.data))
                shot.backwards.append(is_reversed(item.flags))
                if len(shot.profiles) == n_navigators:
                    self._measure(shot)
                    yield from (shot.corrected(line) for line in waiting)
                    waiting = []
            elif len(shot.profiles) < n_navigators:
                waiting.append(item)
            else:
                yield shot.corrected(item)
        if waiting:
            raise ScanError(f"EPICorrGadget: {len(waiting)} lines have no {n_navigators} navigators")

    def _measure(self, shot: _Shot) -> None:
        evolution: Order = self.B0CorrectionMode  # type: ignore[assignment]  # checked above
        order: Order = self.OEPhaseCorrectionMode  # type: ignore[assignment]
        shot.evolution = evolution_phase(shot.profiles, evolution)
        shot.phase = polarity_phase(shot.profiles, shot.backwards, order)


@dataclass
class _Shot:
    """Navigators along x (coil, x), and what they tell: rad (x,)."""

    profiles: list[ComplexArray] = field(default_factory=list)
    backwards: list[bool] = field(default_factory=list)
    evolution: Phase | None = None
    phase: Phase | None = None
    n_lines: int = 0

    def corrected(self, line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        """The next line of the shot."""
        phase = np.zeros(line.number_of_samples) if self.evolution is None else self.evolution * self.n_lines
        if self.phase is not None:
            phase = phase + self.phase * (0.5 if is_reversed(line.flags) else -0.5)
        self.n_lines += 1
        out = derived_line(line, np.asarray(line.data) * np.exp(-1j * phase))
        if is_reversed(line.flags):
            out.clear_flag(ismrmrd.ACQ_IS_REVERSE)
        return out


@dataclass(frozen=True)
class FFTXGadget:
    """Lines along x back to k-space, orthonormal, DC at n // 2."""

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, lines out; anything else passes."""
        del context
        for item in items:
            is_line = isinstance(item, ismrmrd.Acquisition)
            yield derived_line(item, fft.fft(np.asarray(item.data), axes=(-1,))) if is_line else item


@dataclass(frozen=True)
class OneEncodingGadget:
    """Lines of all encoding spaces become lines of the first."""

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, lines out; anything else passes."""
        del context
        for item in items:
            if isinstance(item, ismrmrd.Acquisition) and item.encoding_space_ref:
                head = item.getHead()
                head.encoding_space_ref = 0
                item = derived_line(item, np.asarray(item.data), head=head)
            yield item


def _described(context: Context, gadget: str) -> Any:
    """The first encoding, if its header describes its readouts."""
    encoding = encoding_of(context.header, 0)
    if not is_conventional(encoding):
        raise ScanError(f"{gadget}: the header's first encoding has no trajectoryDescription 'ConventionalEPI'")
    return encoding


def _along_x(line: ismrmrd.Acquisition, profile: ComplexArray, n_kept: int) -> ismrmrd.Acquisition:
    head = line.getHead()
    head.center_sample, head.discard_pre, head.discard_post = n_kept // 2, 0, 0
    return derived_line(line, resize_centre(profile, n_kept, -1), np.zeros((n_kept, 0), np.float32), head=head)


def _is_noise(line: ismrmrd.Acquisition) -> bool:
    return bool(line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
