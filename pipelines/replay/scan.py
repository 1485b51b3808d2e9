"""The scan of a raw file as images: made in this process, or by a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ismrmrd

from nilatron.gadgets.items import Context, ScanError, ScanLog, ScanProgress, ScanTiming
from nilatron.gadgets.known_noise import NoiseOrigin
from nilatron.gadgets.plan.upcoming import upcoming_of
from nilatron.gadgets.plan.weighed import weigh, weighed_header
from nilatron.pipelines.chain.find import Chain, load_chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.client.images import remote_images
from nilatron.pipelines.conversation.memory import GIB, estimate, memory_bytes
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.earlier import earlier_images
from nilatron.pipelines.files.noise_file import image_channels, noise_lines, noise_origin
from nilatron.pipelines.files.noise_store import NoiseFolder
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.progress import Bar
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.stream.noise import is_noise
from nilatron.pipelines.stream.recorded import open_noise

if TYPE_CHECKING:
    from rich.console import Console


def images_of(
    settings: ReplaySettings, raw: RawScan, scan: ScanLog, stack: ExitStack, console: Console | None
) -> Iterator[ismrmrd.Image]:
    """The images of the scan, made in this process or by a server; problems go to the scan's log."""
    bar, progress = stack.enter_context(Bar(console)), ScanProgress()
    items = counted(scan_items(raw, settings), raw, bar, progress)
    if settings.remote is not None:
        images = stack.enter_context(closing(remote_images(settings.remote, raw, items, scan)))
        return arriving(images, raw, settings.remote.request.series_per_slice, bar)
    chain, context = load_chain(settings.chain), context_of(settings, raw, scan, progress)
    return run_scan(chain, stamped(within_memory(items, context), context.timing), context, settings)


def context_of(settings: ReplaySettings, raw: RawScan, scan: ScanLog, progress: ScanProgress | None = None) -> Context:
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
        noise_file=None if settings.noise is None else origin_of(settings.noise),
        earlier=() if settings.earlier is None else earlier_images(settings.earlier),
    )


def origin_of(noise: Path) -> NoiseOrigin:
    """The measurement that a noise file holds."""
    with open_noise(noise) as scan:
        return noise_origin(scan)


def within_memory(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """The items; the first line is refused where the header describes images that this machine cannot hold.

    Raises
    ------
    ScanError
        When they are too large.
    """
    is_checked = False
    for item in items:
        if not is_checked and isinstance(item, ismrmrd.Acquisition):
            is_checked = True
            one = replace(estimate(context.header, int(item.active_channels)), n_images=1)
            if one.n_bytes > memory_bytes():
                raise ScanError(
                    f"one image needs about {one.text}, and this machine has {memory_bytes() / GIB:.3g} GiB"
                )
        yield item


def stamped(items: Iterable[Any], timing: ScanTiming) -> Iterator[Any]:
    """The items, their arrival noted: a file is there as a whole before its first line is read."""
    timing.ended_s = timing.clock()
    for item in items:
        timing.arrived_s = timing.clock()
        yield item


def run_scan(chain: Chain, items: Iterable[Any], context: Context, settings: ReplaySettings) -> Iterator[ismrmrd.Image]:
    """The chain over items, with the settings' properties over those of its own node."""
    from nilatron.gadgets.node import build_node

    return run_chain(
        chain,
        items,
        context,
        lambda target, properties: build_node(target, {**properties, **settings.properties}, settings.weights),
    )


def scan_items(raw: RawScan, settings: ReplaySettings) -> Iterator[Any]:
    """The scan; where there is a noise file its noise lines, and those of the scan left out."""
    if settings.noise is None:
        yield from raw.items()
        return
    with open_noise(settings.noise) as noise:
        yield from noise_lines(noise, image_channels(raw), raw.header)
    yield from (item for item in raw.items() if not is_noise(item))


def counted(items: Iterator[Any], raw: RawScan, bar: Bar, progress: ScanProgress) -> Iterator[Any]:
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


def arriving(images: Iterator[ismrmrd.Image], raw: RawScan, series_per_slice: int, bar: Bar) -> Iterator[ismrmrd.Image]:
    """The images of a server, counted on the bar."""
    heads = raw.heads()
    n_expected = series_per_slice * len(upcoming_of(weigh(raw.header, heads)[0], heads).imaging)
    for number, image in enumerate(images):
        yield image
        bar.update(number + 1, n_expected, "images")


class NoImagesError(InputError):
    """A scan that gives no image."""


def no_images(scan: ScanLog, settings: ReplaySettings) -> NoImagesError:
    """What to say about a scan that gave no image."""
    return NoImagesError(f"{settings.raw}: expected imaging lines, found {describe(scan)}; {advice(scan, settings)}")


def advice(scan: ScanLog, settings: ReplaySettings) -> str:
    """What to do about a scan without images."""
    is_noise_alone = scan.counts["noise lines"] and not scan.counts["imaging lines"]
    if is_noise_alone and settings.noise_store is None:
        return "if this is a noise measurement, --noise-store DIR keeps it for the scans that depend on it"
    return "; ".join(scan.problems) or "check the scan"


def describe(log_of_scan: ScanLog) -> str:
    """What a scan without images held, in words."""
    return ", ".join(f"{count} {what}" for what, count in sorted(log_of_scan.counts.items()) if count) or "nothing"
