"""The ports of the server: listening, and pausing where the system has no descriptor or memory left for a connection."""

from __future__ import annotations

import errno
import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

BACKLOG = 128
PAUSE_S = 1.0
ACCEPTED_AT_ONCE = 64
MOST_DESCRIPTORS = 1 << 16
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass
class Doors:
    """The listening sockets; they stay closed for a moment after a connection could not be had for lack of resources.

    Attributes
    ----------
    sockets
        Where scans come in.
    paused_until_s
        On the clock `time.monotonic`.
    """

    sockets: list[socket.socket] = field(default_factory=list)
    paused_until_s: float = 0.0
    _told_s: float = -60.0

    @property
    def paused(self) -> bool:
        """Whether no connection is taken just now."""
        return time.monotonic() < self.paused_until_s

    def accept(self, listener: socket.socket) -> Iterator[tuple[socket.socket, str]]:
        """The connections that have come, with the addresses of their peers, so many at a time."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self.pause(error)
                return
            yield sock, str(address[0])

    def pause(self, error: OSError) -> None:
        """Take no connection for a moment if the system has run out of something; say so once a minute."""
        now = time.monotonic()
        if error.errno in EXHAUSTED:
            self.paused_until_s = now + PAUSE_S
        if now - self._told_s >= 60.0:
            self._told_s = now
            log.warning("a connection was lost while it was accepted: %s", error)

    def close(self) -> None:
        """Take no more."""
        while self.sockets:
            self.sockets.pop().close()


def raise_descriptors() -> int:
    """Let this process and its children have as many descriptors as the system allows them, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def listen(host: str, port: int) -> list[socket.socket]:
    """The sockets where scans come in: one, and for loopback or all addresses that of the other IP version if there is one.

    Gadgetron's `<connect>` tries nothing but the first address of a name, which for localhost may be ::1.

    Raises
    ------
    OSError
        When the port is taken, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    first = _listener((host, port), family)
    beside = {"127.0.0.1": "::1", "localhost": "::1", "0.0.0.0": "::"}.get(host)  # noqa: S104 - only if asked for
    if beside is None or not socket.has_ipv6:
        return [first]
    try:
        address = (beside, first.getsockname()[1])
        return [first, _listener(address, socket.AF_INET6)]
    except OSError as error:
        log.warning("not listening at %s as well: %s", beside, error)
        return [first]


def _listener(address: tuple[str, int], family: socket.AddressFamily) -> socket.socket:
    sock = socket.create_server(address, family=family, backlog=BACKLOG)
    sock.setblocking(False)
    return sock


class PortError(RuntimeError):
    """A port that cannot be had; the text names it and the option that chooses it."""


@contextmanager
def naming_the_port(option: str, host: str, port: int) -> Iterator[None]:
    """Turn the OSError of a listening socket into a `PortError`."""
    try:
        yield
    except OSError as error:
        reason = "in use, maybe by another server" if error.errno == errno.EADDRINUSE else error.strerror or error
        raise PortError(f"cannot serve at {host}, port {port} ({option}): {reason}") from error
