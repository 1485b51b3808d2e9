"""Tolerant parser of ISMRMRD headers."""

from __future__ import annotations

import dataclasses
import logging
import re
import types
import typing
from enum import Enum
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import ismrmrd.xsd
import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from nilatron.pipelines.files.atomic import InputError

logger = logging.getLogger(__name__)

CARTESIAN = ("cartesian", "epi")


def parse_header(xml: bytes | str) -> Any:
    """Parse an ISMRMRD header, as far as it can be understood.

    Unknown elements and values that cannot be converted are left out (and logged), name spaces are ignored, and missing
    elements are None. A missing reconSpace is replaced by the encodedSpace, missing encodingLimits by empty ones.

    Returns
    -------
    `ismrmrd.xsd.ismrmrdHeader`

    Raises
    ------
    InputError
        When the header is not XML, holds no encoding, or an encoding has no usable matrix or is not Cartesian.
    """
    data = (xml.encode() if isinstance(xml, str) else bytes(xml)).rstrip(b"\0 \r\n\t")
    try:
        root = _root(data)
    except (ParseError, DefusedXmlException, LookupError) as error:
        raise InputError(
            f"the ISMRMRD header is not XML that can be read: {error}; it begins with {data[:40]!r}"
        ) from None
    header = _fill(ismrmrd.xsd.ismrmrdHeader, root)
    if not header.encoding:
        raise InputError(
            f"the ISMRMRD header (<{_name(root)}>) has no <encoding>: matrix size and field of view are unknown, "
            "so nothing can be reconstructed"
        )
    for number, encoding in enumerate(header.encoding):
        _check_encoding(encoding, number)
    return header


def _root(data: bytes) -> Element:
    try:
        root: Element = fromstring(data)
    except ParseError:
        # names of people and places are often not in the declared character set
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        root = fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    return root


def _check_encoding(encoding: Any, number: int) -> None:
    if problem := _space_problem(encoding.encodedSpace):
        raise InputError(f"encoding {number} of the ISMRMRD header: encodedSpace/{problem}")
    if problem := _space_problem(encoding.reconSpace):
        logger.warning("encoding %d has no complete reconSpace, its encodedSpace is taken: %s", number, problem)
        encoding.reconSpace = encoding.encodedSpace
    if encoding.encodingLimits is None:
        encoding.encodingLimits = ismrmrd.xsd.encodingLimitsType()
    _complete_limits(encoding.encodingLimits, number)
    trajectory = getattr(encoding.trajectory, "value", "cartesian")
    if trajectory not in CARTESIAN:
        raise InputError(
            f"encoding {number} of the ISMRMRD header has a {trajectory} trajectory; "
            "only Cartesian sampling (cartesian, epi) can be reconstructed"
        )


def _space_problem(space: Any) -> str | None:
    """What is wrong with the matrix or field of view of a space; None if nothing is."""
    for kind, unit in (("matrixSize", "pixels"), ("fieldOfView_mm", "mm")):
        values = [getattr(getattr(space, kind, None), axis, None) for axis in "xyz"]
        if not all(value is not None and 0 < value < np.inf for value in values):
            return f"{kind} must be three positive numbers ({unit}), got x, y, z = {', '.join(map(str, values))}"
    return None


def _complete_limits(limits: Any, number: int) -> None:
    """Remove limits without a maximum, and set a missing minimum or centre to 0."""
    for entry in dataclasses.fields(limits):
        limit = getattr(limits, entry.name)
        if limit is None:
            continue
        if limit.maximum is None:
            logger.warning("encoding %d: the limits of %s have no maximum; left out", number, entry.name)
            setattr(limits, entry.name, None)
        limit.minimum, limit.center = limit.minimum or 0, limit.center or 0


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _fill(kind: type[Any], element: Element) -> Any:
    """An object of the dataclass `kind`, filled from the children of an element."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        repeated, inner = _inner(hints[entry.name])
        children = [child for child in element if _name(child) == entry.name]
        found = [value for value in (_convert(inner, child) for child in children) if value is not None]
        values[entry.name] = found if repeated else (found[-1] if found else None)
    unknown = {_name(child) for child in element} - values.keys()
    if unknown:
        logger.info("ISMRMRD header: unknown in <%s>: %s", _name(element), ", ".join(sorted(unknown)))
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
        return _fill(typing.cast("type[Any]", kind), element)
    text = (element.text or "").strip()
    try:
        if kind is int:
            return int(float(text)) if not text.lstrip("+-").isdigit() else int(text)
        if kind is bytes:
            return text.encode()
        if isinstance(kind, type) and issubclass(kind, Enum):
            return next(member for member in kind if member.value.lower() == text.lower())
        return kind.from_string(text) if hasattr(kind, "from_string") else kind(text)
    except (ValueError, OverflowError, StopIteration):
        logger.warning("ISMRMRD header: <%s> cannot be %r; it is ignored", _name(element), text)
        return None
