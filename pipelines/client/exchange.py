"""Sending a scan to a running Gadgetron, Nilatron or other ISMRMRD server; images are received while lines are sent."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ismrmrd

from nilatron.core.words import counted
from nilatron.core.words import message as as_message
from nilatron.pipelines.client.pacing import paced
from nilatron.pipelines.client.request import Address
from nilatron.pipelines.wire import (
    Close,
    Connection,
    Error,
    Message,
    Text,
    Timeouts,
    UnknownMessageError,
    UnsendableError,
    WireError,
)

log = logging.getLogger(__name__)

LOG_LEVELS = (
    "DEBUG",
    "DBG",
    "INFO",
    "WARN",
    "WRN",
)  # log lines of FIRE servers begin so; a Gadgetron sends only errors
MOST_ERRORS, MOST_LOG_LINES = 20, 1000  # that are kept: a server may send without end
_HTTP = {
    int.from_bytes(begin, "little") for begin in (b"HT", b"<!", b"<h", b"<H")
}  # as message ids; HTML comes without a head
_CHECK_INTERVAL_S = 0.05


class ServerError(RuntimeError):
    """A failure of the server or the connection.

    `from_server` is true if the server itself reported the reason and then ended the scan regularly.
    """

    def __init__(self, reason: str, *, from_server: bool = False) -> None:
        super().__init__(reason)
        self.from_server = from_server


@dataclass(frozen=True)
class ClientTimeouts:
    """Time limits in seconds.

    Attributes
    ----------
    connect_s
        Time until the server accepts the connection.
    message_s
        Longest pause inside a message, in either direction.
    idle_s
        Longest time in which nothing is sent or received.
    total_s
        Time from the connection to the end; None for no limit.
    error_message_s
        Time to wait for an error message after the server has stopped to receive.
    """

    connect_s: float = 10.0
    message_s: float = 60.0
    idle_s: float = 600.0
    total_s: float | None = None
    error_message_s: float = 5.0


@dataclass
class Reply:
    """Messages from the server other than images: its errors, its log lines, and the number of each other kind.

    Texts are kept as `nilatron.core.words.message` shows them, the first ones of each kind, and `n_left_out` counts the others.
    """

    n_images: int = 0
    errors: list[str] = field(default_factory=list)
    log_lines: list[str] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    n_left_out: int = 0

    def add(self, message: Message) -> None:
        """Record a message that is not an image."""
        if isinstance(message, Error | Text):
            text = message.text.strip()
            is_log_line = isinstance(message, Text) and text.startswith(LOG_LEVELS)
            kept, most = (self.log_lines, MOST_LOG_LINES) if is_log_line else (self.errors, MOST_ERRORS)
            if len(kept) < most:
                kept.append(as_message(text))
                log.info("the server says: %s", text)
            else:
                self.n_left_out += 1
        else:
            name = type(message).__name__
            self.others[name] = self.others.get(name, 0) + 1
            if self.others[name] == 1:
                log.warning("the server sent %s, which is left out", name)


@contextmanager
def open_connection(address: Address, timeouts: ClientTimeouts) -> Iterator[Connection]:
    """Connection to the server, as a context manager.

    Raises
    ------
    ServerError
        When the server cannot be reached.
    """
    try:
        sock = socket.create_connection((address.host, address.port), timeouts.connect_s)
    except OSError as error:
        reason = f"no answer for {timeouts.connect_s:g} s" if isinstance(error, TimeoutError) else error.strerror
        raise ServerError(f"cannot connect to {address}: {reason or error}; does the server run there?") from error
    with Connection(sock, timeouts=Timeouts(timeouts.message_s, None)) as connection:
        yield connection


class Exchange:
    """Exchange of one scan for its images over a connection.

    Parameters
    ----------
    connection
        New connection to the server; it is closed at the end.
    opening
        Messages with configuration and header.
    items
        Items of the scan; a separate thread reads and sends them.
    timeouts
        Time limits; `connect_s` is not used.
    real_time
        Send the items at the times of their time stamps instead of as fast as the server receives them.

    Attributes
    ----------
    reply
        Messages from the server other than images.
    """

    def __init__(
        self,
        connection: Connection,
        opening: Sequence[Message],
        items: Iterable[Any],
        timeouts: ClientTimeouts,
        *,
        real_time: bool = False,
    ) -> None:
        self.reply = Reply()
        self._stopping = threading.Event()
        self._connection, self._timeouts, self._opening = connection, timeouts, opening
        self._items = paced(items, time.monotonic, self._stopping.wait) if real_time else items
        self._all_sent = False  # all items; CLOSE may still be missing
        self._bad_input: Exception | None = None
        self._send_error: WireError | None = None
        self._timeout_reason: str | None = None
        self._started_s = self._active_s = self._sent_s = time.monotonic()

    def images(self) -> Generator[ismrmrd.Image]:
        """All images, in the order of arrival.

        Raises
        ------
        ServerError
            After the last image, when the connection or the server failed, or the server did not receive all items.
        Exception
            Any exception that reading the items raises; the exchange then ends at once.
        """
        threads = [threading.Thread(target=job, daemon=True) for job in (self._send, self._watch)]
        for thread in threads:
            thread.start()
        try:
            ending = yield from self._receive()
        finally:
            self._stopping.set()
            self._connection.close()
            for thread in threads:
                thread.join()
        if self._bad_input is not None:
            raise self._bad_input
        left_out = self.reply.n_left_out
        more = [f"{counted(left_out, 'text')} more left out"] if left_out and self.reply.errors else []
        reasons = [*self.reply.errors, *more, *([ending] if ending else [])]
        if reasons:
            raise ServerError("; ".join(reasons), from_server=not ending)

    def _receive(self) -> Generator[ismrmrd.Image, None, str | None]:
        """Images up to CLOSE; returns why the end was not regular, or None."""
        try:
            for message in self._connection:
                self._active_s = time.monotonic()
                if isinstance(message, ismrmrd.Image):
                    self.reply.n_images += 1
                    waited_s = self._active_s - self._sent_s
                    log.info(
                        "image %d of series %d came %.2f s after the %s item",
                        message.image_index,
                        message.image_series_index,
                        waited_s,
                        "last" if self._all_sent else "latest",
                    )
                    yield message
                else:
                    self.reply.add(message)
        except WireError as error:
            if isinstance(error, UnknownMessageError) and error.number in _HTTP and not self.reply.n_images:
                return (
                    f"this is no MRD server, it answers in HTTP (message id {error.number} is unknown): nilatron serve takes "
                    "scans at another port than that of its health"
                )
            return self._timeout_reason or str(self._send_error or error)
        if not self._all_sent and not self.reply.errors:
            return "the server ended the scan before it had taken everything"
        return None

    def _send(self) -> None:
        try:
            for message in self._opening:
                self._connection.send(message)
            for item in self._items:
                if self._stopping.is_set():
                    return
                self._connection.send(item)
                self._active_s = self._sent_s = time.monotonic()
            self._all_sent = True
            self._connection.send(Close())
        except UnsendableError as error:
            self._bad_input = error
            self._connection.close()
        except WireError as error:
            self._send_error = error  # the exchange goes on for a while, because the server may send the reason
        except Exception as error:  # noqa: BLE001 - raised again by `images`
            self._bad_input = error
            self._connection.close()

    def _watch(self) -> None:
        """Close the connection when a time limit is exceeded."""
        timeouts, broken_s = self._timeouts, None
        while not self._stopping.wait(_CHECK_INTERVAL_S):
            now = time.monotonic()
            broken_s = broken_s or (now if self._send_error else None)
            if timeouts.total_s is not None and now - self._started_s > timeouts.total_s:
                self._timeout_reason = f"not finished after {timeouts.total_s:g} s"
            elif now - self._active_s > timeouts.idle_s:
                self._timeout_reason = f"nothing came from the server for {timeouts.idle_s:g} s"
            elif broken_s is not None and now - broken_s > timeouts.error_message_s:
                self._timeout_reason = str(self._send_error)
            if self._timeout_reason is not None:
                self._connection.close()
                return
