"""How a scan begins: who calls, which chain with which properties, and for which header.

    Gadgetron's <connect>   CONFIG with the node's <configuration>, HEADER, items
    stock ISMRMRD client    FILENAME or CONFIG with a whole chain, HEADER, items
    FIRE                    FILENAME, HEADER, TEXT with JSON parameters, items; or the JSON as CONFIG

Names are looked up among the shipped chains and those of the configuration folders. Nothing that a peer says names code to
import or a file to open.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from nilatron import __version__
from nilatron.pipelines.chain.find import Chain, External, find_chain, parse_chain
from nilatron.pipelines.chain.xml import ChainError, parse_configuration
from nilatron.pipelines.files.xml_bounds import check_xml
from nilatron.pipelines.server.caller import Caller
from nilatron.pipelines.server.fire import OWN_PARAMETERS, PROPERTIES, fire_parameters
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.wire import Close, Config, ConfigName, Header, MalformedError, Message, Query, Response, Text

DEFAULT_CHAIN = "nila"
OPENRECON = "openrecon"  # what every OpenRecon scan asks for; the variable of this name says which chain is meant
STORE_ONLY_NAMES = ("savedataonly", "null")
MAX_NAME = 200


@dataclass(frozen=True)
class ScanRequest:
    """What a scan wants.

    Attributes
    ----------
    caller
        Who wants it.
    chain
        To run, with all properties in place.
    header
        ISMRMRD header as it came.
    """

    caller: Caller
    chain: Chain
    header: bytes


def read_request(
    connection: PeerConnection, config_dirs: tuple[Path, ...] = (), *, every_client_is_fire: bool = False
) -> ScanRequest | None:
    """Read what comes before the data; None when the caller only asked something, or nothing at all.

    FIRE is a client that sends parameters or asks for the configuration of OpenRecon; or every one, where that is said.

    Raises
    ------
    WireError
        When the stream breaks, or begins with something else.
    ChainError, SettingsError
        For a chain or parameters that cannot be used.
    """
    asked = _next(connection)
    if asked is None:
        return None
    connection.shared.caller = caller = caller_of(asked)
    header = _next(connection)
    if header is None:
        return None
    if not isinstance(header, Header):
        raise MalformedError(f"expected an ISMRMRD header after the configuration, got {type(header).__name__}")
    name, parameters = "", {}
    if isinstance(asked, ConfigName):
        name = asked.name
    elif caller is Caller.FIRE:
        parameters = fire_parameters(asked.stripped)
    if caller is Caller.CLIENT:
        extra = connection.receive()
        if isinstance(extra, Text) and extra.stripped.lstrip().startswith(b"{"):
            connection.shared.caller = caller = Caller.FIRE
            parameters = fire_parameters(extra.stripped)
        else:
            connection.put_back(extra)
            if every_client_is_fire or name.removesuffix(".xml") == OPENRECON:
                connection.shared.caller = caller = Caller.FIRE
    chain = _chain(asked, caller, name, parameters, config_dirs)
    return ScanRequest(caller, chain, header.content)


def _next(connection: PeerConnection) -> Message | None:
    """The next message, queries answered; None at the end."""
    while isinstance(message := connection.receive(), Query):
        known = {"gadgetron::info": f"Nilatron {__version__}", "gadgetron::info::version": __version__}
        connection.send(Response(known.get(message.text, "unknown query").encode(), message.correlation_id))
    return None if isinstance(message, Close) else message


def caller_of(asked: Message) -> Caller:
    """Who says this first.

    Raises
    ------
    MalformedError
        When it is no configuration.
    """
    if isinstance(asked, ConfigName):
        return Caller.CLIENT
    if not isinstance(asked, Config):
        raise MalformedError(
            f"expected a configuration first, by name or by content, got {type(asked).__name__}: is this an ISMRMRD client?"
        )
    content = asked.stripped.strip()
    if content.startswith(b"{"):
        return Caller.FIRE
    return Caller.CLIENT if _is_chain(content) else Caller.NODE


def _is_chain(xml: bytes) -> bool:
    try:
        check_xml(xml, "the configuration")
        root = defusedxml.ElementTree.fromstring(xml, forbid_dtd=True)
    except (DefusedXmlException, LookupError, SyntaxError, ValueError):
        return False
    return root.tag.endswith("gadgetronStreamConfiguration") or root.find("stream") is not None


def _chain(
    asked: Any, caller: Caller, name: str, parameters: Mapping[str, str], config_dirs: tuple[Path, ...]
) -> Chain:
    properties = {key: value for key, value in parameters.items() if key.lower() not in OWN_PARAMETERS}
    if caller is Caller.NODE:
        return node_chain(asked.stripped)
    if isinstance(asked, Config) and not parameters and not asked.stripped.lstrip().startswith(b"{"):
        sent = parse_chain(asked.stripped, "sent by the client")
        return with_properties(sent, PROPERTIES, {}) if caller is Caller.FIRE else sent
    wanted = parameters.get("customconfig") or parameters.get("config") or name or DEFAULT_CHAIN
    chain = chain_by_name(wanted, config_dirs)
    return with_properties(chain, PROPERTIES, properties) if caller is Caller.FIRE else chain


def node_chain(configuration: bytes) -> Chain:
    """The chain of one node with Gadgetron's `<configuration>`; its property `target` names the reconstruction.

    Raises
    ------
    ChainError
        When it is not XML.
    """
    text = configuration.strip()
    empty = not text or (text.startswith(b"<?xml") and text.endswith(b"?>"))  # what Gadgetron sends for none
    properties = {} if empty else parse_configuration(text, "of the node")
    target = properties.pop("target", DEFAULT_CHAIN)
    node = External("execute", module="nilatron.pipelines.node", target=target, properties=properties)
    return Chain(f"node {target}", (), (), (node,))


def chain_by_name(name: str, config_dirs: tuple[Path, ...] = ()) -> Chain:
    """A chain that is installed here.

    Raises
    ------
    ChainError
        When there is none of this name, or its file lies outside the configuration folders.
    """
    if name.removesuffix(".xml") == OPENRECON:
        name = os.environ.get(OPENRECON, DEFAULT_CHAIN)
    if name in STORE_ONLY_NAMES:
        raise ChainError(f"configuration {name!r} would only store raw data, which this server does not do")
    if len(name) > MAX_NAME or not name.isprintable() or "/" in name or "\\" in name:
        raise ChainError(f"{name[:MAX_NAME]!r} is not the name of a configuration: send a name without folders")
    found = find_chain(name, config_dirs, allow_paths=False)
    for folder in config_dirs:
        path = Path(found.location)
        if path.parent == folder and not path.resolve().is_relative_to(folder.resolve()):
            raise ChainError(f"configuration {name!r} is a link that leads out of the configuration folder")
    return parse_chain(found.xml, found.name)


def with_properties(chain: Chain, defaults: Mapping[str, str], properties: Mapping[str, str]) -> Chain:
    """The chain with properties of its own nodes set; the defaults only where nothing follows that wants other pixels.

    Raises
    ------
    ChainError
        When there is no node of ours to take them.
    """
    stream = list(chain.stream)
    for place, node in enumerate(stream):
        if isinstance(node, External):
            last = defaults if place == len(stream) - 1 else {}
            stream[place] = replace(node, properties={**node.properties, **last, **properties})
    if properties and not any(isinstance(node, External) for node in stream):
        raise ChainError(f"chain {chain.name!r} has no node of ours that could take {', '.join(properties)}")
    return replace(chain, stream=tuple(stream))
