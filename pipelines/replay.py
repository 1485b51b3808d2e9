"""Replay a raw file through an XML chain in this process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain as joined
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ismrmrd

from nilatron.core import words
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, ScanLog, ScanProgress, ScanTiming
from nilatron.gadgets.known_noise import NOISE_NOT_WRITTEN, NOISE_STORED
from nilatron.gadgets.noise.header import measurement_id
from nilatron.gadgets.plan.upcoming import upcoming_of
from nilatron.gadgets.plan.weighed import weighed_header
from nilatron.pipelines.archive.folder import DicomFolder, DicomSettings, check_packages
from nilatron.pipelines.archive.identity import RunIdentity, file_sha256
from nilatron.pipelines.archive.send import Archive, SendReport, send
from nilatron.pipelines.chain.find import Chain, load_chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.client.exchange import ServerError
from nilatron.pipelines.client.images import RemoteSettings, remote_images
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.atomic import InputError, SpareFolder, partial_name
from nilatron.pipelines.files.disk import OutputError, reason_of
from nilatron.pipelines.files.images import ImageFile, write_png
from nilatron.pipelines.files.interrupts import StopSignalError, shielded
from nilatron.pipelines.files.noise_file import noise_lines, noise_origin
from nilatron.pipelines.files.noise_store import NoiseFolder
from nilatron.pipelines.files.raw import RawFile, open_raw
from nilatron.pipelines.progress import Bar

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)


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
    with open_raw(settings.raw, settings.group) as raw:
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


def check_output(settings: ReplaySettings, output: Path) -> None:
    """See that the images do not go into a file that is read, and that there is a place for the report.

    Raises
    ------
    InputError
        When they would, or there is none.
    """
    for name, path in (("raw", settings.raw), ("noise", settings.noise)):
        if path is not None and output.exists() and path.exists() and output.samefile(path):
            raise InputError(f"{output} is the {name} file: give another file for the images")
    if settings.report is not None:
        if settings.report.exists() and not settings.overwrite:
            raise InputError(f"{settings.report} exists: choose another or replace it with --overwrite")
        if not os.access(settings.report.absolute().parent, os.W_OK):
            raise InputError(
                f"{settings.report}: the folder {settings.report.parent} does not exist or may not be written"
            )


class NoImagesError(InputError):
    """A scan that gives no image."""


def write_images(
    settings: ReplaySettings, output: Path, raw: RawFile, scan: ScanLog, output_group: str, console: Console | None
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


def no_images(scan: ScanLog, settings: ReplaySettings) -> NoImagesError:
    """What to say about a scan that gave no image."""
    return NoImagesError(f"{settings.raw}: expected imaging lines, found {describe(scan)}; {advice(scan, settings)}")


def advice(scan: ScanLog, settings: ReplaySettings) -> str:
    """What to do about a scan without images."""
    is_noise_alone = scan.counts["noise lines"] and not scan.counts["imaging lines"]
    if is_noise_alone and settings.noise_store is None:
        return "if this is a noise measurement, --noise-store DIR keeps it for the scans that depend on it"
    return "; ".join(scan.problems) or "check the scan"


def images_of(
    settings: ReplaySettings, raw: RawFile, scan: ScanLog, stack: ExitStack, console: Console | None
) -> Iterator[ismrmrd.Image]:
    """The images of the scan, made in this process or by a server; problems go to the scan's log."""
    bar, progress = stack.enter_context(Bar(console)), ScanProgress()
    items = counted(scan_items(raw, settings), raw, bar, progress)
    if settings.remote is not None:
        images = stack.enter_context(closing(remote_images(settings.remote, raw, items, scan)))
        return arriving(images, raw, settings.remote.request.series_per_slice, bar)
    chain, context = load_chain(settings.chain), context_of(settings, raw, scan, progress)
    return run_scan(chain, stamped(items, context.timing), context, settings)


