"""What travels between gadgets inside one process, and what every gadget knows about the scan."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import ismrmrd
import numpy.typing as npt

from nilatron.core.backend import Array, ComplexArray, FloatArray
from nilatron.core.errors import BadInputError
from nilatron.gadgets.known_noise import NoiseOrigin, NoiseStore

if TYPE_CHECKING:
    from nilatron.gadgets.nila.remembered import EarlierImage


@dataclass(frozen=True)
class ScanLog:
    """What happened in this scan, for the summary and the exit code."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)  # each makes the run a failure or a fall-back: exit code 3

    def problem(self, logger: logging.Logger, message: str) -> None:
        """Remember and log something that the user must know."""
        self.problems.append(message)
        logger.warning(message)


@dataclass
class ScanTiming:
    """When the input came; whoever reads it says so here, by `clock`.

    Attributes
    ----------
    clock
        Seconds, from any origin.
    arrived_s
        When the item came that was handed on last; None: that is not known, and it is taken as just now.
    ended_s
        When the last item of the scan had come; None as long as there may be more.
    """

    clock: Callable[[], float] = time.monotonic
    arrived_s: float | None = None
    ended_s: float | None = None

    def last_arrival_s(self) -> float:
        """When the latest item came."""
        return self.clock() if self.arrived_s is None else self.arrived_s


@dataclass
class ScanProgress:
    """How far the reconstruction of a scan has come.

    Attributes
    ----------
    changed
        Is called after each change.
    n_slices
        Slices of the scan; 0 where that is not known.
    steps_per_slice
        Evaluations of the network for a slice, those of posterior samples among them; 1 for methods without one.
    slices_done, steps_done
        Slices that are finished, and steps of those that are not.
    """

    changed: Callable[[], None] = lambda: None
    n_slices: int = 0
    steps_per_slice: int = 1
    slices_done: int = 0
    steps_done: int = 0

    def step(self, n: int = 1) -> None:
        """Steps have been made."""
        self.steps_done += n
        self.changed()

    def slice_done(self) -> None:
        """A slice is finished, with however many steps."""
        self.slices_done += 1
        self.steps_done = max(0, self.steps_done - self.steps_per_slice)
        self.changed()

    @property
    def done(self) -> int:
        """Steps of all slices, in whole numbers of `steps_per_slice` for those that are finished."""
        done = self.slices_done * self.steps_per_slice + self.steps_done
        return min(done, self.total) if self.n_slices else done

    @property
    def total(self) -> int:
        """Steps of the whole scan; 0 where that is not known."""
        return max(self.n_slices, self.slices_done) * self.steps_per_slice if self.n_slices else 0


@dataclass(frozen=True)
class Context:
    """What a gadget needs beside its items.

    Attributes
    ----------
    header
        The parsed ISMRMRD header (`ismrmrd.xsd.ismrmrdHeader`).
    device
        "cpu" or "cuda".
    seed
        Of all randomness; each slice derives its own from it.
    log
        Shared by all gadgets of a run.
    timing
        When the input came, for time budgets.
    progress
        How far the scan has come, for whoever waits for it.
    noise_store
        Store of the noise of other measurements; None where there is none.
    noise_file
        Measurement of the noise file whose lines were put in front of the scan; None where noise lines are the scan's own.
    heads
        Table of the heads of all lines of the scan (structured, ISMRMRD's names), where they are known before its first line.
    earlier
        Images of an earlier scan that slices may be told of.
    """

    header: Any
    device: str = "cpu"
    seed: int = 0
    log: ScanLog = field(default_factory=ScanLog)
    timing: ScanTiming = field(default_factory=ScanTiming)
    progress: ScanProgress = field(default_factory=ScanProgress)
    noise_store: NoiseStore | None = None
    noise_file: NoiseOrigin | None = None
    heads: npt.NDArray[Any] | None = None
    earlier: tuple[EarlierImage, ...] = ()


Gadget: TypeAlias = Callable[[Iterable[Any], Context], Iterator[Any]]


