"""All problems of a chain that is meant for a Gadgetron server, at once and with their lines.

To those of the grammar come the ones that Gadgetron does not see: it starts whatever program and target it is told, gives it
any property, and takes a program that ends without an image for one that had none to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import SequenceMatcher
from functools import partial
from xml.etree.ElementTree import Element

from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.node import build_node
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.chain.grammar import STOCK_CLASSES, grammar_problems
from nilatron.pipelines.chain.host import NODE_MODULE
from nilatron.pipelines.chain.located import Problem, line_of, parse_located
from nilatron.pipelines.chain.xml import LEGACY_ROOT

OWN_MODULES = (NODE_MODULE, f"{NODE_MODULE}.entry")
ALIKE = 0.85  # similarity of two names from which on one is taken for a slip in the other
READERS_OF_LINES = (
    "AcquisitionReader",
    "GadgetIsmrmrdAcquisitionMessageReader",
    "BufferReader",
    "AcquisitionBucketReader",
)
READERS_THAT_UNPACK = "GadgetIsmrmrdAcquisitionMessageReader"
UNREADABLE = (" cannot be ", ": expected one of ")  # of a value that no number, switch or dimension is made of
SOURCES = ("NoiseSummaryGadget",)  # gadgets that answer without input
LINES_SLOT = "1008"

_Properties = list[tuple[str, str, int]]  # name, value, line
_Build = Callable[[Mapping[str, str]], object]


def chain_problems(xml: bytes | str, name: str = "chain") -> list[Problem]:
    """Problems of a chain, in the order of their lines.

    Raises
    ------
    ChainError
        When it is not XML.
    """
    root = parse_located(xml, name)
    found = grammar_problems(root)
    if root.tag == LEGACY_ROOT:
        found.append(
            Problem(line_of(root), f"<{LEGACY_ROOT}> is the legacy form, which cannot hold our node", fatal=False)
        )
    found += [*_ports(root), *_nodes(root)]
    return sorted(set(found))


def _nodes(root: Element) -> Iterator[Problem]:
    for element in root.iter():
        if element.tag == "external":
            yield from _external(element)
        elif element.tag == "gadget":
            yield from _stock_gadget(element)


def _ports(root: Element) -> Iterator[Problem]:
    if root.tag == LEGACY_ROOT:
        readers, writers = root.findall("reader"), root.findall("writer")
    else:
        readers, writers = root.findall("readers/reader"), root.findall("writers/writer")
    group = root.find("readers")
    line = line_of(root if group is None else group)
    own = any(_module(execute) in OWN_MODULES for execute in root.iter("execute"))
    if not readers and all(_classname(gadget) in SOURCES for gadget in root.iter("gadget")) and not own:
        yield Problem(line, "no <reader>: nothing is read, which the gadgets of this chain do not need", fatal=False)
    elif not readers:
        yield Problem(line, "no <reader>: Gadgetron cannot read a single message; see `nilatron configs show nila`")
    elif own and not any(map(_reads_lines, readers)):
        yield Problem(line, f"no <reader> of lines for our node: add {READERS_THAT_UNPACK} of gadgetron_mricore")
    elif any(_classname(reader) == "AcquisitionReader" for reader in readers):
        text = f"AcquisitionReader cannot unpack compressed lines; {READERS_THAT_UNPACK} of gadgetron_mricore can"
        yield Problem(line, text, fatal=False)
    if not writers:
        yield Problem(line_of(root), "no <writer>: no image leaves Gadgetron", fatal=own)


def _reads_lines(reader: Element) -> bool:
    foreign = (reader.findtext("dll") or "").strip() not in STOCK_CLASSES
    is_slot = (reader.findtext("slot") or "").strip() == LINES_SLOT
    return foreign or is_slot or _classname(reader) in READERS_OF_LINES


def _classname(element: Element) -> str:
    return (element.findtext("classname") or "").strip()


def _module(execute: Element) -> str:
    return execute.get("name", "").strip()


def _external(element: Element) -> Iterator[Problem]:
    properties = _properties(element.find("configuration"))
    for execute in element.findall("execute"):
        module, target = _module(execute), execute.get("target", "").strip()
        if module in OWN_MODULES:
            yield from _own_node(execute, target, properties)
        elif module.partition(".")[0] == "nilatron" or SequenceMatcher(None, module, NODE_MODULE).ratio() > ALIKE:
            yield Problem(line_of(execute), f"there is no module {module!r} of ours; expected name={NODE_MODULE!r}")
            yield from _own_node(execute, target, properties)
        else:
            yield Problem(line_of(execute), f"module {module!r} is not ours, and was not checked", fatal=False)
    if element.find("connect") is not None:
        target = next((value for name, value, _ in properties if name == "target"), "nila")
        rest = [entry for entry in properties if entry[0] != "target"]
        for problem in _own_node(element, target, rest):
            yield Problem(problem.line, f"if `nilatron serve` is to answer: {problem.text}", fatal=False)


def _own_node(element: Element, target: str, properties: _Properties) -> Iterator[Problem]:
    if element.get("type", "python") != "python":
        yield Problem(line_of(element), f'our node is started by type="python", not {element.get("type")!r}')
    if target in METHODS:
        yield from _bad_properties(element, properties, partial(build_node, target))
    elif target:
        yield Problem(line_of(element), f"unknown target {target!r}: choose from {', '.join(METHODS)}")


def _stock_gadget(element: Element) -> Iterator[Problem]:
    make = STOCK_GADGETS.get(_classname(element))
    if make is None:
        return
    properties = [entry for entry in _properties(element) if "@" not in entry[1]]  # references to other gadgets
    for problem in _bad_properties(element, properties, make):
        if any(words in problem.text for words in UNREADABLE):
            yield problem
        else:
            text = f"Gadgetron overlooks this, and `nilatron replay` refuses it: {problem.text}"
            yield Problem(problem.line, text, fatal=False)


def _properties(element: Element | None) -> _Properties:
    found: _Properties = []
    for entry in [] if element is None else element.findall("property"):
        name, value = (entry.get(part, entry.findtext(part)) for part in ("name", "value"))
        if name is not None and value is not None:
            found.append((name.strip(), value, line_of(entry)))
    return found


def _bad_properties(element: Element, properties: _Properties, build: _Build) -> Iterator[Problem]:
    """Each property that cannot be used; where every one can, but not all of them together, that."""
    good: dict[str, str] = {}
    for name, value, line in properties:
        if name in good:
            yield Problem(line, f"property {name!r} is set twice")
        good[name] = value
    if _refusal(build, good) is None:
        return
    for name, value, line in properties:
        if (reason := _refusal(build, {name: value})) is not None:
            yield Problem(line, reason)
            good.pop(name, None)
    if (reason := _refusal(build, good)) is not None:
        yield Problem(line_of(element), reason)


def _refusal(build: _Build, properties: Mapping[str, str]) -> str | None:
    try:
        build(properties)
    except SettingsError as error:
        return str(error)
    return None
