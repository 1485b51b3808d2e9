"""Connections that have not said yet which scan they want: silent ones cost a socket, those that have begun a process.

What one address can take is bounded, and the longest silence goes first, so that none keeps others out.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

MAX_SILENT, MAX_SILENT_OF_ONE = 256, 64
MAX_BEGUN, MAX_BEGUN_OF_ONE = 8, 6
LEAST_BYTES = 26  # of the shortest message that asks for something: an empty query
PATIENCE_S = 5.0  # with a connection that has begun, while others wait for its place


class Guest(Protocol):
    """Whoever is at the other end of a connection."""

    @property
    def address(self) -> str:
        """Of the peer."""

    @property
    def since_s(self) -> float:
        """Since when it has been waited for, on the clock `time.monotonic`."""


AnyGuest = TypeVar("AnyGuest", bound=Guest)


@dataclass(frozen=True)
class Silent:
    """A connection of which nothing was heard."""

    sock: socket.socket
    address: str
    since_s: float = field(default_factory=time.monotonic)

    @property
    def hung_up(self) -> bool:
        """Whether the peer says nothing more, as health probes do, and has said too little to ask for anything."""
        try:
            n_bytes = len(self.sock.recv(LEAST_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return False
        except OSError:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return n_bytes < LEAST_BYTES and bool(poll.poll(0))


@dataclass
class Openings:
    """The silent connections, in the order in which they came."""

    silent: dict[socket.socket, Silent] = field(default_factory=dict)

    def add(self, guest: Silent) -> Silent | None:
        """Take a connection in; the one that has to go for it, where there are too many, is returned."""
        surplus = None
        of_one = [other for other in self.silent.values() if other.address == guest.address]
        if len(of_one) >= MAX_SILENT_OF_ONE:
            surplus = of_one[0]
        elif len(self.silent) >= MAX_SILENT:
            surplus = longest(self.silent.values())
        if surplus is not None:
            self.remove(surplus)
        self.silent[guest.sock] = guest
        return surplus

    def remove(self, guest: Silent) -> None:
        """It has begun, or it is gone."""
        self.silent.pop(guest.sock, None)

    def older_than(self, seconds: float) -> Iterator[Silent]:
        """Those that have been silent for so long."""
        limit_s = time.monotonic() - seconds
        return (guest for guest in list(self.silent.values()) if guest.since_s < limit_s)


def place_for(address: str, begun: Sequence[AnyGuest]) -> tuple[bool, AnyGuest | None]:
    """Whether a connection of this address may begin now, beside those that have begun, and which has to go for it."""
    of_one = [guest for guest in begun if guest.address == address]
    is_own_fault = len(of_one) >= MAX_BEGUN_OF_ONE
    if len(begun) < MAX_BEGUN and not is_own_fault:
        return True, None
    dawdler = longest(of_one if is_own_fault else begun)
    return (True, dawdler) if time.monotonic() - dawdler.since_s > PATIENCE_S else (False, None)


def longest(guests: Iterable[AnyGuest]) -> AnyGuest:
    """The one that came first of the address that has most."""
    guests = list(guests)
    counts = Counter(guest.address for guest in guests)
    return min(guests, key=lambda guest: (-counts[guest.address], guest.since_s))
