"""Formatter of log lines: what they quote from files and peers is escaped, so that no call that logs has to think of it."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from types import TracebackType

from nilatron.core.words import message as as_message

log = logging.getLogger(__name__)


class LineFormatter(logging.Formatter):
    """One line for each record, as `nilatron.core.words.message` shows it; a traceback follows in lines that are set in."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        record.message = as_message(record.getMessage())
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        line = self.formatMessage(record)
        return f"{line}\n{set_in(self.formatException(record.exc_info))}" if record.exc_info else line


def set_in(lines: str, indent: str = "  ") -> str:
    """Lines as `message` shows them, none of which begins like a line of the log."""
    return "\n".join(indent + as_message(line) for line in lines.split("\n"))


def escape_logs() -> None:
    """From now on all handlers of the root logger, warnings, and what ends a thread or the program are escaped."""
    for handler in logging.getLogger().handlers:
        earlier = handler.formatter
        if earlier is None:
            handler.setFormatter(LineFormatter())
        elif type(earlier) is logging.Formatter:
            handler.setFormatter(LineFormatter(earlier._fmt, earlier.datefmt))
    warnings.formatwarning = _warning
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    del filename, lineno, line
    return f"{category.__name__}: {as_message(str(message))}\n"


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("not expected", exc_info=(kind, error, trace))


def _uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    if uncaught.exc_value is not None and uncaught.exc_type is not SystemExit:
        _uncaught(uncaught.exc_type, uncaught.exc_value, uncaught.exc_traceback)
