"""Replay a raw file through an XML chain, and write its images."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.known_noise import NOISE_NOT_WRITTEN, NOISE_STORED
from nilatron.gadgets.noise.header import measurement_id
from nilatron.pipelines.archive.folder import DicomFolder, check_packages
from nilatron.pipelines.archive.send import send
from nilatron.pipelines.client.exchange import ServerError
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.images import ImageFile
from nilatron.pipelines.files.interrupts import StopSignalError, shielded
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.replay.exports import export_folders, write_report
from nilatron.pipelines.replay.scan import NoImagesError, images_of, no_images
from nilatron.pipelines.replay.settings import ReplayReport, ReplaySettings, check_output
from nilatron.pipelines.stream.recorded import open_scan

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)


def replay(settings: ReplaySettings, console: Console | None = None) -> ReplayReport:
    """Run the scan of `settings.raw` through its chain and write the images; on an error nothing is written.

    Images that were made before a server failed, a stop signal came or the disk was full are written, and the report has the
    failure. A picture folder that cannot be written is a problem of the scan, and costs no image.

    Parameters
    ----------
    settings
        Files and chain.
    console
        Shows there how far the scan has come: a bar on a terminal, elsewhere lines in the log; None: nowhere.

    Raises
    ------
    InputError, ChainError, SettingsError, ScanError, WeightsError
        For input that cannot be used; each says what was expected and what came.
    ServerError, StopSignalError, OutputError
        When there is no image at all.
    """
    if settings.output is None:
        raise InputError("no file to write the images to: give one, --output FILE")
    check_output(settings, settings.output)
    if settings.send is not None:
        check_packages(["pynetdicom"])
        if settings.dicom is None:
            raise InputError("--send sends the DICOM files: give a folder for them, --dicom DIR")
    output_group = settings.output_group or datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    with open_scan(settings.raw, settings.group) as raw:
        scan, started = ScanLog(), time.perf_counter()
        try:
            report = write_images(settings, settings.output, raw, scan, output_group, console)
        except NoImagesError as error:
            if scan.counts[NOISE_NOT_WRITTEN]:
                raise OutputError("; ".join(scan.problems)) from error
            if not scan.counts[NOISE_STORED]:
                raise
            seconds = time.perf_counter() - started
            return ReplayReport(0, 0, scan, seconds, stored_noise=measurement_id(raw.header))
    log.info("%d images to %s, group %r, in %.1f s", report.n_images, settings.output, output_group, report.seconds)
    if settings.send is None or isinstance(report.failure, StopSignalError):
        return report
    return replace(report, sent=send(report.dicom_files, settings.send))


def write_images(
    settings: ReplaySettings, output: Path, raw: RawScan, scan: ScanLog, output_group: str, console: Console | None
) -> ReplayReport:
    """Run the scan and write its images, all or, on an error, none."""
    with ExitStack() as stack:
        failure: ServerError | StopSignalError | OutputError | None = None
        images = images_of(settings, raw, scan, stack, console)
        target = stack.enter_context(ImageFile(output, output_group, overwrite=settings.overwrite))
        started, came_s = time.perf_counter(), dict[tuple[int, int], float]()
        exports = list(export_folders(settings, raw))
        with ExitStack() as folders:
            for export in exports:
                folders.enter_context(export)
            try:
                for image in images:
                    with shielded():  # an image that is kept has its pictures
                        target.write(image)
                        came_s[image.image_series_index, image.image_index] = time.perf_counter() - started
                        for export in exports:
                            export.write(image)
            except (ServerError, StopSignalError, OutputError) as error:
                if target.n_images == 0:
                    raise
                target.keep_what_is_there()
                for export in exports:
                    export.keep_apart()
                failure = error
            seconds = time.perf_counter() - started
            with shielded():
                for export in exports:
                    export.finish(scan)
        for export in exports:
            if export.failure:
                scan.problem(log, export.failure)
        if target.n_images == 0:
            raise no_images(scan, settings)
        n_expected = scan.counts["images expected"]
    written = (export for export in exports if isinstance(export, DicomFolder) and not export.failure)
    files = tuple(path for export in written for path in export.files)
    report = ReplayReport(
        target.n_images, n_expected, scan, seconds, failure, written=target.written, dicom_files=files
    )
    if settings.report:
        write_report(settings, report, output_group, came_s)
    return report
