"""Log lines: JSON for machines, with the measurement they belong to; short ones for a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from nilatron.core.words import message
from nilatron.pipelines.log_lines import LineFormatter, escape_logs, set_in

MAX_LINES_A_MINUTE = 1000

_about: dict[str, Any] = {}  # this process: which part of the server, which scan


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what the process is about, and `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message(record.getMessage()),
            "pid": record.process,
            **_shown(_about),
            **_shown(getattr(record, "fields", {})),
        }
        if record.exc_info:
            entry["exception"] = set_in(self.formatException(record.exc_info), "")
        return json.dumps(entry, default=str)


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: message(value) if isinstance(value, str) else value for name, value in fields.items()}


class TextFormatter(LineFormatter):
    """Time, part of the server, scan, message."""

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        about = " ".join(str(value) for value in _about.values())
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = message(f"{self.formatTime(record, '%H:%M:%S')} [{about}] {record.getMessage()} {fields}".rstrip())
        return f"{line}\n{set_in(self.formatException(record.exc_info))}" if record.exc_info else line


class Flood(logging.Filter):
    """Lets so many lines of a process through in a minute, and all errors; what is left out is counted."""

    def __init__(self, most: int = MAX_LINES_A_MINUTE) -> None:
        super().__init__()
        self._most, self._since_s = most, float("-inf")
        self._n_lines = self._n_left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; the first of another minute says how many were not."""
        if record.created - self._since_s >= 60.0:
            if self._n_left_out:
                text = f"{record.getMessage()} ({self._n_left_out} lines before it were left out)"
                record.msg, record.args = text, ()
            self._since_s, self._n_lines, self._n_left_out = record.created, 0, 0
        self._n_lines += 1
        passes = self._n_lines <= self._most or record.levelno >= logging.ERROR
        self._n_left_out += not passes
        return passes


def configure(part: str, *, as_json: bool, verbose: bool) -> None:
    """Log to stderr from now on, as this part of the server."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Flood())
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    escape_logs()
    logging.getLogger("nilatron.gadgets").setLevel(logging.INFO if verbose else logging.WARNING)
    _about.clear()
    _about["part"] = part


def add_fields(**fields: Any) -> None:
    """Add to what every line of this process says."""
    _about.update(fields)
