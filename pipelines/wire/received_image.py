"""Images that keep the bytes of their attributes."""

from __future__ import annotations

import logging
from typing import Any
from xml.etree.ElementTree import ParseError

import ismrmrd
import numpy.typing as npt
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

logger = logging.getLogger(__name__)


class ReceivedImage(ismrmrd.Image):  # type: ignore[misc]
    """An `ismrmrd.Image` that came over the wire.

    Its attributes are parsed when they are first asked for (external entities and definitions are refused), and go out
    again as the bytes that came unless they were changed. Unlike its parent it can hold int32 pixels.
    """

    def __init__(self, head: bytearray, attributes: bytes, pixels: npt.NDArray[Any]) -> None:
        self._head = ismrmrd.ImageHeader.from_buffer(head)
        self._Image__data = pixels  # the parent's own name; its constructor copies, and takes int32 for int64
        self.received_attributes = self._raw_attributes = attributes
        self._parsed: ismrmrd.Meta | None = None
        self._unchanged = ""

    def __repr__(self) -> str:
        return f"Image(head={self._head!r},meta={self.meta!r},data={self.data!r})"

    @property
    def meta(self) -> ismrmrd.Meta:
        """Attributes of the image."""
        if self._parsed is None:
            self._parsed = parse_attributes(self._raw_attributes)
            self._unchanged = self._parsed.serialize()
        return self._parsed

    @meta.setter
    def meta(self, value: dict[str, Any]) -> None:
        self._parsed = ismrmrd.Meta(value)
        self._raw_attributes = self._parsed.serialize().encode()
        self._unchanged = self._parsed.serialize()

    @property
    def attribute_string(self) -> str:
        """Attributes of the image, as XML."""
        return self.attribute_bytes.rstrip(b"\0").decode(errors="replace")

    @attribute_string.setter
    def attribute_string(self, value: str) -> None:
        self._raw_attributes, self._parsed = value.encode(), None

    @property
    def attribute_bytes(self) -> bytes:
        """What to send: the bytes that came, unless the attributes were changed since."""
        if self._parsed is not None and (now := self._parsed.serialize()) != self._unchanged:
            return bytes(now.encode())
        return self._raw_attributes


def parse_attributes(xml: bytes) -> ismrmrd.Meta:
    """Image attributes as `ismrmrd.Meta`; those that cannot be read are left out, with a warning."""
    meta = ismrmrd.Meta()
    xml = xml.rstrip(b"\0 \r\n\t")
    if not xml:
        return meta
    try:
        root = fromstring(xml)
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        logger.warning("the attributes of an image cannot be read: %s", error)
        return meta
    for entry in root.iterfind("{*}meta"):
        name = entry.findtext("{*}name")
        values = [value.text for value in entry.iterfind("{*}value")]
        if name is None or not values:
            continue
        before = meta.get(name, [])
        together = [*(before if isinstance(before, list) else [before]), *values]
        meta[name] = together[0] if len(together) == 1 else together
    return meta


def attributes_of(image: ismrmrd.Image) -> bytes:
    """The attributes of any image, as bytes."""
    if isinstance(image, ReceivedImage):
        return image.attribute_bytes
    return bytes(image.attribute_string.encode())


def keeps_attributes(image: ismrmrd.Image) -> bool:
    """Whether the image goes out with the attributes it came with, and so with the length in its header."""
    return isinstance(image, ReceivedImage) and image.attribute_bytes is image.received_attributes
