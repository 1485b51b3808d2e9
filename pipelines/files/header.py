"""Tolerant parser of ISMRMRD headers."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import ismrmrd.xsd
import numpy as np
from defusedxml.common import DefusedXmlException

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header_xml import child_of, children, fill, local_name, root_of, text_of

logger = logging.getLogger(__name__)

CARTESIAN = ("cartesian", "epi")
MAX_PIXELS = 65535  # matrix sizes have 16 bits in image headers
MOST_TAGS = 200_000  # real headers have some thousand; each takes a hundred times its bytes when parsed
MAX_INDEX = 65535  # counters have 16 bits in the heads of lines


def parse_header(xml: bytes | str) -> Any:
    """Parse an ISMRMRD header, as far as it can be understood.

    Unknown elements and values that cannot be converted are left out (and logged), name spaces are ignored, and missing
    elements are None. A missing reconSpace is replaced by the encodedSpace, missing encodingLimits by empty ones, a missing
    matrix size z by 1, and a missing centre of limits by half the matrix. A trajectory that is not named is None; it is
    Cartesian unless the lines contradict it (see `gadgets.statements`).

    Returns
    -------
    `ismrmrd.xsd.ismrmrdHeader`

    Raises
    ------
    InputError
        When the header is not XML, holds no encoding, none that has a usable matrix, or none that is Cartesian. An encoding
        without a usable matrix beside others gets one of a single pixel, into which no line fits.
    """
    data = xml.encode("utf-8", "surrogateescape") if isinstance(xml, str) else bytes(xml)
    if (n_tags := data.count(b"<")) > MOST_TAGS:
        raise InputError(f"the ISMRMRD header has {n_tags} tags, more than {MOST_TAGS}")
    try:
        root = root_of(data)
    except (ParseError, DefusedXmlException) as error:
        raise InputError(
            f"the ISMRMRD header is not XML that can be read: {error}; it begins with {data[:40]!r}"
        ) from None
    header = fill(ismrmrd.xsd.ismrmrdHeader, root)
    if not header.encoding:
        raise InputError(
            f"the ISMRMRD header (<{local_name(root)}>) has no <encoding>: matrix size and field of view are unknown, "
            "so nothing can be reconstructed"
        )
    elements = list(children(root, "encoding"))
    _replace_unusable_spaces(header, elements)
    problems = []
    for number, (encoding, element) in enumerate(zip(header.encoding, elements, strict=True)):
        _complete_recon_space(encoding, element, number)
        _complete_limits(encoding, number)
        problems.append(_trajectory_problem(encoding, element, number))
    off_grid = [problem for problem in problems if problem is not None]
    if len(off_grid) == len(header.encoding):
        raise InputError(off_grid[0])
    for problem in off_grid:
        logger.warning("%s; its lines cannot be used", problem)
    return header


def _replace_unusable_spaces(header: Any, elements: list[Element]) -> None:
    """A single pixel in place of each encodedSpace that cannot be used, as long as no line needs it.

    Raises
    ------
    InputError
        When no encodedSpace can be used.
    """
    problems: list[str] = []
    for number, (encoding, element) in enumerate(zip(header.encoding, elements, strict=True)):
        _complete_z(encoding, element, number)
        if problem := _space_problem(encoding.encodedSpace, child_of(element, "encodedSpace")):
            problems.append(f"encoding {number} of the ISMRMRD header: encodedSpace/{problem}")
            encoding.encodedSpace = encoding.reconSpace = _pixel()
    if len(problems) == len(elements):
        raise InputError(problems[0])
    for problem in problems:
        logger.warning("%s; its lines cannot be used", problem)


def _pixel() -> Any:
    xsd = ismrmrd.xsd
    matrix, fov_mm = xsd.matrixSizeType(x=1, y=1, z=1), xsd.fieldOfViewMm(x=1.0, y=1.0, z=1.0)
    return xsd.encodingSpaceType(matrixSize=matrix, fieldOfView_mm=fov_mm)


def _complete_z(encoding: Any, element: Element, number: int) -> None:
    """Fill in a missing z of a matrix."""
    for name in ("encodedSpace", "reconSpace"):
        matrix = getattr(getattr(encoding, name), "matrixSize", None)
        if matrix is not None and not text_of(child_of(element, name, "matrixSize", "z")):
            logger.warning("encoding %d of the ISMRMRD header: %s/matrixSize has no z; 1 is taken", number, name)
            matrix.z = 1


def _complete_recon_space(encoding: Any, element: Element, number: int) -> None:
    """Fill in a missing reconSpace."""
    if problem := _space_problem(encoding.reconSpace, child_of(element, "reconSpace")):
        logger.warning("encoding %d has no complete reconSpace, its encodedSpace is taken: %s", number, problem)
        encoding.reconSpace = encoding.encodedSpace


def _space_problem(space: Any, element: Element | None) -> str | None:
    """What is wrong with the matrix or field of view of a space; None if nothing is."""
    for kind, unit, most in (
        ("matrixSize", f"whole, at most {MAX_PIXELS} pixels", MAX_PIXELS),
        ("fieldOfView_mm", "mm", np.inf),
    ):
        values = [getattr(getattr(space, kind, None), axis, None) for axis in "xyz"]
        if not all(value is not None and 0 < value <= most and np.isfinite(value) for value in values):
            texts = (
                text_of(child_of(element, kind, axis)) or str(value) for axis, value in zip("xyz", values, strict=True)
            )
            return f"{kind} must be three positive numbers ({unit}), got x, y, z = {', '.join(texts)}"
    return None


def _complete_limits(encoding: Any, number: int) -> None:
    """Remove limits that no line can satisfy, and fill in a missing minimum or centre."""
    if encoding.encodingLimits is None:
        encoding.encodingLimits = ismrmrd.xsd.encodingLimitsType()
    limits, matrix = encoding.encodingLimits, encoding.encodedSpace.matrixSize
    halves = {f"kspace_encoding_step_{step}": size // 2 for step, size in enumerate((matrix.x, matrix.y, matrix.z))}
    for entry in dataclasses.fields(limits):
        limit = getattr(limits, entry.name)
        if limit is None:
            continue
        limit.minimum = limit.minimum or 0
        if limit.maximum is None or not 0 <= limit.minimum <= limit.maximum <= MAX_INDEX:
            found = "no maximum" if limit.maximum is None else f"maximum {limit.maximum}, minimum {limit.minimum}"
            logger.warning("encoding %d: the limits of %s have %s; left out", number, entry.name, found)
            setattr(limits, entry.name, None)
        elif limit.center is None:
            half = halves.get(entry.name, 0)
            limit.center = half if limit.minimum <= half <= limit.maximum else (limit.minimum + limit.maximum + 1) // 2


def _trajectory_problem(encoding: Any, element: Element, number: int) -> str | None:
    """Why an encoding is not Cartesian, None if it may be; a missing trajectory is taken from the trajectoryDescription."""
    named = text_of(child_of(element, "trajectory"))
    described = text_of(child_of(element, "trajectoryDescription", "identifier"))
    if not named and "epi" in described.lower():
        encoding.trajectory = ismrmrd.xsd.trajectoryType.EPI
    elif not named and not described:
        encoding.trajectory = None
        logger.warning("encoding %d of the ISMRMRD header names no trajectory: Cartesian lines are assumed", number)
        return None
    elif encoding.trajectory is None:
        encoding.trajectory = ismrmrd.xsd.trajectoryType.OTHER
    if encoding.trajectory.value in CARTESIAN:
        return None
    return (
        f"encoding {number} of the ISMRMRD header has a {named or described} trajectory; "
        "only Cartesian sampling (cartesian, epi) can be reconstructed"
    )
