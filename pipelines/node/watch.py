"""Thread that ends a node on a signal, or when its parent process or peer is gone. Imports nothing that can fail."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import struct
import threading
import time
from typing import Protocol

log = logging.getLogger(__name__)

ERROR_MESSAGE, CLOSE_MESSAGE = 8, 4
INTERVAL_S = 0.5
GRACE_S = 10.0  # time in which the reconstruction should notice by itself that the peer is gone
ABORT_S = 4.0


class Abortable(Protocol):
    """A conversation that can be aborted: a `pipelines.conversation.Conversation`."""

    @property
    def peer_lost(self) -> bool:
        """Whether the peer is gone."""

    def abort(self, reason: str, timeout_s: float) -> bool:
        """End the conversation with an error, from another thread."""


class Watch:
    """Thread that ends the process on SIGTERM, or when its images can no longer be received.

    On SIGTERM the peer gets an ERROR, and the exit code is 143. The exit code is 4 when the parent process has ended, or the
    connection has been broken for `GRACE_S`.

    Parameters
    ----------
    sock
        Socket of the conversation.
    name
        Name of the reconstruction, for messages.
    """

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.conversation: Abortable | None = None  # set as soon as there is one
        self._socket, self._name, self._parent = sock, name, os.getppid()
        self._lost_at: float | None = None
        self._inbox, self._outbox = socket.socketpair()
        self._outbox.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            # the system writes into the socket at once, while a signal handler would wait for the main thread
            signal.set_wakeup_fd(self._outbox.fileno(), warn_on_full_buffer=False)
            signal.signal(signal.SIGTERM, lambda *_: None)
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and restore the signal handling."""
        self._outbox.send(b"\0")
        self._thread.join()
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._inbox.close()
        self._outbox.close()

    def _watch(self) -> None:
        while True:
            signals = self._inbox.recv(64) if select.select([self._inbox], [], [], INTERVAL_S)[0] else b""
            if signal.SIGTERM in signals:
                return self._end_process("it was asked to terminate (SIGTERM)", 128 + signal.SIGTERM)
            if b"\0" in signals:
                return None
            if os.getppid() != self._parent:
                return self._end_process("the process that started it has ended", 4)
            if self._is_lost():
                self._lost_at = self._lost_at or time.monotonic()
                if time.monotonic() - self._lost_at > GRACE_S:
                    return self._end_process("the other end is gone", 4)

    def _is_lost(self) -> bool:
        if self.conversation is not None and self.conversation.peer_lost:
            return True
        try:
            poll = select.poll()
            poll.register(self._socket, 0)  # without events: only errors are reported
            return bool(poll.poll(0))
        except (OSError, ValueError):  # this process has closed the socket: the conversation is over
            return False

    def _end_process(self, reason: str, code: int) -> None:
        log.critical("%s ends: %s", self._name, reason)
        ending = threading.Thread(target=self._end_connection, args=(reason,), daemon=True)
        ending.start()
        ending.join(3 * ABORT_S)  # with a limit, because an image may be on its way to a slow reader
        logging.shutdown()
        os._exit(code)

    def _end_connection(self, reason: str) -> None:
        if self.conversation is not None:
            self.conversation.abort(reason, ABORT_S)
        else:
            send_error(self._socket, f"nilatron {self._name}: {reason}", ABORT_S)


def send_error(sock: socket.socket, text: str, timeout_s: float = 30.0) -> None:
    """Send ERROR and CLOSE and read until the peer has closed the connection, because unread input would reset it.

    This works even if `pipelines.wire` cannot be imported. It does nothing if the socket is closed.
    """
    if sock.fileno() < 0:
        return
    encoded = text.encode(errors="replace")
    deadline = time.monotonic() + timeout_s
    try:
        sock.settimeout(timeout_s)
        sock.sendall(struct.pack("<HQ", ERROR_MESSAGE, len(encoded)) + encoded + struct.pack("<H", CLOSE_MESSAGE))
        sock.shutdown(socket.SHUT_WR)
        while time.monotonic() < deadline and sock.recv(1 << 18):
            sock.settimeout(max(0.1, deadline - time.monotonic()))
    except OSError as error:
        log.error("the other end could not be told: %s", error)
    finally:
        sock.close()
