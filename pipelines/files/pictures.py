"""Reading PNG pictures and npy files, without more memory than their files promise, and nothing else under their names."""

from __future__ import annotations

import struct
import tokenize
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nilatron.pipelines.files.sizes import MOST_PIXELS

AnyArray = npt.NDArray[Any]

UNREADABLE = (  # what Pillow and NumPy raise on a damaged file
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    EOFError,
    RecursionError,
    MemoryError,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    Image.DecompressionBombError,
)


def read_png(path: Path, mode: str | None = None) -> AnyArray:
    """Pixels (y, x) of a grey picture, or of the brightness of a coloured one.

    Parameters
    ----------
    path
        A file whose content is PNG: Pillow would open forty other formats, one of them by running another program.
    mode
        Of Pillow, into which the picture is converted; by default "L", unless its pixels have more than 8 bits.

    Raises
    ------
    Any of `UNREADABLE`
        When it is no such picture, or has more than `MOST_PIXELS`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are more than {MOST_PIXELS}")
            is_deep = picture.mode.startswith(("I", "F"))
            return np.asarray(picture if is_deep and mode is None else picture.convert(mode or "L"))


def read_npy(path: Path) -> AnyArray:
    """The array of an npy file, which stays in the file until it is looked at.

    Raises
    ------
    Any of `UNREADABLE`
        When it is no such file, holds objects, or less than it claims.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
        claimed = dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
        stored = path.stat().st_size - file.tell()
        if dtype.hasobject or dtype.itemsize == 0 or min(shape, default=1) < 0 or claimed > stored:
            raise ValueError(f"{shape} values of type {dtype} are claimed, {stored} bytes are there")
        if claimed == 0:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if is_fortran else "C")
