"""The embedded host, which runs a chain inside this process; gadgets are generators that pass items to the next one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import ismrmrd

from nilatron.gadgets.items import Context, Gadget
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.statements import StatementCheck
from nilatron.pipelines.chain.find import Chain, ChainError, External, Node, ReaderOrWriter

NodeFactory: TypeAlias = Callable[[str, dict[str, str]], Gadget]

NODE_MODULE = "nilatron.pipelines.node"
KNOWN_READERS = (
    "AcquisitionReader",
    "WaveformReader",
    "GadgetIsmrmrdAcquisitionMessageReader",
    "GadgetIsmrmrdWaveformMessageReader",
)
KNOWN_WRITERS = ("ImageWriter", "MRIImageWriter")

_logger = logging.getLogger(__name__)


def default_node(target: str, properties: dict[str, str]) -> Gadget:
    """Our own node, made by `gadgets.node.build_node`."""
    from nilatron.gadgets.node import build_node  # imports all reconstructions, which not every chain needs

    return build_node(target, properties)


def build(chain: Chain, node_factory: NodeFactory = default_node) -> list[Gadget]:
    """Build the gadgets of a chain in their order.

    Stock gadgets come from `gadgets.stock.registry.STOCK_GADGETS`; `<execute name="nilatron.pipelines.node" target="…"/>`
    becomes `node_factory(target, properties)`. A chain cannot make this process import other code.

    Raises
    ------
    ChainError
        For any other gadget, program or port, unknown readers or writers, and properties that a gadget does not have.
    """
    _check_ports(chain, chain.readers, "reader", KNOWN_READERS)
    _check_ports(chain, chain.writers, "writer", KNOWN_WRITERS)
    try:
        return [_gadget(node, chain, node_factory) for node in chain.stream]
    except SettingsError as error:
        raise ChainError(f"chain {chain.name!r}: {error}") from error


def run_chain(
    chain: Chain, items: Iterable[Any], context: Context, node_factory: NodeFactory = default_node
) -> Iterator[ismrmrd.Image]:
    """Images that a chain makes of the items of a scan, one by one.

    Items at the end of the chain that are not images are dropped, counted in the scan's log and reported once in a warning.

    Parameters
    ----------
    chain
        The chain; its gadgets are built at once, before the first item is read.
    items
        `ismrmrd.Acquisition` and `ismrmrd.Waveform` in the order of the scan; they are read as images are requested.
    context
        Context of the scan.
    node_factory
        Function that builds our own node from target and properties.

    Raises
    ------
    ChainError
        When `build` refuses the chain.
    ScanError
        When `gadgets.statements.StatementCheck` refuses a line, as images are requested.
    """
    stream = StatementCheck()(items, context)
    for gadget in build(chain, node_factory):
        stream = gadget(stream, context)
    return _images(stream, context)


def _images(stream: Iterator[Any], context: Context) -> Iterator[ismrmrd.Image]:
    for item in stream:
        if isinstance(item, ismrmrd.Image):
            yield item
            continue
        count = f"{type(item).__name__} items at the end of the chain"
        if not context.log.counts[count]:
            _logger.warning("the chain ends in items that are no images (%s); left out", type(item).__name__)
        context.log.counts[count] += 1


def _check_ports(chain: Chain, ports: tuple[ReaderOrWriter, ...], kind: str, known: tuple[str, ...]) -> None:
    for port in ports:
        if port.classname not in known:
            raise ChainError(
                f"chain {chain.name!r}: unknown {kind} {port.classname!r}; the embedded host knows {', '.join(known)}"
            )


def _gadget(node: Node, chain: Chain, node_factory: NodeFactory) -> Gadget:
    if isinstance(node, External):
        return node_factory(_own_target(node, chain), dict(node.properties))
    from nilatron.gadgets.stock.registry import STOCK_GADGETS  # imports linear algebra, which not every chain needs

    if node.classname not in STOCK_GADGETS:
        raise ChainError(
            f"chain {chain.name!r}: unknown gadget {node.classname!r}; the embedded host has "
            f"{', '.join(STOCK_GADGETS)}. Send the data to a Gadgetron server for others"
        )
    return STOCK_GADGETS[node.classname](node.properties)


def _own_target(node: External, chain: Chain) -> str:
    """The target of our own node; other programs and connections are refused."""
    if node.kind == "connect":
        raise ChainError(
            f"chain {chain.name!r}: <connect> to {node.address}:{node.port} is not followed by the embedded host; use "
            f'<execute name="{NODE_MODULE}" target="…" type="python"/>, or send the data to a Gadgetron server'
        )
    if node.module != NODE_MODULE or node.language != "python":
        raise ChainError(
            f"chain {chain.name!r}: <execute name={node.module!r} type={node.language!r}> is not run by the embedded "
            f'host; it runs only <execute name="{NODE_MODULE}" target="…" type="python"/>'
        )
    return node.target
