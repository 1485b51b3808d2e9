"""File systems that refuse: full, read-only, without permission. One line for the user, whichever library was told."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator

REFUSALS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.EIO,
}
# HDF5 ("errno = 28") and Rust's standard library, safetensors ("os error 28"), have the number in their text only
NUMBER_IN_TEXT = re.compile(r"(?:errno = |os error )(\d+)")


def refusal(error: BaseException) -> str | None:
    """What the file system said, with the file if that is known; None where the error is of another kind."""
    for one in _causes(error):
        number = one.errno if isinstance(one, OSError) else None
        if number is None and (found := NUMBER_IN_TEXT.search(str(one))):
            number = int(found[1])
        if number in REFUSALS:
            file = getattr(one, "filename", None)
            return f"{file}: {os.strerror(number)}" if file else os.strerror(number)
    return None


def foreign_errors() -> tuple[type[Exception], ...]:
    """Errors with which libraries pass on what a file system said, and which are of no usual kind; of what is imported."""
    library = sys.modules.get("safetensors")
    return () if library is None else (library.SafetensorError,)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
