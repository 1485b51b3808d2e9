"""First inputs of every target, made by the project itself."""

from __future__ import annotations

import io
import json
from importlib import resources

import ismrmrd
import mrd2_model
import numpy as np
from ismrmrd.xsd import ToXML

from nilatron.gadgets.items import Context
from nilatron.gadgets.node import build_node
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.mrd2.schema import parse_model
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.stream import v2
from nilatron.pipelines.wire import (
    Close,
    Config,
    ConfigName,
    Dicom,
    Error,
    Header,
    ImageArray,
    Message,
    Query,
    Response,
    Text,
    encode,
)
from nilatron.pipelines.wire.compressed import PACKED
from nilatron.pipelines.wire.structures import IMAGE_HEADER, U16, U32, MessageId

SCAN = SimulationSettings(matrix=(8, 8, 1), n_coils=1, noise_lines=2, waveform_every=4)
IN_FRONT = (
    ("AcquisitionAccumulateTriggerGadget", {"trigger_dimension": "repetition", "sorting_dimension": "slice"}),
    ("BucketToBufferGadget", {"split_slices": "true"}),
)
JSON = json.dumps({"version": "1", "parameters": {"config": "nila", "steps": 4, "customconfig": "", "on": True}})
NODE = '<configuration><property name="steps" value="3"/><property name="target" value="nila"/></configuration>'


def message_bytes(*messages: Message) -> bytes:
    """Messages as they go out."""
    return b"".join(bytes(part) for message in messages for part in encode(message))


def mrd2_bytes(version: str, header: str, items: list[Message]) -> bytes:
    """A stream of MRD v2 with these items."""
    file = io.BytesIO()
    outgoing = v2.Outgoing(file, parse_model(mrd2_model.schema(version)))
    outgoing.begin(header.encode())
    for item in items:
        outgoing.send(item)
    outgoing.end()
    return file.getvalue()


def seeds() -> dict[str, list[bytes]]:
    """Inputs for each target of `targets.TARGETS`."""
    scan_header, items = simulate_items(SCAN)
    xml = ToXML(scan_header)
    images = list(build_node("zero_filled", {})(iter(items), Context(scan_header)))
    stages = [items[:4]]
    stream = iter(items)
    for name, properties in IN_FRONT:
        made = list(STOCK_GADGETS[name](properties)(stream, Context(scan_header)))
        stages.append([item for item in made if not isinstance(item, ismrmrd.Waveform)])
        stream = iter(made)
    chains = [
        entry.read_bytes() for entry in resources.files("nilatron.xml_configs").iterdir() if entry.name.endswith(".xml")
    ]
    pixels = np.zeros((2, 2, 1, 1, 1, 1, 1), np.complex64, order="F")
    waveform = next(item for item in items if isinstance(item, ismrmrd.Waveform))
    array = ImageArray(pixels, np.zeros((1, 1, 1), IMAGE_HEADER, order="F"), [b"<a/>"], [waveform])
    texts = [Text.of("hello"), Error.of("no"), Query.of("gadgetron::info"), Response(b"1", 1), Dicom(b"D", b"n", b"m")]
    head = items[0].getHead()
    head.flags |= 1 << (ismrmrd.ACQ_COMPRESSION2 - 1)
    n_values = 2 * items[0].data.size
    content = PACKED.pack(n_values, 1.0, 4) + bytes(n_values // 2)
    compressed = U16.pack(MessageId.ACQUISITION) + bytes(head) + U32.pack(len(content)) + content
    buffers = [stage[0] for stage in stages[1:]]
    streams = [message_bytes(*stage, Close()) for stage in (*stages, items, images, texts)]
    begins = [ConfigName("cg_sense.xml"), Config.of(NODE), Config.of(JSON), Config(b"\0"), *map(Config, chains)]
    return {
        "wire": [message_bytes(*stage, Close()) for stage in (*stages, images, texts, begins, [Header.of(xml), array])]
        + [2 * compressed],
        "reader": [bytes([first]) + stream for first in (0, 200) for stream in streams],
        "header": [xml.encode(), xml.encode() + b"\0", xml.encode("utf-16")],
        "chain": [*chains, NODE.encode()],
        "parameters": [JSON.encode()],
        "mrd2": [
            mrd2_bytes(version, xml, scan)
            for version in ("2.1", "2.2")
            for scan in (items[:4], images, [*buffers, array, waveform])
        ],
        "attributes": [image.attribute_string.encode() for image in images] + [b"<ismrmrdMeta/>\0"],
        "opening": [
            message_bytes(begin, Header.of(xml), *extra)
            for begin in begins
            for extra in ([], [Text.of(JSON), *items[:1]], [Query.of("gadgetron::info")])
        ],
    }
