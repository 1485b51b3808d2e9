"""The last words of a conversation: said so that nothing that is still on its way gets lost, and within bounds."""

from __future__ import annotations

import logging
import socket

from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.wire import Close, Connection, Error, PeerGoneError, Text, read_to_end

log = logging.getLogger(__name__)

_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 8}  # a dead machine is noticed after 3 minutes


def farewell(
    connection: Connection, reader: EagerReader, error: Error | Text | None, timeout_s: float, limit_bytes: int
) -> None:
    """The error if there is one; read the other end to its CLOSE; CLOSE; read until it has closed the socket; close.

    Closing a socket with unread input resets the connection, which destroys what the other end has not read yet.

    Parameters
    ----------
    connection, reader
        Only the reader receives from the connection.
    error
        Said first; None for success.
    timeout_s
        For each of the two readings.
    limit_bytes
        Of what is read and forgotten.

    Raises
    ------
    WireError
        When the other end is gone, so that it may not have got everything. The socket is closed all the same.
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
    """Have the system ask whether a silent peer is still there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):  # not on every system
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
