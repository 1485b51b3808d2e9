"""Stop signals (Ctrl-C, SIGTERM, SIGHUP): they interrupt the work, but neither the writing nor the tidying up of files."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopSignalError(BaseException):
    """The program was asked to stop; not an `Exception`, so that nobody takes it for a failure of a slice."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal has ended."""
        return 128 + self.number


@dataclass
class _Process:
    """What signals and open files have to know of each other; one for the process, as signals are the process's own."""

    n_shields: int = 0
    waiting: int | None = None  # signal that came behind a shield
    temporary: set[Path] = field(default_factory=set)


_process = _Process()


@contextmanager
def shielded() -> Iterator[None]:
    """Block that a stop signal does not interrupt; it takes effect at the end of the block."""
    if threading.current_thread() is not threading.main_thread():  # signals interrupt the main thread only
        yield
        return
    _process.n_shields += 1
    try:
        yield
    finally:
        _process.n_shields -= 1
        if not _process.n_shields and _process.waiting is not None:
            number, _process.waiting = _process.waiting, None
            raise StopSignalError(number)


def keep_in_mind(path: Path) -> None:
    """Have a temporary file or folder removed at the end of `stoppable`, should the block that made it not come to that."""
    _process.temporary.add(path)


def forget(path: Path) -> None:
    """The temporary file or folder is gone, or has its final name."""
    _process.temporary.discard(path)


@contextmanager
def stoppable() -> Iterator[None]:
    """Block in which a stop signal raises `StopSignalError`; a second one acts as it did before the block.

    At its end temporary files that are left are removed. Signals that were ignored before (nohup) stay ignored, and processes
    that were forked inside the block end at once.
    """
    owner = os.getpid()
    before: dict[int, object] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, before[number])  # type: ignore[arg-type]
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif _process.n_shields:
            _process.waiting = number
        else:
            raise StopSignalError(number)

    if threading.current_thread() is threading.main_thread():  # handlers can be set there only
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)  # type: ignore[arg-type]
        if os.getpid() == owner:
            _remove_temporary()


def _remove_temporary() -> None:
    while _process.temporary:
        path = _process.temporary.pop()
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
