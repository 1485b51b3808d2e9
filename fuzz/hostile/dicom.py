"""DICOM references."""

from __future__ import annotations

import struct
from pathlib import Path

from hostile.entering import hostile


@hostile("dicom")
def a_dicom_file_of_deep_sequences(folder: Path) -> Path:
    path = folder / "a.dcm"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x40\x00\x60\xa1SQ\x00\x00\xff\xff\xff\xff" + item
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    path.write_bytes(
        bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta + sequence * 3000
    )
    return path


@hostile("dicom")
def a_dicom_file_of_a_long_value(folder: Path) -> Path:
    path = folder / "a.dcm"
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    value = b"\x10\x00\x10\x00UN\x00\x00" + struct.pack("<I", 0xFFFFFFF0) + b"x"
    path.write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta + value)
    return path
