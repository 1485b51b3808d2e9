"""Images of a raw file, reconstructed by a server, for `pipelines.replay`."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ismrmrd

from nilatron.core.errors import BadInputError
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.plan.weighed import weigh
from nilatron.pipelines.client.exchange import ClientTimeouts, Exchange, ServerError, open_connection
from nilatron.pipelines.client.request import Address, Request, SliceCounter
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.wire import Header

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteSettings:
    """The server that reconstructs a raw file, and the requested chain."""

    address: Address
    request: Request
    timeouts: ClientTimeouts = field(default_factory=ClientTimeouts)
    real_time: bool = False


def remote_images(
    remote: RemoteSettings, raw: RawScan, items: Iterator[Any], scan: ScanLog
) -> Generator[ismrmrd.Image]:
    """Images that the server makes of the items of a raw file; the scan's log gets the number of expected images.

    A fall-back or a doubtful image is a problem of the scan, as it is in this process.

    Raises
    ------
    ServerError
        After the last image, when the connection or the server failed.
    InputError
        When the raw file can no longer be read.
    """
    counter = SliceCounter(weigh(raw.header, raw.heads())[0])
    counted, n_images = counter.count(items), 0
    try:
        with open_connection(remote.address, remote.timeouts) as connection:
            opening = (remote.request.message, Header(raw.header_bytes))
            exchange = Exchange(connection, opening, counted, remote.timeouts, real_time=remote.real_time)
            for image in exchange.images():
                n_images += 1
                for name in ("nilatron_fallback", "nilatron_doubt"):
                    if reason := image.meta.get(name):
                        scan.problem(log, f"slice {image.slice}: {reason}")
                yield image
        if counter.slices and not n_images:
            others = ", ".join(f"{n} {name}" for name, n in exchange.reply.others.items())
            raise ServerError(f"the server ended the scan without an image{f' (it sent {others})' if others else ''}")
    except ServerError as error:
        with suppress(BadInputError):
            for _ in counted:  # items that were not sent count as expected images, too
                pass
        if not (error.from_server and scan.problems):  # otherwise the images have reported the same reason
            raise
    finally:
        scan.counts["images expected"] = len(counter.slices) * remote.request.series_per_slice
