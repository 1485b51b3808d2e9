"""The header of a scan between MRD v2, a record, and v1, XML: by the names of fields, which differ in case and underscores.

Whatever one side alone has is left out, and told. Numbers of 32 bits become the shortest decimal number that they stand for,
so that a value of the XML comes back as it was.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import logging
import typing
from enum import Enum
from functools import cache
from typing import Any
from xml.etree.ElementTree import ParseError

import ismrmrd.xsd
import numpy as np
from defusedxml.common import DefusedXmlException
from xsdata.models.datatype import XmlDate, XmlTime

from nilatron.pipelines.files.header_xml import fill, root_of
from nilatron.pipelines.mrd2.codec import Codec, FloatCodec
from nilatron.pipelines.mrd2.compounds import EnumCodec, ListCodec, OptionalCodec, RecordCodec
from nilatron.pipelines.mrd2.heads import DAY_NS, Record
from nilatron.pipelines.wire.errors import MalformedError

log = logging.getLogger(__name__)

EPOCH = datetime.date(1970, 1, 1).toordinal()
SECOND_NS = 10**9
USUAL_POSITION = "hfs"  # where v1 has none and v2 demands one: head first, supine


def header_xml(record: Record, codec: Codec) -> bytes:
    """The header of v1, as XML, of a record of v2.

    Raises
    ------
    MalformedError
        When what v1 demands is missing or cannot be converted.
    """
    lost: list[str] = []
    header = _from_record(record, inner_of(codec), ismrmrd.xsd.ismrmrdHeader, "", lost)
    if header is None:
        raise MalformedError(f"the header lacks what ISMRMRD v1 demands: {', '.join(lost)}")
    _tell(lost, "v1")
    try:
        return bytes(ismrmrd.xsd.ToXML(header).encode("ascii", "xmlcharrefreplace"))  # as it declares
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedError(f"the header cannot be written as XML: {error}") from None


def header_record(xml: bytes, codec: Codec) -> Record:
    """The record of v2 of a header of v1.

    Raises
    ------
    MalformedError
        When it is not XML.
    """
    try:
        header = fill(ismrmrd.xsd.ismrmrdHeader, root_of(xml.rstrip(b"\0")))
    except (ParseError, DefusedXmlException) as error:
        raise MalformedError(f"the ISMRMRD header is not XML that can be read: {error}") from None
    lost: list[str] = []
    record: Record = _to_record(header, inner_of(codec), "", lost)
    _tell(lost, "v2")
    return record


def inner_of(codec: Codec) -> RecordCodec:
    """The record behind a value that may be absent.

    Raises
    ------
    MalformedError
        When the schema's header is none.
    """
    codec = codec.inner if isinstance(codec, OptionalCodec) else codec
    if not isinstance(codec, RecordCodec):
        raise MalformedError("the schema's header is no record")
    return codec


def _tell(lost: list[str], side: str) -> None:
    if lost:
        log.warning("parts of the header that MRD %s has no place for: %s", side, ", ".join(lost))


def plain(name: str) -> str:
    """A name without case and underscores: kspaceEncodingStep1, kspace_encoding_step_1."""
    return name.replace("_", "").lower()


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _from_record(value: Any, codec: Codec, hint: Any, path: str, lost: list[str]) -> Any:
    """A value of v2 as one of v1 of this type; None where it cannot be."""
    if value is None:
        return None
    if isinstance(codec, OptionalCodec):
        codec = codec.inner
    hint = next((kind for kind in typing.get_args(hint) if kind is not type(None)), hint) if _is_union(hint) else hint
    if isinstance(codec, RecordCodec) and dataclasses.is_dataclass(hint):
        return _instance(value, codec, typing.cast(type, hint), path, lost)
    if isinstance(codec, ListCodec) and typing.get_origin(hint) is list:
        items = [_from_record(item, codec.items, typing.get_args(hint)[0], path, lost) for item in value]
        return [item for item in items if item is not None]
    try:
        return _plain_value(value, codec, hint)
    except (ValueError, TypeError, OverflowError, binascii.Error):
        lost.append(f"{path.rstrip('.')} = {value!r:.40}")
        return None


def _instance(record: Record, codec: RecordCodec, kind: type, path: str, lost: list[str]) -> Any:
    own = {plain(field.name): field for field in dataclasses.fields(kind)}
    values = {}
    for name, inner in codec.fields.items():
        field = own.get(plain(name))
        if field is None:
            if record[name] not in (None, [], ""):
                lost.append(f"{path}{name}")
            continue
        found = _from_record(record[name], inner, _hints(kind)[field.name], f"{path}{name}.", lost)
        if found is not None:
            values[field.name] = found
    try:
        return kind(**values)
    except TypeError:  # a field that v1 demands
        lost.append(path.rstrip(".") or "header")
        return None


def _plain_value(value: Any, codec: Codec, hint: Any) -> Any:
    if isinstance(codec, EnumCodec):
        word = plain(codec.words[value]) if value in codec.words else str(value)
        if hint is str:
            return word.upper()
        return _member(hint, word) if _is_enum(hint) else int(value)
    if hint is XmlDate:
        day = datetime.date.fromordinal(value + EPOCH)
        return XmlDate(day.year, day.month, day.day)
    if hint is XmlTime:
        seconds, nanoseconds = divmod(value % DAY_NS, SECOND_NS)
        return XmlTime(seconds // 3600, seconds // 60 % 60, seconds % 60, nanoseconds)
    if hint is bytes:
        return base64.b64decode(value, validate=True)
    if hint is float and isinstance(codec, FloatCodec):
        return float(str(codec.dtype.type(value)))
    return hint(value)


def _to_record(value: Any, codec: Codec, path: str, lost: list[str]) -> Any:
    """A value of v1 as one of v2 of this type; its default where there is none or it cannot be."""
    if value is None:
        is_position = isinstance(codec, EnumCodec) and plain(path) == "measurementinformation.patientposition."
        return _word(codec, USUAL_POSITION) if is_position and isinstance(codec, EnumCodec) else codec.default()
    if isinstance(codec, OptionalCodec):
        return _to_record(value, codec.inner, path, lost)
    if isinstance(codec, RecordCodec):
        theirs = {plain(name): (name, inner) for name, inner in codec.fields.items()}
        record = codec.default()
        for field in dataclasses.fields(value):
            found = getattr(value, field.name)
            if plain(field.name) in theirs:
                name, inner = theirs[plain(field.name)]
                record[name] = _to_record(found, inner, f"{path}{name}.", lost)
            elif found not in (None, []):
                lost.append(f"{path}{field.name}")
        return record
    if isinstance(codec, ListCodec):
        return [_to_record(item, codec.items, path, lost) for item in value]
    try:
        return _plain_entry(value, codec)
    except (ValueError, TypeError, LookupError):
        lost.append(f"{path.rstrip('.')} = {value!r:.40}")
        return codec.default()


def _plain_entry(value: Any, codec: Codec) -> Any:
    if isinstance(codec, EnumCodec):
        return _word(codec, str(value.value if isinstance(value, Enum) else value))
    if isinstance(value, XmlDate):
        return datetime.date(value.year, value.month, value.day).toordinal() - EPOCH
    if isinstance(value, XmlTime):
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return seconds * SECOND_NS + value.fractional_second
    if isinstance(value, bytes):  # base64, as it stands in the XML
        return value.decode("ascii")
    if isinstance(codec, FloatCodec):
        return float(np.asarray(value, codec.dtype))
    return value


def _word(codec: EnumCodec, word: str) -> int:
    return {plain(symbol): number for symbol, number in codec.symbols.items()}[plain(word)]


def _member(kind: type[Enum], word: str) -> Enum:
    members = {plain(str(member.value)): member for member in kind}
    if word not in members:
        raise ValueError(f"{word!r} is no {kind.__name__}")
    return members[word]


def _is_union(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Enum)
