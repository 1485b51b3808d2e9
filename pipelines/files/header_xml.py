"""Parser of the XML of ISMRMRD headers, which accepts any character set, name space and spelling of numbers."""

from __future__ import annotations

import codecs
import dataclasses
import logging
import re
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from nilatron.pipelines.files.xml_bounds import TooMuchXmlError, check_xml

logger = logging.getLogger(__name__)

ROUNDED_RELATIVE, ROUNDED_ABSOLUTE = 0.01, 0.05  # largest rounding error of a whole number
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_WIDE = {  # first bytes of documents with two bytes per character
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    "<".encode("utf-16-le"): "utf-16-le",
    "<".encode("utf-16-be"): "utf-16-be",
}


def root_of(data: bytes) -> Element:
    """The root element of a document, which ends at the first NUL character.

    Raises
    ------
    ParseError, DefusedXmlException
        When the document is not XML, or has entities.
    TooMuchXmlError
        When it has too many elements.
    """
    for start, name in _WIDE.items():
        if data.startswith(start):
            return _parsed(data[: len(data) // 2 * 2].decode(name, "replace").partition("\0")[0])
    data = data.removeprefix(codecs.BOM_UTF8).partition(b"\0")[0].strip()
    try:
        check_xml(data, "the ISMRMRD header")
        root: Element = fromstring(data)
    except (TooMuchXmlError, DefusedXmlException):
        raise
    except (ParseError, LookupError, ValueError):
        # names of people and places are often not in the declared character set
        root = _parsed(_decoded(data))
    return root


def _parsed(text: str) -> Element:
    text = _DECLARATION.sub("", text.strip("\ufeff \r\n\t"))
    check_xml(text, "the ISMRMRD header")
    root: Element = fromstring(text)
    return root


def _decoded(data: bytes) -> str:
    declared = re.match(rb"""<\?xml[^>]*encoding=["']([\w.-]+)["']""", data)
    for name in ("utf-8", declared[1].decode("ascii") if declared else "latin-1"):
        try:
            return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("latin-1")


def local_name(element: Element) -> str:
    """Name of an element without its name space."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element | None, name: str) -> Iterator[Element]:
    """Children of an element that have this name, in any name space."""
    return (child for child in element if local_name(child) == name) if element is not None else iter(())


def child_of(element: Element | None, *names: str) -> Element | None:
    """Descendant of an element along a path of names; None if there is none."""
    for name in names:
        element = next(reversed(list(children(element, name))), None)
    return element


def text_of(element: Element | None) -> str:
    """Text of an element; empty if there is none."""
    return "" if element is None else (element.text or "").strip()


def whole_number(text: str) -> int:
    """The whole number in a text; rounding errors are removed, because some converters write 11.9996 instead of 12.

    Raises
    ------
    ValueError, OverflowError
        When the text is not a number, or not close to a whole number.
    """
    if text.lstrip("+-").isdigit():
        return int(text)
    value = float(text)
    nearest = round(value)
    if abs(value - nearest) > max(ROUNDED_ABSOLUTE, ROUNDED_RELATIVE * abs(nearest)):
        raise ValueError(f"{text} is not a whole number")
    return nearest


def fill(kind: type[Any], element: Element) -> Any:
    """An object of the dataclass `kind`, filled from the children of an element; missing values are None."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        repeated, inner = _inner(hints[entry.name])
        converted = (_convert(inner, child) for child in children(element, entry.name))
        found = [value for value in converted if value is not None]
        values[entry.name] = found if repeated else (found[-1] if found else None)
    unknown = {local_name(child) for child in element} - values.keys()
    if unknown:
        logger.info("ISMRMRD header: unknown in <%s>: %s", local_name(element), ", ".join(sorted(unknown)))
    return kind(**values)


def _inner(hint: Any) -> tuple[bool, Any]:
    """Whether a field repeats, and the type of one value: list[T] -> T, None | T -> T."""
    if typing.get_origin(hint) is list:
        return True, typing.get_args(hint)[0]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return False, next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return False, hint


def _convert(kind: Any, element: Element) -> Any:
    if dataclasses.is_dataclass(kind):
        return fill(typing.cast("type[Any]", kind), element)
    text = text_of(element)
    try:
        if kind is int:
            return whole_number(text)
        if kind is bytes:
            return text.encode()
        if isinstance(kind, type) and issubclass(kind, Enum):
            word = text.rpartition(".")[2].lower()  # Python writers have written trajectoryType.CARTESIAN
            return next(member for member in kind if member.value.lower() == word)
        return kind.from_string(text) if hasattr(kind, "from_string") else kind(text)
    except (ValueError, OverflowError, StopIteration):
        logger.warning("ISMRMRD header: <%s> cannot be %r; it is ignored", local_name(element), text)
        return None
