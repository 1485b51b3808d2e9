"""One scan between Gadgetron and a node, over the connection of the PyPI package `gadgetron`."""

from __future__ import annotations

import logging
from typing import Any

import ismrmrd

from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.pipelines.chain_xml import parse_configuration
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.header import parse_header

log = logging.getLogger(__name__)


def reconstruct(target: str, connection: Any) -> None:
    """Feed a node from the connection until its end and send the images back.

    Raises
    ------
    BadInputError
        For header, configuration or lines that cannot be used.
    RuntimeError
        When images that the scan should have given are missing.
    """
    properties = parse_configuration(connection.raw_bytes.config or b"<configuration/>", target)
    context = Context(parse_header(connection.raw_bytes.header), resolve_device("auto"))
    n_sent = 0
    for item in build_node(target, properties)(connection, context):
        if isinstance(item, ismrmrd.Image):
            connection.send(item)
            n_sent += 1
    expected = context.log.counts["images expected"]
    log.info("%d of %d images sent", n_sent, expected)
    if n_sent < expected:
        raise RuntimeError(f"only {n_sent} of {expected} images could be made: {'; '.join(context.log.problems)}")
