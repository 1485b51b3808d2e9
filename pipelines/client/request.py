"""What a client asks of a server: where it is, which chain, and how many images that should give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ismrmrd

from nilatron.gadgets.encoding import encoding_of, has_separate_calibration
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.placement import ImageKey, image_key
from nilatron.pipelines.chain.find import Chain, ChainError, External, find_chain, list_chains, parse_chain
from nilatron.pipelines.chain.host import NODE_MODULE
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.wire import Config, ConfigName
from nilatron.pipelines.wire.structures import CONFIG_NAME_BYTES


@dataclass(frozen=True)
class Address:
    """A server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """HOST:PORT, with an IPv6 host in brackets.

    Raises
    ------
    InputError
        When it is something else.
    """
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or (":" in host and not bracketed):
        raise InputError(f"expected an address HOST:PORT such as localhost:9002, got {text!r}")
    return Address(host.strip("[]"), int(port))


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    message
        The chain by name, which the server looks up, or by content.
    series_per_slice
        Images of each slice, as far as this end can know it.
    """

    message: Config | ConfigName
    series_per_slice: int = 1


def request_for(name_or_path: str) -> Request:
    """A chain by content if this is the path of a file and no shipped name, else by name.

    Shipped names are sent with ".xml", as a Gadgetron looks for files.

    Raises
    ------
    InputError
        For a file that cannot be read, or a name that does not fit into its message.
    """
    shipped = name_or_path.removesuffix(".xml") in list_chains()
    if shipped:
        xml = find_chain(name_or_path).xml
        return Request(ConfigName(f"{name_or_path.removesuffix('.xml')}.xml"), series_of(xml))
    try:
        if (path := Path(name_or_path)).is_file():
            xml = path.read_bytes()
            return Request(Config(xml), series_of(xml))
    except OSError as error:
        raise InputError(f"{name_or_path!r} cannot be read: {error.strerror}") from error
    if not name_or_path or len(name_or_path.encode()) >= CONFIG_NAME_BYTES or "/" in name_or_path:
        raise InputError(f"{name_or_path!r} is neither a file nor a name that a server could know")
    return Request(ConfigName(name_or_path))


def series_of(xml: bytes) -> int:
    """Images that a chain gives of each slice: as many as our node has series; 1 for other chains."""
    try:
        chain = parse_chain(xml)
    except ChainError:  # a server may understand more than this end
        return 1
    return max((len(series) for series in _own_series(chain)), default=1)


def _own_series(chain: Chain) -> Iterator[tuple[str, ...]]:
    for node in chain.stream:
        if isinstance(node, External) and node.module == NODE_MODULE and node.target in METHODS:
            default = getattr(METHODS[node.target].settings_class(), "series", ("nila",))
            given = tuple(part for part in node.properties.get("series", "").split(",") if part.strip())
            yield given or default


@dataclass
class SliceCount:
    """How many slices there are among the items that were asked for."""

    header: Any
    slices: set[ImageKey] = field(default_factory=set)

    def watch(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, unchanged."""
        for item in items:
            if isinstance(item, ismrmrd.Acquisition) and _is_imaging(item, self.header):
                self.slices.add(image_key(item))
            yield item


def _is_imaging(line: ismrmrd.Acquisition, header: Any) -> bool:
    kind = kind_of(line.flags)
    if kind is LineKind.CALIBRATION:
        return not has_separate_calibration(encoding_of(header, line.encoding_space_ref))
    return kind is LineKind.IMAGING
