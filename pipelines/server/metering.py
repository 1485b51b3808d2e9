"""What the lines of a scan really need, counted as they come: more than was set aside has to be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ismrmrd

from nilatron.gadgets.items import Context
from nilatron.pipelines.server.admission import BASE_BYTES, WORKING_COPIES, bytes_of_image

STEP = 1.25  # at least by so much is asked for more
_NO_IMAGE = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)

Image: TypeAlias = tuple[int, int, int, int, int]


@dataclass
class LineMeter:
    """The gadget in front of a chain: lets everything pass, and keeps account of the images that lines have begun.

    Attributes
    ----------
    admitted_bytes
        That were set aside for the scan.
    ask
        Called with the bytes that are needed when they are more; raises where there are not so many.
    """

    admitted_bytes: int
    ask: Callable[[int], None]
    _channels: dict[Image, int] = field(default_factory=dict)  # most of each image
    _every: int = 0
    _largest: int = 0

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Count and pass on."""
        for item in items:
            if isinstance(item, ismrmrd.Acquisition):
                self._count(item, context.header)
            yield item

    @property
    def needed_bytes(self) -> int:
        """Of the images so far, as `admission.estimate_bytes` estimates them from a header."""
        return BASE_BYTES + WORKING_COPIES * self._largest + self._every

    def _count(self, line: ismrmrd.Acquisition, header: Any) -> None:
        head = line._head  # getHead() copies
        idx, number = head.idx, head.encoding_space_ref
        image = (number, idx.slice, idx.contrast, idx.phase, idx.set)
        before = self._channels.get(image, 0)
        if head.active_channels <= before or head.flags & _NO_IMAGE or number >= len(header.encoding):
            return
        self._channels[image] = head.active_channels
        encoding = header.encoding[number]
        n_bytes = bytes_of_image(encoding, head.active_channels)
        self._every += n_bytes - (bytes_of_image(encoding, before) if before else 0)
        self._largest = max(self._largest, n_bytes)
        if self.needed_bytes > self.admitted_bytes:
            wanted = max(self.needed_bytes, int(STEP * self.admitted_bytes))
            self.ask(wanted)
            self.admitted_bytes = wanted
