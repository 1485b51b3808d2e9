"""Numbers and C structures of the protocol, little endian and packed."""

from __future__ import annotations

import struct
from enum import IntEnum

import numpy as np
from ismrmrd.hdf5 import image_header_dtype, waveform_header_dtype

from nilatron.gadgets.stock.types import HEADER_DTYPE

ACQUISITION_HEADER: np.dtype[np.void] = HEADER_DTYPE
IMAGE_HEADER: np.dtype[np.void] = np.dtype(image_header_dtype)
WAVEFORM_HEADER: np.dtype[np.void] = np.dtype(waveform_header_dtype)

U16 = struct.Struct("<H")
U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
QUERY = struct.Struct("<QQQ")  # reserved, correlation id, length
RESPONSE = struct.Struct("<QQ")  # correlation id, length
BUCKET = struct.Struct(
    "<13Q"
)  # lines, reference lines: (count, bytes of headers, samples, trajectories); stats; waveforms
SAMPLING = struct.Struct("<3f3f3H3H9H2x")  # fields of view, matrices, (first, centre, last) of three axes

CONFIG_NAME_BYTES = 1024

PIXEL_TYPES: dict[int, np.dtype[np.generic]] = {
    1: np.dtype("<u2"),
    2: np.dtype("<i2"),
    3: np.dtype("<u4"),
    4: np.dtype("<i4"),
    5: np.dtype("<f4"),
    6: np.dtype("<f8"),
    7: np.dtype("<c8"),
    8: np.dtype("<c16"),
}
PIXEL_CODES = {dtype: code for code, dtype in PIXEL_TYPES.items()}


class MessageId(IntEnum):
    """The first two bytes of every message."""

    CONFIG_NAME = 1
    CONFIG = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    QUERY = 6
    RESPONSE = 7
    ERROR = 8
    ACQUISITION = 1008
    DICOM = 1018
    IMAGE = 1022
    RECON_DATA = 1023
    IMAGE_ARRAY = 1024
    WAVEFORM = 1026
    BUCKET = 1050
