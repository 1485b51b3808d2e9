"""XML whose elements know their lines, and problems that name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser

from nilatron.pipelines.chain.xml import MOST_LEVELS, ChainError, depth


class LocatedElement(Element):
    """An element with the line at which it begins; its name is without a namespace, to which Gadgetron gives no heed."""

    line = 0


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong at a line of a chain; not `fatal` if Gadgetron runs the chain nevertheless, as it was meant or not."""

    line: int
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}"


class _Builder(TreeBuilder):
    parser: Any = None

    def start(self, tag: Any, attrs: dict[Any, Any]) -> Element:
        element = super().start(tag.rpartition("}")[2], attrs)
        element.line = self.parser.CurrentLineNumber  # type: ignore[attr-defined]
        return element


def line_of(element: Element) -> int:
    """The line at which an element of `parse_located` begins."""
    return element.line if isinstance(element, LocatedElement) else 0


def parse_located(xml: bytes | str, name: str) -> LocatedElement:
    """The root of an XML document, all of whose elements are `LocatedElement`.

    Raises
    ------
    ChainError
        When it is not XML, or has a document type or entities.
    """
    builder = _Builder(element_factory=LocatedElement)
    parser = XMLParser(target=builder, forbid_dtd=True)
    builder.parser = parser.parser
    try:
        parser.feed(xml)
        root: LocatedElement = parser.close()
        if depth(root) > MOST_LEVELS:
            raise ChainError(f"chain {name!r} has elements within elements, more than {MOST_LEVELS} levels of them")
    except ChainError:
        raise
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise ChainError(f"chain {name!r} is not XML without document types and entities: {error}") from None
    return root
