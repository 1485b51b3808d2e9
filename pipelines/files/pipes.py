"""Standard input and output, named pipes and files, as streams of bytes; standard output is kept from everything else."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError, reason_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STANDARD = Path("-")
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_BUFFER_BYTES = 1 << 16


class OutputPipe(io.RawIOBase):
    """A file descriptor that is written whole; a reader that is gone and a full disk are one error.

    Raises
    ------
    OutputError
        On writing.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor, self._name = descriptor, name

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: object) -> int:
        """Write all bytes."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        n_bytes = len(view)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except BrokenPipeError:
            raise OutputError(f"{self._name}: nobody reads it any more") from None
        except OSError as error:
            raise OutputError(f"{self._name}: {reason_of(error)}") from error
        return n_bytes

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


@contextmanager
def output_pipe(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Output for bytes: a file, a named pipe, or standard output for "-".

    Whatever else would go to standard output goes to standard error from here on, of libraries in other languages as well.
    A named pipe is opened when somebody reads it.

    Raises
    ------
    InputError
        When the file exists and is not to be replaced, cannot be made, or standard output is a terminal.
    OutputError
        On writing.
    """
    if path == STANDARD:
        if os.isatty(_STDOUT):
            raise InputError(
                "standard output is a terminal: give a file or a pipe for the stream, -o FILE or | PROGRAM"
            )
        sys.stdout.flush()
        descriptor, name = os.dup(_STDOUT), "standard output"
        os.dup2(_STDERR, _STDOUT)
    else:
        if path.is_file() and not overwrite:
            raise InputError(f"{path}: exists; choose another name or replace it with --overwrite")
        try:
            descriptor, name = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), str(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    with OutputPipe(descriptor, name) as pipe:
        yield pipe  # type: ignore[misc]


def input_pipe(path: Path) -> io.BufferedIOBase:
    """Input of bytes: a file, a named pipe, or standard input for "-".

    It stays open until the process ends, because a thread may wait for it that nothing else can wake. A named pipe is open at
    once, so that its writer goes on, whichever of two pipes the other end opens first; reading waits for the writer.

    Raises
    ------
    InputError
        When it cannot be opened, or standard input is a terminal.
    """
    if path == STANDARD:
        if os.isatty(_STDIN):
            raise InputError(
                "standard input is a terminal: give a file or a pipe with the stream, -i FILE or PROGRAM |"
            )
        return io.BufferedReader(_Input(_STDIN), _BUFFER_BYTES)
    try:
        return io.BufferedReader(_Input(os.open(path, os.O_RDONLY | os.O_NONBLOCK)), _BUFFER_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


class _Input(io.FileIO):
    """A file descriptor that is not closed, whose first reading waits until there is something, or never will be."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, closefd=False)
        self._is_waiting = not os.get_blocking(descriptor)

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what has come."""
        self._wait()
        return super().readinto(buffer)

    def readall(self) -> bytes:
        """Read to the end."""
        self._wait()
        return super().readall()

    def _wait(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            poll.poll()  # of a pipe that nobody has opened for writing yet it says nothing
            os.set_blocking(self.fileno(), True)
