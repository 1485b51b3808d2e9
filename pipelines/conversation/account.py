"""What came of a scan: its items, told apart from what has no meaning among them, and whether all images were made."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import ismrmrd

from nilatron.core.words import counted
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.known_noise import NOISE_STORED
from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.conversation.types import is_noise_or_waveform
from nilatron.pipelines.wire import Config, ConfigName, Dicom, Error, Header, ImageArray, Query, Response, Text

log = logging.getLogger(__name__)

PASSED = "images that were no raw data, passed on unchanged"


class IncompleteError(RuntimeError):
    """Images are missing, or were not made by the requested method."""


class ScanAccount:
    """Account of the items of one scan.

    Parameters
    ----------
    reader
        Reader of the scan's messages.
    name
        Name of the reconstruction, for messages.
    """

    def __init__(self, reader: EagerReader, name: str) -> None:
        self.reader, self.name = reader, name
        self._n_raw = 0

    def items(self, context: Context) -> Iterator[Any]:
        """The scan's items; their times of arrival go to the context.

        Raises
        ------
        ScanError
            For an error of the other end, and for messages that have no meaning among data.
        WireError
            When reading failed, after the last complete message.
        """
        for message in self.reader:
            if isinstance(message, Error):
                raise ScanError(f"the other end reports an error: {message.text}")
            if isinstance(message, ImageArray):
                raise ScanError(
                    "an ImageArray came, which has been reconstructed already: put this node before the reconstruction "
                    "of the chain, not behind it"
                )
            if isinstance(message, Config | ConfigName | Header | Response | Dicom):
                raise ScanError(f"a {type(message).__name__} message came among the data, where it has no meaning")
            if isinstance(message, Text | Query):
                context.log.counts["texts and queries, ignored"] += 1
                log.info("the other end says: %.500s", message.text)
                continue
            if isinstance(message, ismrmrd.Image):
                context.log.counts[PASSED] += 1
            elif not is_noise_or_waveform(message):
                self._n_raw += 1
            self._note_times(context)
            yield message
        self._note_times(context)

    def check(self, context: Context, n_images: int) -> None:
        """See that a scan of which so many images were sent is complete.

        Raises
        ------
        IncompleteError
            When it is not.
        """
        counts = context.log.counts
        expected, made = counts["images expected"], n_images - counts[PASSED]
        problems = list(context.log.problems)
        if counts[PASSED]:
            problems.append(
                f"{counted(counts[PASSED], 'image')} came in, passed on unchanged: this node reconstructs raw data; put "
                "it before the reconstruction of the chain"
            )
        if made < expected:
            raise IncompleteError(f"only {made} of {expected} images could be made: {'; '.join(problems)}")
        if problems:
            raise IncompleteError("; ".join(problems))
        if self.reader.n_messages == 0:
            raise IncompleteError(
                "no data came between header and CLOSE, so there are no images; where a gadget in front has failed, its own "
                "message is the reason"
            )
        if self._n_raw and not made:
            found = ", ".join(f"{n} {what}" for what, n in counts.items())
            raise IncompleteError(f"none of the {self._n_raw} items that came gave an image ({found or 'no lines'})")
        if not n_images and not counts[NOISE_STORED]:
            log.warning(
                "%s: only noise lines and waveforms came, so there are no images; --noise-store DIR keeps noise for the "
                "scans that depend on it",
                self.name,
            )

    def _note_times(self, context: Context) -> None:
        context.timing.arrived_s = self.reader.arrived_s
        if self.reader.ended_s is not None:
            context.timing.ended_s = self.reader.ended_s
