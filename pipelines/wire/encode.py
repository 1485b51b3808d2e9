"""Messages to bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.wire.compressed import COMPRESSION_FLAGS
from nilatron.pipelines.wire.encode_compound import bucket_parts, image_array_parts, recon_data_parts
from nilatron.pipelines.wire.encoding_parts import Part, length_prefixed, line_parts, raw, waveform_parts
from nilatron.pipelines.wire.errors import UnsendableError
from nilatron.pipelines.wire.messages import (
    Close,
    Config,
    ConfigName,
    Dicom,
    Error,
    Header,
    Message,
    Query,
    Response,
    Text,
)
from nilatron.pipelines.wire.received_image import attributes_of, keeps_attributes
from nilatron.pipelines.wire.structures import CONFIG_NAME_BYTES, PIXEL_CODES, QUERY, RESPONSE, U16, U32, U64, MessageId

_Encoder: TypeAlias = Callable[[Any], list[Part]]


def encode(message: Message) -> list[Part]:
    """The bytes of a message, in parts that follow each other; large arrays are views of the message's own memory.

    Raises
    ------
    UnsendableError
        When no message can carry it, or its header contradicts its arrays.
    """
    for kind, encoder in _ENCODERS:
        if isinstance(message, kind):
            return encoder(message)
    # buckets, buffers and image arrays of the PyPI package have the same attributes
    if hasattr(message, "bits"):
        return [_id(MessageId.RECON_DATA), *recon_data_parts(message)]
    if hasattr(message, "datastats"):
        return [_id(MessageId.BUCKET), *bucket_parts(message)]
    if hasattr(message, "acq_headers"):
        return [_id(MessageId.IMAGE_ARRAY), *image_array_parts(message)]
    raise UnsendableError(f"no message can carry {type(message).__name__}")


def _acquisition(line: ismrmrd.Acquisition) -> list[Part]:
    head, trajectory, samples = line_parts(line)
    if line._head.flags & COMPRESSION_FLAGS:  # the samples go out as they are
        plain = ismrmrd.AcquisitionHeader.from_buffer_copy(head)
        plain.flags &= ~COMPRESSION_FLAGS
        head = bytes(plain)
    return [_id(MessageId.ACQUISITION) + head, *([raw(trajectory)] if trajectory.size else []), raw(samples)]


def _waveform(waveform: ismrmrd.Waveform) -> list[Part]:
    head, samples = waveform_parts(waveform)
    return [_id(MessageId.WAVEFORM) + head, samples]


def _image(image: ismrmrd.Image) -> list[Part]:
    pixels = _pixels(image.data)
    head = image.getHead()
    x, y, z = head.matrix_size
    if pixels.shape != (head.channels, z, y, x):
        raise UnsendableError(f"image of shape {pixels.shape}, but its header says {(head.channels, z, y, x)}")
    head.data_type = PIXEL_CODES[pixels.dtype]
    attributes = attributes_of(image)
    if not keeps_attributes(image):
        head.attribute_string_len = len(attributes)
    return [_id(MessageId.IMAGE) + bytes(head) + U64.pack(len(attributes)) + attributes, raw(pixels)]


def _pixels(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if data.dtype == np.int64:  # what ismrmrd makes of the protocol's int32
        limits = np.iinfo(np.int32)
        if data.size and (data.min() < limits.min or data.max() > limits.max):
            raise UnsendableError("image with integers beyond 32 bits")
        data = data.astype("<i4")
    if data.dtype not in PIXEL_CODES:
        kinds = ", ".join(str(dtype) for dtype in PIXEL_CODES)
        raise UnsendableError(f"image of {data.dtype}; it must be one of {kinds}")
    return data


def _config_name(message: ConfigName) -> list[Part]:
    name = message.name.encode()
    if len(name) >= CONFIG_NAME_BYTES or b"\0" in name:
        raise UnsendableError(
            f"the name of a configuration must be shorter than {CONFIG_NAME_BYTES} bytes and without NUL, "
            f"not {message.name[:40]!r}… of {len(name)}"
        )
    return [_id(MessageId.CONFIG_NAME) + name.ljust(CONFIG_NAME_BYTES, b"\0")]


def _length_prefixed_encoder(number: MessageId, length: struct.Struct) -> _Encoder:
    def encoder(message: Any) -> list[Part]:
        return [_id(number) + length_prefixed(message.content, length)]

    return encoder


def _query(message: Query) -> list[Part]:
    head = QUERY.pack(message.reserved, message.correlation_id, len(message.content))
    return [_id(MessageId.QUERY) + head + message.content]


def _response(message: Response) -> list[Part]:
    head = RESPONSE.pack(message.correlation_id, len(message.content))
    return [_id(MessageId.RESPONSE) + head + message.content]


def _dicom(message: Dicom) -> list[Part]:
    rest = length_prefixed(message.name, U64) + length_prefixed(message.attributes, U64)
    return [_id(MessageId.DICOM) + U32.pack(len(message.content)), message.content, rest]


def _close(_: Close) -> list[Part]:
    return [_id(MessageId.CLOSE)]


def _id(number: MessageId) -> bytes:
    return U16.pack(number)


_ENCODERS: tuple[tuple[type[Any], _Encoder], ...] = (
    (ismrmrd.Acquisition, _acquisition),
    (ismrmrd.Image, _image),
    (ismrmrd.Waveform, _waveform),
    (Close, _close),
    (Error, _length_prefixed_encoder(MessageId.ERROR, U64)),
    (Text, _length_prefixed_encoder(MessageId.TEXT, U32)),
    (Header, _length_prefixed_encoder(MessageId.HEADER, U32)),
    (Config, _length_prefixed_encoder(MessageId.CONFIG, U32)),
    (ConfigName, _config_name),
    (Query, _query),
    (Response, _response),
    (Dicom, _dicom),
)
