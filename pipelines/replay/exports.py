"""What is written beside the image file: pictures, DICOM files, a page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ismrmrd

from nilatron.core import words
from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.archive.folder import DicomFolder
from nilatron.pipelines.archive.identity import RunIdentity, file_sha256
from nilatron.pipelines.chain.find import load_chain
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.atomic import InputError, SpareFolder, partial_name
from nilatron.pipelines.files.disk import OutputError, reason_of
from nilatron.pipelines.files.images import mosaic, save_png, write_png
from nilatron.pipelines.files.interrupts import shielded
from nilatron.pipelines.files.outlined import outlined
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.files.roles import TogetherBySlice
from nilatron.pipelines.replay.settings import ReplayReport, ReplaySettings

log = logging.getLogger(__name__)

MOST_WAITING = 64  # slices in memory whose error map has not come: conventional images of a server are far ahead


@dataclass
class PictureFolder(SpareFolder):
    """Folder of pictures of the images; those that cannot be written are reported and cost nothing else.

    Beside the picture of each image there is one of each slice with an error map, on which the structures are outlined that
    neither the conventional image nor the interval of the error supports.
    """

    refused: list[str] = field(default_factory=list)  # why, for each image
    _together: TogetherBySlice[ismrmrd.Image] = field(default_factory=lambda: TogetherBySlice(MOST_WAITING), init=False)

    def write(self, image: ismrmrd.Image) -> None:
        """The pictures that an image gives, named by series and index."""
        if self.failure:
            return
        stem = f"series{image.image_series_index:03d}_{image.image_index:04d}"
        self._write(stem, lambda path: write_png(image, path))
        if compared := self._together.add(image, image):
            stem = f"outlined_{compared['main'].image_index:04d}"
            self._write(stem, lambda path: save_png(mosaic(outlined(compared)), path))

    def _write(self, stem: str, write: Callable[[Path], None]) -> None:
        try:
            with shielded():
                write(self.temporary / f"{stem}.png")
        except (InputError, OutputError) as error:
            self.refused.append(str(error).replace(str(self.temporary), str(self.folder)))
        except OSError as error:
            self.refused.append(reason_of(error))
            for path in self.temporary.glob(f"{stem}*"):
                path.unlink()  # no half file

    def finish(self, scan: ScanLog) -> None:
        """Report how many images could not be written, and why."""
        if self.refused:
            scan.problem(
                log,
                f"{self.folder}: {words.counted(len(self.refused), 'image')} could not be written: {self.refused[0]}",
            )


def export_folders(settings: ReplaySettings, raw: RawScan) -> Iterator[PictureFolder | DicomFolder]:
    """What is wanted beside the image file."""
    if settings.png:
        yield PictureFolder(settings.png, own=("series*.png", "outlined*.png"), overwrite=settings.overwrite)
    if settings.dicom:
        identity = run_identity(settings)
        yield DicomFolder.of_run(
            settings.dicom, raw.header, identity, settings.dicom_settings, overwrite=settings.overwrite
        )


def run_identity(settings: ReplaySettings) -> RunIdentity:
    """What the images of a run are made from."""
    facts = {"group": settings.group, "noise": "none" if settings.noise is None else file_sha256(settings.noise)}
    if settings.remote is not None:
        facts["request"] = repr(settings.remote.request.message)
    else:
        facts["chain"] = repr(load_chain(settings.chain))
        facts["properties"] = repr(sorted(settings.properties.items()))
        facts["seed"] = str(settings.seed)
        facts["weights"] = file_sha256(settings.weights)
    return RunIdentity(file_sha256(settings.raw), facts)


def write_report(
    settings: ReplaySettings, report: ReplayReport, group: str, came_s: Mapping[tuple[int, int], float]
) -> None:
    """Write the page of the images; where that cannot be it is a problem of the scan, and costs no image."""
    if settings.report is None or report.written is None:
        return
    from nilatron.pipelines.report.page import ScanFacts, write_page

    facts = {
        "raw file": str(settings.raw),
        "image file": str(report.written),
        "chain": settings.chain,
        "images": f"{report.n_images} of {max(report.n_images, report.n_expected)}",
        "time": f"{report.seconds:.1f} s",
        "reconstructed by": str(settings.remote.address) if settings.remote else resolve_device(settings.device),
        "weights": "the server's" if settings.remote else settings.weights.name,
        "seed": "the server's" if settings.remote else str(settings.seed),
    }
    missing = [] if report.complete or report.log.problems else [f"not complete: {facts['images']} images came"]
    stopped = missing if report.failure is None else [f"not complete: {report.failure}"]
    scan = ScanFacts(settings.raw.name, facts, [*stopped, *report.log.problems], came_s)
    apart = report.written != settings.output
    try:
        write_page(partial_name(settings.report) if apart else settings.report, report.written, group, scan)
    except (InputError, OutputError) as error:
        report.log.problem(log, str(error))
