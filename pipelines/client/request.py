"""Request of a client to a server: the server's address, the chain, and the number of images to expect."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ismrmrd

from nilatron.gadgets.encoding import encoding_of, has_separate_calibration
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.placement import ImageKey, image_key
from nilatron.pipelines.chain.find import ChainError, find_chain, list_chains, parse_chain
from nilatron.pipelines.chain.series import series_per_slice
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.wire import Config, ConfigName
from nilatron.pipelines.wire.structures import CONFIG_NAME_BYTES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Host and port of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Address from a text HOST:PORT, with an IPv6 host in brackets.

    Raises
    ------
    InputError
        When the text has another form.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or (":" in host and not bracketed):
        raise InputError(f"expected an address HOST:PORT such as localhost:9002, got {text!r}")
    return Address(host.strip("[]"), int(port))


@dataclass(frozen=True)
class Request:
    """The requested chain.

    Attributes
    ----------
    message
        Message with the name of the chain, which the server looks up, or with its XML.
    series_per_slice
        Number of images of each slice, as far as the client can know it.
    """

    message: Config | ConfigName
    series_per_slice: int = 1


def request_for(name_or_path: str) -> Request:
    """Request for a chain: by its XML for the path of a file, by its name for a shipped or another name.

    A file that lies there takes precedence over the shipped chain of its name. Shipped names are sent with ".xml", because a
    Gadgetron looks for files.

    Raises
    ------
    InputError
        For a file that cannot be read, or a name that does not fit into the message.
    """
    name = name_or_path.removesuffix(".xml")
    path = Path(name_or_path)
    if name in list_chains() and (name == name_or_path or not path.is_file()):
        xml = find_chain(name).xml
        return Request(ConfigName(f"{name}.xml"), series_of(xml))
    try:
        if path.is_file():
            if name in list_chains():
                log.warning("%s is sent, not the name of the shipped chain", path.resolve())
            xml = path.read_bytes()
            return Request(Config(xml), series_of(xml))
    except OSError as error:
        raise InputError(f"{name_or_path!r} cannot be read: {error.strerror}") from error
    if not name_or_path or len(name_or_path.encode()) >= CONFIG_NAME_BYTES or "/" in name_or_path:
        raise InputError(f"{name_or_path!r} is neither a file nor a name that a server could know")
    return Request(ConfigName(name_or_path))


def series_of(xml: bytes) -> int:
    """Number of images that the XML of a chain makes of each slice; 1 for chains that only the server understands."""
    try:
        return series_per_slice(parse_chain(xml))
    except ChainError:
        return 1


@dataclass
class SliceCounter:
    """Counter of the slices among the items that have passed."""

    header: Any
    slices: set[ImageKey] = field(default_factory=set)

    def count(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, unchanged; their slices are counted."""
        for item in items:
            if isinstance(item, ismrmrd.Acquisition) and _is_imaging(item, self.header):
                self.slices.add(image_key(item))
            yield item


def _is_imaging(line: ismrmrd.Acquisition, header: Any) -> bool:
    kind = kind_of(line.flags)
    if kind is LineKind.CALIBRATION:
        return not has_separate_calibration(encoding_of(header, line.encoding_space_ref))
    return kind is LineKind.IMAGING
