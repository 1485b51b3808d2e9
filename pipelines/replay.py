"""Replay a raw file through an XML chain in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain as joined
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ismrmrd

from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, ScanLog, ScanTiming
from nilatron.gadgets.known_noise import NOISE_STORED
from nilatron.gadgets.noise.header import measurement_id
from nilatron.gadgets.plan.weighed import weighed_header
from nilatron.pipelines.archive.folder import DicomFolder, DicomSettings, check_packages
from nilatron.pipelines.archive.identity import RunIdentity, file_sha256
from nilatron.pipelines.archive.send import Archive, SendReport, send
from nilatron.pipelines.chain.find import Chain, load_chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.client.exchange import ServerError
from nilatron.pipelines.client.images import RemoteSettings, remote_images
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.atomic import AtomicFolder, InputError
from nilatron.pipelines.files.images import ImageFile, write_png
from nilatron.pipelines.files.noise_file import noise_lines, noise_origin
from nilatron.pipelines.files.noise_store import NoiseFolder
from nilatron.pipelines.files.raw import RawFile, open_raw

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
        Why the server did not give the rest; None when it ended well.
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
    failure: ServerError | None = None
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

    Images that a server gave before it failed are written, and the report has the failure.

    Parameters
    ----------
    settings
        Files and chain.
    console
        Shows a progress bar there if it is a terminal.

    Raises
    ------
    InputError, ChainError, SettingsError, ScanError, WeightsError
        For input that cannot be used; each says what was expected and what came.
    ServerError
        When a server gave no image at all.
    """
    if settings.send is not None:
        check_packages(["pynetdicom"])
        if settings.dicom is None:
            raise InputError("--send sends the DICOM files: give a folder for them, --dicom DIR")
    if settings.output is None:
        raise InputError("no file to write the images to: give one, --output FILE")
    output_group = settings.output_group or datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    with open_raw(settings.raw, settings.group) as raw:
        scan, started = ScanLog(), time.perf_counter()
        try:
            report = write_images(settings, settings.output, raw, scan, output_group, console)
        except NoImagesError:
            if not scan.counts[NOISE_STORED]:
                raise
            seconds = time.perf_counter() - started
            return ReplayReport(0, 0, scan, seconds, stored_noise=measurement_id(raw.header))
    log.info("%d images to %s, group %r, in %.1f s", report.n_images, settings.output, output_group, report.seconds)
    if settings.send is None:
        return report
    return replace(report, sent=send(report.dicom_files, settings.send))


class NoImagesError(InputError):
    """A scan that gives no image."""


def write_images(
    settings: ReplaySettings, output: Path, raw: RawFile, scan: ScanLog, output_group: str, console: Console | None
) -> ReplayReport:
    """Run the scan and write its images, all or, on an error, none."""
    with ExitStack() as stack:
        failure = None
        images = images_of(settings, raw, scan, stack, console)
        target = stack.enter_context(ImageFile(output, output_group, overwrite=settings.overwrite))
        exports = list(export_folders(settings, raw))
        for export in exports:
            stack.enter_context(export)
        started = time.perf_counter()
        try:
            for image in images:
                target.write(image)
                for export in exports:
                    export.write(image)
        except ServerError as error:
            if target.n_images == 0:
                raise
            failure = error
        seconds = time.perf_counter() - started
        for export in exports:
            export.finish(scan)
        if target.n_images == 0:
            raise no_images(scan, settings)
        files = tuple(path for export in exports if isinstance(export, DicomFolder) for path in export.files)
        return ReplayReport(target.n_images, scan.counts["images expected"], scan, seconds, failure, dicom_files=files)


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
    items = with_progress(scan_items(raw, settings), raw, stack, console)
    if settings.remote is not None:
        return stack.enter_context(closing(remote_images(settings.remote, raw, items, scan)))
    chain, context = load_chain(settings.chain), context_of(settings, raw, scan)
    return run_scan(chain, stamped(items, context.timing), context, settings)


def context_of(settings: ReplaySettings, raw: RawFile, scan: ScanLog) -> Context:
    """What the gadgets are told about the scan of a file, all of its line heads among it."""
    heads = raw.heads()
    return Context(
        weighed_header(raw.header, heads),
        resolve_device(settings.device),
        settings.seed,
        scan,
        heads=heads,
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
class ExportFolder(AtomicFolder):
    """Folder of files of one kind, which appear together; images that cannot be written as such files are reported."""

    write_image: Callable[[ismrmrd.Image, Path, str], None]
    refused: list[InputError] = field(default_factory=list)

    def write(self, image: ismrmrd.Image) -> None:
        """The files of one image, named by series and index."""
        try:
            self.write_image(image, self.temporary, f"series{image.image_series_index:03d}_{image.image_index:04d}")
        except InputError as error:
            self.refused.append(error)

    def finish(self, scan: ScanLog) -> None:
        """Report how many images could not be written, and why."""
        if self.refused:
            scan.problem(log, f"{self.folder}: {len(self.refused)} images could not be written: {self.refused[0]}")


def export_folders(settings: ReplaySettings, raw: RawFile) -> Iterator[ExportFolder | DicomFolder]:
    """What is wanted beside the image file."""
    if settings.png:
        yield ExportFolder(settings.png, lambda image, folder, stem: write_png(image, folder / f"{stem}.png"))
    if settings.dicom:
        yield DicomFolder.of_run(settings.dicom, raw.header, run_identity(settings), settings.dicom_settings)


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


def with_progress(items: Iterator[Any], raw: RawFile, stack: ExitStack, console: Console | None) -> Iterator[Any]:
    """Count lines on a progress bar, if there is a terminal to show it on."""
    if console is None or not console.is_terminal:
        return items
    from rich.progress import Progress

    progress = stack.enter_context(Progress(console=console, transient=True))
    task = progress.add_task("lines", total=raw.n_acquisitions)

    def counted() -> Iterator[Any]:
        for item in items:
            progress.advance(task)
            yield item

    return counted()
