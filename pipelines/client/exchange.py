"""A scan sent to a running Gadgetron, Nilatron or other ISMRMRD server; its images come back while lines still go out."""

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

from nilatron.pipelines.client.pacing import paced
from nilatron.pipelines.client.request import Address
from nilatron.pipelines.wire import Close, Connection, Error, Message, Text, Timeouts, UnsendableError, WireError

log = logging.getLogger(__name__)

REMARKS = ("DEBUG", "INFO", "WARN")  # how the log lines of FIRE's servers begin; a Gadgetron sends nothing but errors
_LOOK_S = 0.05


class ServerError(RuntimeError):
    """The server or the connection failed; `said` if the server itself gives this reason and went on to the end."""

    def __init__(self, reason: str, *, said: bool = False) -> None:
        super().__init__(reason)
        self.said = said


@dataclass(frozen=True)
class ClientTimeouts:
    """In seconds.

    Attributes
    ----------
    connect_s
        Until the server takes the connection.
    message_s
        Inside a message, in either direction.
    idle_s
        Without anything sent or received.
    whole_s
        From the connection to the end; None is without limit.
    last_words_s
        For the server to say why, when it takes nothing more.
    """

    connect_s: float = 10.0
    message_s: float = 60.0
    idle_s: float = 600.0
    whole_s: float | None = None
    last_words_s: float = 5.0


@dataclass
class Reply:
    """What came back beside images: `errors` and `remarks` of the server, and the number of each other kind of message."""

    n_images: int = 0
    errors: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    def note(self, message: Message) -> None:
        """Take in what is no image."""
        if isinstance(message, Error | Text):
            is_remark = isinstance(message, Text) and message.text.startswith(REMARKS)
            (self.remarks if is_remark else self.errors).append(message.text.strip())
            log.info("the server says: %s", message.text.strip())
        else:
            name = type(message).__name__
            self.others[name] = self.others.get(name, 0) + 1
            if self.others[name] == 1:
                log.warning("the server sent %s, which is left out", name)


@contextmanager
def connected(address: Address, timeouts: ClientTimeouts) -> Iterator[Connection]:
    """A connection to the server.

    Raises
    ------
    ServerError
        When there is none to be had.
    """
    try:
        sock = socket.create_connection((address.host, address.port), timeouts.connect_s)
    except OSError as error:
        reason = f"no answer for {timeouts.connect_s:g} s" if isinstance(error, TimeoutError) else error.strerror
        raise ServerError(f"cannot connect to {address}: {reason or error}; does the server run there?") from error
    with Connection(sock, timeouts=Timeouts(timeouts.message_s, None)) as connection:
        yield connection


class Exchange:
    """One scan over a connection.

    Parameters
    ----------
    connection
        To the server; nothing was said yet. It is closed at the end.
    opening
        Configuration and header.
    items
        Asked for in a thread of its own.
    timeouts
        `connect_s` does not matter any more.
    real_time
        Send the items at the times of their stamps, not as fast as the server takes them.

    Attributes
    ----------
    reply
        What came back.
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
        self._all_sent = False  # but for CLOSE
        self._bad_input: Exception | None = None
        self._not_taken: WireError | None = None
        self._given_up: str | None = None
        self._started_s = self._active_s = self._sent_s = time.monotonic()

    def images(self) -> Generator[ismrmrd.Image]:
        """All images, as they come.

        Raises
        ------
        ServerError
            After the images that could be had: when the connection or the server failed, or the server did not take all.
        Exception
            What the items raise; nothing more is received then.
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
        reasons = [*self.reply.errors, *([ending] if ending else [])]
        if reasons:
            raise ServerError("; ".join(reasons), said=not ending)

    def _receive(self) -> Generator[ismrmrd.Image, None, str | None]:
        """Images up to CLOSE; returns what was wrong with the end, or nothing."""
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
                    self.reply.note(message)
        except WireError as error:
            return self._given_up or str(self._not_taken or error)
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
            self._not_taken = error  # the server may say why: its last words are read before the end
        except Exception as error:  # noqa: BLE001 - raised again by `images`
            self._bad_input = error
            self._connection.close()

    def _watch(self) -> None:
        """Close the connection when the time is over."""
        timeouts, broken_s = self._timeouts, None
        while not self._stopping.wait(_LOOK_S):
            now = time.monotonic()
            broken_s = broken_s or (now if self._not_taken else None)
            if timeouts.whole_s is not None and now - self._started_s > timeouts.whole_s:
                self._given_up = f"not finished after {timeouts.whole_s:g} s"
            elif now - self._active_s > timeouts.idle_s:
                self._given_up = f"nothing came from the server for {timeouts.idle_s:g} s"
            elif broken_s is not None and now - broken_s > timeouts.last_words_s:
                self._given_up = str(self._not_taken)
            if self._given_up is not None:
                self._connection.close()
                return
