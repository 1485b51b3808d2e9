"""Streams and noise covariances in files, as scans that can be replayed and read more than once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import ismrmrd
import ismrmrd.xsd as xsd
import numpy as np
import numpy.typing as npt

from nilatron.core.noise import samples_of_covariance
from nilatron.gadgets.known_noise import SAMPLES_PER_COIL, NoiseCovariance
from nilatron.gadgets.stock.types import HEADER_DTYPE
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.mrd2.items import PHASES
from nilatron.pipelines.mrd2.noise import read_noise
from nilatron.pipelines.stream import v1, v2
from nilatron.pipelines.stream.formats import Format, first_bytes, format_of, format_of_file
from nilatron.pipelines.wire import Close, UnsupportedError, WireError

log = logging.getLogger(__name__)

NOISE_SAMPLES = 8192  # of a line made from a covariance, at least; their own covariance is exact all the same
MAX_SAMPLES = 65535


def open_scan(path: str | Path, group: str = "dataset") -> RawScan:
    """Open a scan in a file: an ISMRMRD raw file, or a stream of MRD v1 or v2; a context manager.

    Raises
    ------
    InputError
        When the file is missing or none of these, or its header cannot be used.
    """
    path = Path(path)
    found = format_of_file(path) if path.is_file() else None
    if found in (Format.MRD1, Format.MRD2):
        return RecordedStream(path)
    return open_raw(path, group)


def open_noise(path: str | Path, group: str = "dataset") -> RawScan:
    """Open a noise scan: as `open_scan`, or a stream that holds a noise covariance.

    Raises
    ------
    InputError
        As `open_scan`.
    """
    path = Path(path)
    if path.is_file() and format_of_file(path) is Format.MRD2:
        try:
            with path.open("rb") as file:
                return RecordedNoise(path, read_noise(file))
        except UnsupportedError:  # another protocol
            return open_scan(path, group)
        except (OSError, WireError) as error:
            raise InputError(f"{path}: {error}") from None
    return open_scan(path, group)


def open_incoming(file: Any, name: str) -> v1.Incoming | v2.Incoming:
    """The incoming end of a stream in whichever format.

    Raises
    ------
    InputError, WireError
        When it is of none, or its beginning cannot be read.
    """
    begun = first_bytes(file)
    found = format_of(begun, name)
    if found is Format.HDF5:
        raise InputError(f"{name}: this is an HDF5 file and no stream: nilatron replay reads it")
    return v2.Incoming(file, begun) if found is Format.MRD2 else v1.Incoming(file, begun)


class RecordedStream:
    """A stream in a file, read again from its beginning whenever its items are asked for.

    Attributes
    ----------
    path, header, header_bytes
        File, parsed header, the same as XML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left_out = Counter[str]()  # at the last reading
        with self._read() as incoming:
            self.header_bytes = incoming.header
        try:
            self.header = parse_header(self.header_bytes)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open between two readings."""

    @property
    def n_acquisitions(self) -> int:
        """Number of lines."""
        return len(self.heads())

    def heads(self) -> npt.NDArray[Any]:
        """Heads of all lines: a structured array with the fields of ISMRMRD, read once.

        Raises
        ------
        InputError
            When the stream cannot be read to its end, or has lines with a phase of each sample.
        """
        return self._heads

    @cached_property
    def _heads(self) -> npt.NDArray[Any]:
        lines = b"".join(bytes(item._head) for item in self.items() if isinstance(item, ismrmrd.Acquisition))
        if self._left_out[PHASES]:
            raise InputError(f"{self.path}: {self._left_out[PHASES]} {PHASES}")
        for what, count in self._left_out.items():
            log.warning("%s: left out: %d %s", self.path, count, what)
        return np.frombuffer(lines, HEADER_DTYPE)

    def items(self) -> Iterator[Any]:
        """Lines, waveforms and others in the order of the stream.

        Raises
        ------
        InputError
            When one cannot be read, or the stream ends early.
        """
        with self._read() as incoming:
            self._left_out = incoming.left_out
            while True:
                for message in incoming.receive_some():
                    if isinstance(message, Close):
                        return
                    yield message

    def _read(self) -> _Reading:
        return _Reading(self.path)


class _Reading:
    """One reading of a file; errors of the stream name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> v1.Incoming | v2.Incoming:
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read: {error.strerror}") from None
        try:
            return open_incoming(self._file, str(self._path))
        except WireError as error:
            self._file.close()
            raise InputError(f"{self._path}: {error}") from None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._file.close()
        if isinstance(error, WireError):
            raise InputError(f"{self._path}: {error}") from None


class RecordedNoise:
    """A noise covariance as a noise scan: one line, whose samples have exactly this covariance.

    So it goes the way of all noise lines: its channels are matched by coil label, its dwell time and bandwidth count.

    Raises
    ------
    InputError
        When it is no covariance, or one of too few samples.
    """

    def __init__(self, path: Path, noise: NoiseCovariance) -> None:
        self.path = path
        names = noise.coil_names or ()
        labels = [xsd.coilLabelType(coilNumber=number, coilName=name) for number, name in enumerate(names)]
        system = xsd.acquisitionSystemInformationType(
            relativeReceiverNoiseBandwidth=noise.origin.bandwidth_ratio, coilLabel=labels
        )
        unknown = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=0)
        self.header = xsd.ismrmrdHeader(experimentalConditions=unknown, acquisitionSystemInformation=system)
        self.header_bytes = xsd.ToXML(self.header).encode()
        if noise.n_samples < SAMPLES_PER_COIL * noise.n_coils:
            raise InputError(
                f"{path}: a covariance of {noise.n_coils} coils from {noise.n_samples} samples is too uncertain: "
                f"{SAMPLES_PER_COIL} of each coil are needed"
            )
        n_samples = min(MAX_SAMPLES, max(NOISE_SAMPLES, SAMPLES_PER_COIL * noise.n_coils))
        try:
            samples = samples_of_covariance(noise.covariance, n_samples, np.random.default_rng(0))
        except (ValueError, np.linalg.LinAlgError) as error:
            raise InputError(f"{path}: {error}") from None
        self._line = ismrmrd.Acquisition.from_array(samples.astype(np.complex64))
        self._line.sample_time_us = noise.dwell_us
        self._line.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is open."""

    @property
    def n_acquisitions(self) -> int:
        """Return 1."""
        return 1

    def heads(self) -> npt.NDArray[Any]:
        """Head of the line."""
        return np.frombuffer(bytes(self._line._head), HEADER_DTYPE)

    def items(self) -> Iterator[Any]:
        """The line."""
        yield self._line
