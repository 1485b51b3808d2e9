"""What to replay, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.archive.folder import DicomSettings
from nilatron.pipelines.archive.send import Archive, SendReport
from nilatron.pipelines.client.exchange import ServerError
from nilatron.pipelines.client.images import RemoteSettings
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.interrupts import StopSignalError


@dataclass(frozen=True)
class ReplaySettings:
    """What to replay, through what, to where."""

    raw: Path
    output: Path | None  # image file; None: nothing is written, the images are only handed on (`images_of`)
    chain: str = "nila"  # a shipped chain's name, or a file
    group: str = "dataset"
    output_group: str | None = None  # date and time by default
    properties: Mapping[str, str] = field(default_factory=dict)  # over those of the chain's own node
    png: Path | None = None  # folder for pictures
    dicom: Path | None = None  # folder for DICOM files
    report: Path | None = None  # HTML file that shows the images
    dicom_settings: DicomSettings = field(default_factory=DicomSettings)
    send: Archive | None = None  # that stores the DICOM files as well
    noise: Path | None = None  # raw file whose lines are the noise scan, in place of the scan's own noise lines
    noise_store: Path | None = None  # folder with the noise of other measurements
    earlier: Path | None = None  # images of an earlier scan, of which slices are told with the property `neighbours`
    seed: int = 0
    device: str = "cpu"
    weights: Path = DEFAULT_WEIGHTS
    overwrite: bool = False
    remote: RemoteSettings | None = (
        None  # server that reconstructs, with a chain, properties, seed and device of its own
    )


@dataclass(frozen=True)
class ReplayReport:
    """What came of it.

    Attributes
    ----------
    n_images, n_expected
        Images written, and images that the scan should have given.
    log
        Counts and problems of the scan.
    seconds
        From the first line to the last image, start-up excluded.
    failure
        Why the rest is missing: the server, a stop signal or the disk; None when it ended well.
    written
        Where the images are; not under the wanted name where they are only some and would replace a complete file.
    stored_noise
        Measurement of noise alone that went to the noise store; None for all others.
    dicom_files
        DICOM files that were written.
    sent
        What the archive has of them; None where they were not sent.
    """

    n_images: int
    n_expected: int
    log: ScanLog
    seconds: float
    failure: ServerError | StopSignalError | OutputError | None = None
    written: Path | None = None
    stored_noise: str | None = None
    dicom_files: tuple[Path, ...] = ()
    sent: SendReport | None = None

    @property
    def complete(self) -> bool:
        """Whether every expected image came and none is a fall-back, or the noise of a noise measurement was stored."""
        whole = (self.n_images > 0 or self.stored_noise is not None) and self.n_images >= self.n_expected
        return whole and not self.log.problems and self.failure is None


def check_output(settings: ReplaySettings, output: Path) -> None:
    """See that the images do not go into a file that is read, and that there is a place for the report.

    Raises
    ------
    InputError
        When they would, or there is none.
    """
    for name, path in (("raw", settings.raw), ("noise", settings.noise), ("earlier", settings.earlier)):
        if path is not None and output.exists() and path.exists() and output.samefile(path):
            raise InputError(f"{output} is the {name} file: give another file for the images")
    if settings.report is not None:
        if settings.report.exists() and not settings.overwrite:
            raise InputError(f"{settings.report} exists: choose another or replace it with --overwrite")
        if not os.access(settings.report.absolute().parent, os.W_OK):
            raise InputError(
                f"{settings.report}: the folder {settings.report.parent} does not exist or may not be written"
            )
