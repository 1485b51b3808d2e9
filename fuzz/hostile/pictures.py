"""Pictures to train on or to denoise."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from hostile.entering import hostile


def _png(path: Path, n_x: int, n_y: int, *, depth: int, colour: int) -> Path:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    row = bytes(1 + n_x * (depth // 8) * {0: 1, 2: 3, 6: 4}[colour])
    packer, packed = zlib.compressobj(9), []
    for _ in range(n_y):
        packed.append(packer.compress(row))
    packed.append(packer.flush())
    head = struct.pack(">IIBBBBB", n_x, n_y, depth, colour, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", b"".join(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return path


@hostile("images")
def a_picture_of_three_gigabytes(folder: Path) -> Path:
    return _png(folder / "bomb.png", 13_000, 13_000, depth=8, colour=6)


@hostile("images")
def a_picture_just_below_pillows_limit(folder: Path) -> Path:
    return _png(folder / "bomb.png", 9_000, 9_000, depth=16, colour=6)


@hostile("images")
def postscript_called_a_picture(folder: Path) -> Path:
    path = folder / "program.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\nshowpage\n%%EOF\n")
    return path


@hostile("images")
def a_tiff_called_a_picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "tiff.png"
    Image.new("L", (16, 16), 7).save(path, format="TIFF")
    return path
