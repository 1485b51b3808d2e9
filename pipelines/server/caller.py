"""Who is at the other end of a scan, and the last words to it. Light: the front imports this."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from enum import IntEnum
from typing import Any

from nilatron.core.words import message


class Caller(IntEnum):
    """Who is at the other end: it decides how errors are said, and which pixels are understood."""

    UNKNOWN = 0
    NODE = 1  # Gadgetron's <connect>: errors are ERROR messages
    CLIENT = 2  # stock ISMRMRD client: errors are TEXT messages
    FIRE = 3  # a scanner's client: errors are TEXT messages, pixels int16


SHARED_BYTES = 6


class SharedState:
    """Bytes that the front sees as well: the caller, whether a message is going out, and how many images went out."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    @property
    def caller(self) -> Caller:
        """Who is at the other end."""
        return Caller(self._memory[0])

    @caller.setter
    def caller(self, value: Caller) -> None:
        self._memory[0] = value

    @property
    def sending(self) -> bool:
        """Whether a message may have gone out in part."""
        return bool(self._memory[1])

    @sending.setter
    def sending(self, value: bool) -> None:
        self._memory[1] = value

    @property
    def images(self) -> int:
        """How many images have gone out."""
        return int.from_bytes(bytes(self._memory[2:6]), "little")

    @images.setter
    def images(self, value: int) -> None:
        self._memory[2:6] = value.to_bytes(4, "little")


def for_caller(caller: Caller, level: str, text: str) -> str:
    """A text for the log of the caller; that of FIRE colours lines by their first three letters: DBG, WRN or ERR."""
    text = message(text)
    return f"{level} {text}" if caller is Caller.FIRE else text


def error_and_close(shared: SharedState, reason: str) -> bytes | None:
    """What the front says for a session that cannot any more: error and CLOSE; None when a message is cut already.

    Written by hand: the front loads no codec.
    """
    if shared.sending:
        return None
    text = for_caller(shared.caller, "ERR", reason).encode()
    if shared.caller in (Caller.CLIENT, Caller.FIRE):
        return struct.pack("<HI", 5, len(text)) + text + struct.pack("<H", 4)
    return struct.pack("<HQ", 8, len(text)) + text + struct.pack("<H", 4)


def close_empty(sock: socket.socket) -> None:
    """End a connection over which nothing was asked for, as health probes make them: CLOSE for those that still listen."""
    with sock, suppress(OSError):
        sock.send(struct.pack("<H", 4), socket.MSG_DONTWAIT)


def last_words(sock: socket.socket, reason: str) -> None:
    """Say why a connection ends of which nothing was heard, as far as it takes that at once, and close it."""
    words = error_and_close(SharedState(bytearray(SHARED_BYTES)), f"nilatron: {reason}")
    with sock, suppress(OSError):
        sock.send(words or b"", socket.MSG_DONTWAIT)
