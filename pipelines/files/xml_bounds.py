"""Bounds on XML from outside, found by reading through it, before anything is built from it."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from nilatron.core.errors import BadInputError

MAX_ELEMENTS, MAX_DEPTH = 60_000, 100


class TooMuchXmlError(BadInputError):
    """XML with more elements, or deeper, than anything that is read here."""


class _EnoughError(Exception):
    """The rest need not be read here."""


def check_xml(data: bytes | str, what: str) -> None:
    """Count elements; what is no XML is left to the parser that builds the tree.

    Raises
    ------
    TooMuchXmlError
        When there are more than 60,000 elements, or elements inside each other more than 100 deep.
    """
    parser, n_elements, depth = expat.ParserCreate(), 0, 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal n_elements, depth
        del name, attributes
        n_elements += 1
        depth += 1
        if n_elements > MAX_ELEMENTS:
            raise TooMuchXmlError(f"{what} has more than {MAX_ELEMENTS} elements")
        if depth > MAX_DEPTH:
            raise TooMuchXmlError(f"{what} has elements that are nested more than {MAX_DEPTH} deep")

    def end(name: str) -> None:
        nonlocal depth
        del name
        depth -= 1

    def entity(*_: Any) -> None:
        raise _EnoughError  # the other parser refuses entities

    parser.StartElementHandler, parser.EndElementHandler, parser.EntityDeclHandler = start, end, entity
    try:
        parser.Parse(data, True)
    except TooMuchXmlError:
        raise
    except (expat.ExpatError, _EnoughError, LookupError, ValueError):
        return
