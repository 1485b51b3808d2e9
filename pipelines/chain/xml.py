"""Parser of Gadgetron chains: XML that lists readers, gadgets and writers.

The grammar is that of Gadgetron 4.7.2 for `<configuration>` with `<version>2</version>`, without the elements that a
host in one process cannot run (`parallel`, `distributed` and similar ones).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias
from xml.etree import ElementTree

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from nilatron.core.errors import BadInputError
from nilatron.pipelines.files.xml_bounds import TooMuchXmlError, check_xml

MOST_REFERENCES, MOST_LEVELS, MOST_BYTES = 32, 64, 4 << 20  # in a row; of elements within elements; of a chain
LEGACY_ROOT = "gadgetronStreamConfiguration"
_BRANCHING = ("parallel", "distributed", "parallelprocess", "puredistributed")


class ChainError(BadInputError):
    """A chain that does not exist, is not well formed, or needs something that this host does not support."""


@dataclass(frozen=True)
class ReaderOrWriter:
    """A `<reader>` or `<writer>`: its class, its library and, for a reader, the identifier of the messages that it reads."""

    classname: str
    dll: str
    slot: int | None = None


@dataclass(frozen=True)
class StockGadget:
    """A `<gadget>`: its class, library, name in the chain (by default that of the class) and properties."""

    classname: str
    dll: str
    name: str
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class External:
    """An `<external>`: a program to start ("execute") or a port to connect to ("connect").

    Attributes
    ----------
    module, target, language
        For "execute": the module, the callable in it, and the attribute `type`.
    address, port
        For "connect": where to connect.
    properties
        The `<property>` children of the configuration.
    configuration_xml
        The whole `<configuration>`, as the program receives it.
    readers, writers
        Classes of readers and writers; empty for Gadgetron's default.
    """

    kind: Literal["execute", "connect"]
    module: str = ""
    target: str = ""
    language: str = "python"
    address: str = ""
    port: int = 0
    properties: dict[str, str] = field(default_factory=dict)
    configuration_xml: str = "<configuration/>"
    readers: tuple[ReaderOrWriter, ...] = ()
    writers: tuple[ReaderOrWriter, ...] = ()


Node: TypeAlias = StockGadget | External


@dataclass(frozen=True)
class Chain:
    """A parsed chain: its name, readers and writers, and the nodes in the order of the stream."""

    name: str
    readers: tuple[ReaderOrWriter, ...]
    writers: tuple[ReaderOrWriter, ...]
    stream: tuple[Node, ...]


def parse_chain(xml: bytes | str, name: str = "chain") -> Chain:
    """Parse the XML of a chain.

    Entities and document types are refused. A property value `name@Gadget` is replaced by the property `name` of the gadget.

    Raises
    ------
    ChainError
        When the chain is wrong; the message names the element, what was expected and what to do.
    """
    root = _root(xml, name)
    _check_children(root, ("version", "readers", "writers", "stream"), name)
    version = (root.findtext("version") or "").strip()
    if version != "2":
        raise ChainError(f"chain {name!r}: expected <version>2</version> inside <configuration>, got {version!r}")
    stream = root.find("stream")
    if stream is None:
        raise ChainError(f"chain {name!r}: <configuration> has no <stream>; expected one with at least one node")
    nodes = _resolve_references([_node(element, name) for element in stream], name)
    if not nodes:
        raise ChainError(f"chain {name!r}: <stream> is empty; expected at least one <gadget> or <external>")
    return Chain(name, _ports(root, "reader", name), _ports(root, "writer", name), tuple(nodes))


def parse_configuration(xml: bytes | str, name: str) -> dict[str, str]:
    """Properties in the `<configuration>` of a node, the only part of the chain that Gadgetron sends to the node.

    Raises
    ------
    ChainError
        When the configuration is not XML, has another root element, or a property without name or value.
    """
    return _properties(_root(xml, name), name, name)


def _root(xml: bytes | str, name: str) -> ElementTree.Element:
    try:
        check_xml(xml, f"chain {name!r}")
        root: ElementTree.Element = defusedxml.ElementTree.fromstring(xml, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ChainError(
            f"chain {name!r} has a document type or entities, which are not allowed; remove them"
        ) from error
    except TooMuchXmlError as error:
        raise ChainError(str(error)) from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ChainError(f"chain {name!r} is not XML: {error}") from error
    if depth(root) > MOST_LEVELS:
        raise ChainError(f"chain {name!r} has elements within elements, more than {MOST_LEVELS} levels of them")
    tag = root.tag.rpartition("}")[2]
    if tag == LEGACY_ROOT:
        raise ChainError(
            f"chain {name!r} is in the legacy form (<{LEGACY_ROOT}>), which cannot hold <external> nodes; move its "
            "readers, writers and gadgets into <readers>, <writers> and <stream> of a <configuration> with "
            "<version>2</version>"
        )
    if root.tag != "configuration":
        raise ChainError(f"chain {name!r} has the root element <{tag}>; expected <configuration>")
    return root


def depth(root: ElementTree.Element) -> int:
    """Levels of elements, counted up to one more than `MOST_LEVELS`."""
    level, found = [root], 0
    while level and found <= MOST_LEVELS:
        level, found = [child for element in level for child in element], found + 1
    return found


def _check_children(element: ElementTree.Element, allowed: tuple[str, ...], where: str) -> None:
    for child in element:
        if child.tag not in allowed:
            raise ChainError(
                f"chain {where!r}: unknown element <{child.tag}> inside <{element.tag}>; allowed: "
                + ", ".join(f"<{tag}>" for tag in allowed)
            )


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise ChainError(f"chain {where!r}: <{element.tag}> has no <{tag}>; expected <{tag}>…</{tag}> inside it")
    return text


def _ports(parent: ElementTree.Element, kind: str, where: str) -> tuple[ReaderOrWriter, ...]:
    group = parent.find(f"{kind}s")
    if group is None:
        return ()
    _check_children(group, (kind,), where)
    ports = []
    for element in group:
        _check_children(element, ("slot", "dll", "classname"), where)
        slot = (element.findtext("slot") or "").strip()
        if slot and not slot.isdecimal():
            raise ChainError(f"chain {where!r}: <slot> of a <{kind}> is {slot!r}; expected a message identifier")
        ports.append(
            ReaderOrWriter(
                _text(element, "classname", where), _text(element, "dll", where), int(slot) if slot else None
            )
        )
    return tuple(ports)


def _node(element: ElementTree.Element, where: str) -> Node:
    if element.tag == "gadget":
        return _gadget(element, where)
    if element.tag == "external":
        return _external(element, where)
    if element.tag in _BRANCHING:
        raise ChainError(
            f"chain {where!r}: <{element.tag}> is not supported by the embedded host, which runs one gadget after the "
            "other; write the gadgets straight into <stream>, or send the data to a Gadgetron server"
        )
    raise ChainError(f"chain {where!r}: unknown element <{element.tag}> inside <stream>; allowed: <gadget>, <external>")


def _gadget(element: ElementTree.Element, where: str) -> StockGadget:
    _check_children(element, ("name", "dll", "classname", "property"), where)
    classname = _text(element, "classname", where)
    return StockGadget(
        classname=classname,
        dll=_text(element, "dll", where),
        name=(element.findtext("name") or "").strip() or classname,
        properties=_properties(element, classname, where),
    )


def _properties(element: ElementTree.Element, owner: str, where: str) -> dict[str, str]:
    properties: dict[str, str] = {}
    for entry in element.findall("property"):
        name = entry.get("name", entry.findtext("name"))
        value = entry.get("value", entry.findtext("value"))
        if not name or value is None:
            raise ChainError(
                f'chain {where!r}: a <property> of {owner} has no name or no value; expected <property name="…" '
                'value="…"/> or <property><name>…</name><value>…</value></property>'
            )
        if name.strip() in properties:
            raise ChainError(f"chain {where!r}: property {name.strip()!r} of {owner} is set twice; keep one")
        properties[name.strip()] = value
    return properties


def _external(element: ElementTree.Element, where: str) -> External:
    _check_children(element, ("execute", "connect", "configuration", "readers", "writers"), where)
    ways = [child for child in element if child.tag in ("execute", "connect")]
    if len(ways) != 1:
        raise ChainError(
            f"chain {where!r}: an <external> has {len(ways)} of <execute> and <connect>; expected exactly one of them"
        )
    configuration = element.find("configuration")
    node = _executed(ways[0], where) if ways[0].tag == "execute" else _connected(ways[0], where)
    node = replace(node, readers=_ports(element, "reader", where), writers=_ports(element, "writer", where))
    if configuration is None:
        return node
    return replace(
        node,
        properties=_properties(configuration, node.module or f"port {node.port}", where),
        configuration_xml=ElementTree.tostring(configuration, encoding="unicode").strip(),
    )


def _executed(element: ElementTree.Element, where: str) -> External:
    module = element.get("name", "").strip()
    if not module:
        raise ChainError(f'chain {where!r}: <execute> has no name; expected name="package.module"')
    target = element.get("target", "").strip()
    if not target:
        raise ChainError(f'chain {where!r}: <execute name="{module}"> has no target; expected target="…"')
    return External("execute", module=module, target=target, language=element.get("type", "python").strip())


def _connected(element: ElementTree.Element, where: str) -> External:
    port = element.get("port", "").strip()
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise ChainError(f"chain {where!r}: <connect> has port {port!r}; expected a number from 1 to 65535")
    return External("connect", address=element.get("address", "localhost").strip(), port=int(port))


def _resolve_references(nodes: list[Node], where: str) -> list[Node]:
    """The nodes with references `property@Gadget` in their properties replaced by the values."""
    gadgets = {node.name: node for node in reversed(nodes) if isinstance(node, StockGadget)}

    def value(text: str, seen: tuple[str, ...]) -> str:
        prop, at, other = text.partition("@")
        if not at:
            return text
        if text in seen:
            raise ChainError(f"chain {where!r}: the property reference {text!r} leads back to itself")
        if len(seen) > MOST_REFERENCES:
            raise ChainError(
                f"chain {where!r}: more than {MOST_REFERENCES} property references lead from one to the next"
            )
        if other not in gadgets:
            raise ChainError(
                f"chain {where!r}: {text!r} refers to gadget {other!r}; the chain has: {', '.join(sorted(gadgets))}"
            )
        if prop not in gadgets[other].properties:
            raise ChainError(f"chain {where!r}: {text!r} refers to property {prop!r}, which {other} does not set here")
        return value(gadgets[other].properties[prop], (*seen, text))

    return [
        replace(node, properties={name: value(text, ()) for name, text in node.properties.items()})
        if isinstance(node, StockGadget)
        else node
        for node in nodes
    ]