def context_of(settings: ReplaySettings, raw: RawFile, scan: ScanLog, progress: ScanProgress | None = None) -> Context:
    """What the gadgets are told about the scan of a file, all of its line heads among it."""
    heads, progress = raw.heads(), progress or ScanProgress()
    header = weighed_header(raw.header, heads)
    progress.n_slices = len(upcoming_of(header, heads).imaging)
    return Context(
        header,
        resolve_device(settings.device),
        settings.seed,
        scan,
        heads=heads,
        progress=progress,
        noise_store=None if settings.noise_store is None else NoiseFolder(settings.noise_store),
        noise_file=None if settings.noise is None else noise_origin(settings.noise),
    )


def stamped(items: Iterable[Any], timing: ScanTiming) -> Iterator[Any]:
    """The items, their arrival noted: a file is there as a whole before its first line is read."""
    timing.ended_s = timing.clock()
    for item in items:
        timing.arrived_s = timing.clock()
        yield item


@dataclass
class ExportFolder(SpareFolder):
    """Folder of pictures of the images; those that cannot be written are reported and cost nothing else."""

    write_image: Callable[[ismrmrd.Image, Path, str], None]
    refused: list[str] = field(default_factory=list)  # why, for each image

    def write(self, image: ismrmrd.Image) -> None:
        """The files of one image, named by series and index."""
        if self.failure:
            return
        stem = f"series{image.image_series_index:03d}_{image.image_index:04d}"
        try:
            with shielded():
                self.write_image(image, self.temporary, stem)
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


def export_folders(settings: ReplaySettings, raw: RawFile) -> Iterator[ExportFolder | DicomFolder]:
    """What is wanted beside the image file."""
    if settings.png:
        yield ExportFolder(
            settings.png,
            lambda image, folder, stem: write_png(image, folder / f"{stem}.png"),
            own=("series*.png",),
            overwrite=settings.overwrite,
        )
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


def describe(log_of_scan: ScanLog) -> str:
    """What a scan without images held, in words."""
    return ", ".join(f"{count} {what}" for what, count in sorted(log_of_scan.counts.items()) if count) or "nothing"


def run_scan(chain: Chain, items: Iterable[Any], context: Context, settings: ReplaySettings) -> Iterator[ismrmrd.Image]:
    """The chain over items, with the settings' properties over those of its own node."""
    from nilatron.gadgets.node import build_node

    return run_chain(
        chain,
        items,
        context,
        lambda target, properties: build_node(target, {**properties, **settings.properties}, settings.weights),
    )


def scan_items(raw: RawFile, settings: ReplaySettings) -> Iterator[Any]:
    """The scan; where there is a noise file its noise lines, and those of the scan left out."""
    if settings.noise is None:
        return raw.items()
    return joined(noise_lines(settings.noise, raw), (item for item in raw.items() if not is_noise(item)))


def is_noise(item: Any) -> bool:
    """Whether this is a line of a noise scan."""
    return isinstance(item, ismrmrd.Acquisition) and kind_of(item.flags) is LineKind.NOISE


def counted(items: Iterator[Any], raw: RawFile, bar: Bar, progress: ScanProgress) -> Iterator[Any]:
    """The items; lines are shown on the bar until the first slice is reconstructed, then the steps of all slices."""

    def show_steps() -> None:
        place = min(progress.slices_done + 1, progress.n_slices)
        unit = "steps" if progress.steps_per_slice > 1 else "slices"
        text = f"slice {place} of {progress.n_slices}" if unit == "steps" else ""
        bar.update(progress.done, progress.total, unit, text)

    progress.changed = show_steps
    for number, item in enumerate(items):
        if not progress.done:
            bar.update(min(number, raw.n_acquisitions), raw.n_acquisitions, "lines")  # a noise file has more
        yield item


def arriving(images: Iterator[ismrmrd.Image], raw: RawFile, series_per_slice: int, bar: Bar) -> Iterator[ismrmrd.Image]:
    """The images of a server, counted on the bar."""
    n_expected = series_per_slice * len(upcoming_of(raw.header, raw.heads()).imaging)
    for number, image in enumerate(images):
        yield image
        bar.update(number + 1, n_expected, "images")
