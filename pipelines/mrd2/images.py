"""Images and their attributes between MRD v2 and v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ismrmrd
import numpy as np

from nilatron.pipelines.mrd2.codec import Tagged
from nilatron.pipelines.mrd2.heads import (
    MAX_UINT16,
    Record,
    fill,
    small,
    stamp_fields,
    stamp_of,
    stamps_of,
    vector,
)
from nilatron.pipelines.wire.errors import MalformedError, UnsendableError, UnsupportedError
from nilatron.pipelines.wire.received_image import ReceivedImage, attributes_of, parse_attributes
from nilatron.pipelines.wire.structures import PIXEL_CODES, PIXEL_TYPES

VECTORS = (
    ("fieldOfView", "field_of_view"),
    ("position", "position"),
    ("colDir", "read_dir"),
    ("lineDir", "phase_dir"),
    ("sliceDir", "slice_dir"),
    ("patientTablePosition", "patient_table_position"),
)
INDICES = (
    ("average", "average"),
    ("slice", "slice"),
    ("contrast", "contrast"),
    ("phase", "phase"),
    ("repetition", "repetition"),
    ("set", "set"),
    ("imageIndex", "image_index"),
    ("imageSeriesIndex", "image_series_index"),
)
TAGS = {
    np.dtype("<u2"): "imageUint16",
    np.dtype("<i2"): "imageInt16",
    np.dtype("<u4"): "imageUint32",
    np.dtype("<i4"): "imageInt32",
    np.dtype("<f4"): "imageFloat",
    np.dtype("<f8"): "imageDouble",
    np.dtype("<c8"): "imageComplexFloat",
    np.dtype("<c16"): "imageComplexDouble",
}
IMAGE_TAGS = frozenset(tag.lower() for tag in TAGS.values())


def image_head_of(record: Record, shape: tuple[int, ...], dtype: np.dtype[Any]) -> ismrmrd.ImageHeader:
    """The head of an image with pixels (channel, z, y, x).

    Raises
    ------
    UnsupportedError
        When v1 has no room for a number.
    """
    if max(shape) > MAX_UINT16:
        raise UnsupportedError(f"an image of shape {shape}, and ISMRMRD v1 has room for {MAX_UINT16} along an axis")
    head = ismrmrd.ImageHeader()
    head.version, head.flags, head.data_type = 1, int(record["flags"]), PIXEL_CODES[dtype]
    head.channels, head.matrix_size[:] = shape[0], shape[:0:-1]
    head.measurement_uid, head.image_type = int(record["measurementUid"]), int(record["imageType"])
    head.acquisition_time_stamp = stamp_of(record, "acquisitionTimeStamp")
    head.physiology_time_stamp[:] = stamps_of(record, "physiologyTimeStamp")
    for name, own in INDICES:
        setattr(head, own, small(record, name))
    for name, own in VECTORS:
        getattr(head, own)[:] = record[name].tolist()
    fill(head.user_int, record["userInt"])
    fill(head.user_float, record["userFloat"])
    return head


def image_head_record(head: Any) -> Record:
    """The record of an image's head."""
    is_complex = PIXEL_TYPES.get(head.data_type, np.dtype("<f4")).kind == "c"
    known = ismrmrd.IMTYPE_MAGNITUDE <= head.image_type <= ismrmrd.IMTYPE_COMPLEX
    assumed = ismrmrd.IMTYPE_COMPLEX if is_complex else ismrmrd.IMTYPE_MAGNITUDE
    return {
        "flags": int(head.flags),
        "measurementUid": head.measurement_uid,
        **stamp_fields("acquisitionTimeStamp", int(head.acquisition_time_stamp)),
        **stamp_fields("physiologyTimeStamp", list(head.physiology_time_stamp)),
        "imageType": int(head.image_type) if known else assumed,
        **{name: int(getattr(head, own)) for name, own in INDICES},
        **{name: vector(getattr(head, own)) for name, own in VECTORS},
        "userInt": list(head.user_int),
        "userFloat": list(head.user_float),
    }


def image_of(record: Record) -> ReceivedImage:
    """An image.

    Raises
    ------
    MalformedError, UnsupportedError
        When its pixels are no image, or v1 has no room for a number.
    """
    pixels = record["data"]
    if pixels.ndim != 4 or pixels.dtype not in PIXEL_CODES:
        raise MalformedError(f"pixels of shape {pixels.shape} and type {pixels.dtype}; expected (channel, z, y, x)")
    head = image_head_of(record["head"], pixels.shape, pixels.dtype)
    attributes = attributes_xml(record["meta"])
    head.attribute_string_len = len(attributes)
    return ReceivedImage(bytearray(bytes(head)), attributes, pixels)


def image_record(image: ismrmrd.Image) -> Tagged:
    """The record of an image, with the name of its kind.

    Raises
    ------
    UnsendableError
        When v2 has no pixels of this type.
    """
    pixels = np.asarray(image.data)
    if pixels.dtype == np.int64 and not pixels.size:
        pixels = pixels.astype(np.int32)
    if pixels.dtype == np.int64 and np.array_equal(pixels, pixels.astype(np.int32)):  # what ismrmrd makes of int32
        pixels = pixels.astype(np.int32)
    if pixels.dtype not in TAGS:
        raise UnsendableError(f"an image of {pixels.dtype}; it must be one of {', '.join(map(str, TAGS))}")
    record = {"head": image_head_record(image.getHead()), "data": pixels, "meta": meta_of(attributes_of(image))}
    return Tagged(TAGS[pixels.dtype], record)


def attributes_xml(meta: Mapping[str, list[Any]]) -> bytes:
    """The attributes as XML; numbers become text."""
    if not meta:
        return b""
    values = {name: [str(entry.value) for entry in entries if entry is not None] for name, entries in meta.items()}
    made = ismrmrd.Meta({name: texts[0] if len(texts) == 1 else texts for name, texts in values.items() if texts})
    return bytes(made.serialize().encode())


def meta_of(attributes: bytes) -> dict[str, list[Tagged]]:
    """The attributes of XML as texts."""
    meta = {}
    for name, values in parse_attributes(attributes).items():
        texts = values if isinstance(values, list) else [values]
        meta[name] = [Tagged("string", str(text or "")) for text in texts]
    return meta
