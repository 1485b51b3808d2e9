"""Disks that are full, read-only or broken: what that looks like, and one error for it."""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    import numpy.typing as npt

# what the user can mend without knowing this program
DISK_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "EACCES", "EPERM", "EISDIR", "ENOTDIR", "ENAMETOOLONG")
    if hasattr(errno, name)
)


class OutputError(RuntimeError):
    """Output that cannot be written, or not completely; the message says where, why and what is there all the same."""


def reason_of(error: OSError) -> str:
    """Why a file could not be written, in the system's words, though a library has put others around them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def is_disk_error(error: BaseException) -> TypeGuard[OSError]:
    """Whether this is the system's word on a disk, and no failure of the program."""
    return isinstance(error, OSError) and error.errno in DISK_ERRORS


@contextmanager
def tensors_written(path: Path) -> Iterator[None]:
    """Block that writes `path` by safetensors, whose failures to write become the system's `OSError`."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        code = re.search(r"(?:code:|os error) (\d+)", str(error))
        if code is None:
            raise
        number = int(code.group(1))
        raise OSError(number, os.strerror(number), str(path)) from error


def npy_bytes(array: npt.NDArray[Any]) -> memoryview:
    """Content of an npy file; numpy itself would not say why it cannot write one."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getbuffer()
