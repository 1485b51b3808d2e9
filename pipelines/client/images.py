"""The images of a raw file from a server, for `pipelines.replay`."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ismrmrd

from nilatron.core.errors import BadInputError
from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.client.exchange import ClientTimeouts, Exchange, ServerError, connected
from nilatron.pipelines.client.request import Address, Request, SliceCount
from nilatron.pipelines.files.raw import RawFile
from nilatron.pipelines.wire import Header

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remote:
    """A server and what is asked of it."""

    address: Address
    request: Request
    timeouts: ClientTimeouts = field(default_factory=ClientTimeouts)
    real_time: bool = False


def remote_images(remote: Remote, raw: RawFile, items: Iterator[Any], scan: ScanLog) -> Generator[ismrmrd.Image]:
    """Send the items of a raw file, hand over the images, and note in the scan's log how many were to be expected.

    A fall-back or a doubtful image is a problem of the scan, as it is in this process.

    Raises
    ------
    ServerError
        After the images that could be had.
    InputError
        When the raw file cannot be read any further.
    """
    count = SliceCount(raw.header)
    counted, n_images = count.watch(items), 0
    try:
        with connected(remote.address, remote.timeouts) as connection:
            opening = (remote.request.message, Header(raw.header_bytes))
            exchange = Exchange(connection, opening, counted, remote.timeouts, real_time=remote.real_time)
            for image in exchange.images():
                n_images += 1
                for name in ("nilatron_fallback", "nilatron_doubt"):
                    if reason := image.meta.get(name):
                        scan.problem(log, f"slice {image.slice}: {reason}")
                yield image
        if count.slices and not n_images:
            others = ", ".join(f"{n} {name}" for name, n in exchange.reply.others.items())
            raise ServerError(f"the server ended the scan without an image{f' (it sent {others})' if others else ''}")
    except ServerError as error:
        with suppress(BadInputError):
            for _ in counted:  # what was not sent is missing, too
                pass
        if not (error.said and scan.problems):  # else it is what the images say themselves
            raise
    finally:
        scan.counts["images expected"] = len(count.slices) * remote.request.series_per_slice
