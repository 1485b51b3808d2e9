"""End of a connection: within time and memory limits, and without losing data that are still being transferred."""

from __future__ import annotations

import logging
import socket

from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.wire import Close, Connection, Error, PeerGoneError, Text, read_to_end

log = logging.getLogger(__name__)

_KEEP_ALIVE = {
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPINTVL": 15,
    "TCP_KEEPCNT": 8,
}  # seconds, seconds, probes: 3 minutes in total


def end_connection(
    connection: Connection, reader: EagerReader, error: Error | Text | None, timeout_s: float, limit_bytes: int
) -> None:
    """Send the error, read the input up to CLOSE, send CLOSE, read until the peer has closed the socket, and close it.

    A socket that is closed with unread input resets the connection, which destroys data that the peer has not read yet.

    Parameters
    ----------
    connection, reader
        The connection and the reader of its input.
    error
        Error to send; None after success.
    timeout_s
        Time limit for each of the two readings.
    limit_bytes
        Limit of the input that is read and dropped.

    Raises
    ------
    WireError
        When the connection broke, so that the peer may not have received everything. The socket is closed even then.
    """
    try:
        if error is not None:
            connection.send(error)
        ended = reader.discard(timeout_s, limit_bytes)
        if not ended:
            log.warning("the other end has not finished after %g s or %d bytes", timeout_s, limit_bytes)
        connection.send(Close())
        connection.socket.shutdown(socket.SHUT_WR)
        if reader.join(1.0 if ended else timeout_s):
            read_to_end(connection.socket, timeout_s, limit_bytes)
    except OSError as problem:
        raise PeerGoneError(f"the connection broke while it was ended: {problem}") from None
    finally:
        connection.close()
        reader.join(1.0)


def keep_alive(sock: socket.socket) -> None:
    """Have the operating system check whether a silent peer still exists."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):  # some systems lack it
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