@dataclass(frozen=True)
class NoiseReport:
    """Complex standard deviations of the noise of whitened samples, as claimed, as found and as believed.

    Attributes
    ----------
    source
        "noise scan", "noise file", "store" (of another measurement), "given" (with the arrays), "upstream" (the chain in
        front has whitened) or "data".
    sigma_header
        As noise scan and header have it: 1 after whitening; None when there is none.
    sigma_measured
        From the data themselves.
    sigma_used
        In the reconstruction.
    measurement_id
        Id of the measurement whose noise was used; empty where that is not known.
    dwell_us, bandwidth_ratio
        Dwell time in microseconds and relative receiver noise bandwidth of that measurement; 0 where they are not known.
    """

    source: str
    sigma_header: float | None
    sigma_measured: float
    sigma_used: float
    measurement_id: str = ""
    dwell_us: float = 0.0
    bandwidth_ratio: float = 0.0


@dataclass(frozen=True)
class KSpaceSlice:
    """All lines of one image (a 2D slice or a 3D volume), gridded.

    Attributes
    ----------
    kspace
        Mean of the acquired lines, complex64 (coil, z, y, x), DC at n // 2, readout oversampling removed. On the device of
        the scan from its whitening on, and so are calibration and maps; the counts are on the host.
    counts
        How often each sample was acquired, float32 (z, y, x).
    calibration
        Fully sampled block around DC, complex64 (coil, z, y, x); None where there is none.
    head
        `ismrmrd.AcquisitionHeader` of the line nearest to the centre of k-space: geometry, indices, time stamps.
    encoding
        The header's encoding of this slice (`ismrmrd.xsd.encodingType`).
    whitened
        Whether the noise has variance 1 and no correlation.
    noise
        How that is known; None until measured.
    coil_maps
        Complex64 (coil, z, y, x), or (set, coil, z, y, x) where the field of view wraps; None until estimated.
    maps_from
        What the maps are from, one of the `FROM_...` of `core.recon`; empty until estimated.
    thin_maps
        Whether that is little, or does not agree with the lines.
    notes
        Warnings about this slice that belong into the image metadata.
    """

    kspace: Array
    counts: FloatArray
    calibration: Array | None
    head: ismrmrd.AcquisitionHeader
    encoding: Any
    whitened: bool = False
    noise: NoiseReport | None = None
    coil_maps: Array | None = None
    maps_from: str = ""
    thin_maps: bool = False
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The slice in words, for logs."""
        idx = self.head.idx
        names = ("slice", "contrast", "phase", "repetition", "set")
        return ", ".join(f"{name} {getattr(idx, name)}" for name in names if name == "slice" or getattr(idx, name))

    def with_note(self, note: str) -> KSpaceSlice:
        """The same slice with one more note."""
        return replace(self, notes=(*self.notes, note))


MOST_SAMPLE = 1e15  # beyond it energies overflow in single precision, so it counts as not finite
UNCERTAINTY_ROLES = ("uncertainty", "std")  # whose pixels are standard deviations


@dataclass(frozen=True)
class Reconstruction:
    """One reconstructed image, still on the encoded grid, in SNR units.

    Attributes
    ----------
    image
        Complex64 (z, y, x); real and non-negative values for an uncertainty map.
    role
        "main", "conventional", "mean", "map" (the posterior's maximum), "sample", or one of `UNCERTAINTY_ROLES`.
    source
        The slice it was made from.
    provenance
        Name to value, for the image metadata.
    """

    image: ComplexArray
    role: str
    source: KSpaceSlice
    provenance: dict[str, str]


class ScanError(BadInputError):
    """Data that contradict the header or themselves, so that no image can be trusted."""


def with_samples(line: ismrmrd.Acquisition, samples: ComplexArray) -> ismrmrd.Acquisition:
    """A copy of a line that holds other samples (coil, n), without trajectory; the given line stays as it is."""
    head = line.getHead()
    head.active_channels, head.number_of_samples = samples.shape
    head.trajectory_dimensions = 0
    out = ismrmrd.Acquisition(head)
    out.data[:] = samples
    return out
