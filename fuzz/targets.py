"""What reads bytes from the network, as functions of bytes: each returns, or raises the errors that it promises.

Anything else that comes out of them is a finding.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from nilatron.core.errors import BadInputError
from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.chain.host import build
from nilatron.pipelines.chain.xml import parse_chain, parse_configuration
from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.server.admission import estimate_bytes
from nilatron.pipelines.server.caller import SharedState
from nilatron.pipelines.server.fire import fire_parameters
from nilatron.pipelines.server.opening import read_request
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.stream import v2
from nilatron.pipelines.wire import (
    Close,
    Connection,
    Decoder,
    LimitError,
    Limits,
    Message,
    Timeouts,
    UnsendableError,
    WireError,
    encode,
)
from nilatron.pipelines.wire.received_image import parse_attributes

LIMITS = Limits(
    message_bytes=1 << 22,
    text_bytes=1 << 16,
    config_bytes=1 << 16,
    header_bytes=1 << 16,
    attributes_bytes=1 << 16,
    lines=1 << 12,
    waveforms=1 << 10,
    images=1 << 10,
)
TIMEOUTS = Timeouts(message_s=1.0, idle_s=1.0, end_s=1.0)


def wire(data: bytes) -> None:
    """Messages of any kind; what was understood can be sent on, and is understood again as the same bytes."""
    decoder = Decoder(LIMITS)
    messages = []
    with suppress(WireError):
        messages.extend(decoder.feed(data))
    for message in messages:
        sent = _bytes(message)
        try:
            (again,) = Decoder(LIMITS).feed(sent)
        except LimitError:  # one byte more than came, where the limit is met exactly
            continue
        if _bytes(again) != sent:
            raise AssertionError("encoding is not stable")


def reader(data: bytes) -> None:
    """Messages read ahead from a socket, in two pieces: the first byte says where they part; the decoder finds the same."""
    cut, data = (data[0] * len(data) >> 8 if data else 0), data[1 : 1 << 16]
    peer, here = socket.socketpair()
    with peer, Connection(here, LIMITS, TIMEOUTS) as connection:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ahead = EagerReader(connection.receive_some)
        peer.sendall(data[:cut])
        peer.sendall(data[cut:])
        peer.shutdown(socket.SHUT_WR)
        read = _until_refused(ahead)
    if read != _until_refused(_up_to_close(Decoder(LIMITS).feed(data))):
        raise AssertionError("the reader and the decoder differ")


def _up_to_close(messages: Iterable[Message]) -> Iterator[Message]:
    for message in messages:
        if isinstance(message, Close):
            return
        yield message


def _until_refused(messages: Iterable[Message]) -> list[bytes]:
    found = []
    with suppress(WireError):
        found.extend(map(_bytes, messages))
    return found


def _bytes(message: Message) -> bytes:
    return b"".join(bytes(part) for part in encode(message))


def mrd2(data: bytes) -> None:
    """A stream of MRD v2; what was understood is an item of MRD v1, and goes out again in the schema that came."""
    with suppress(WireError):
        incoming = v2.Incoming(io.BytesIO(data), b"", LIMITS)
        outgoing = v2.Outgoing(io.BytesIO(), incoming.model, incoming.header_record)
        outgoing.begin(incoming.header)
        while not isinstance(message := incoming.receive_some()[0], Close):
            _bytes(message)
            with suppress(UnsendableError):
                outgoing.send(message)


def header(data: bytes) -> None:
    """An ISMRMRD header, and what the server estimates from it."""
    try:
        estimate_bytes(parse_header(data), 1 << 28)
    except BadInputError:
        return


def chain(data: bytes) -> None:
    """A chain or the configuration of a node; a chain's gadgets are made."""
    with suppress(BadInputError):
        parse_configuration(data, "nila")
    try:
        build(parse_chain(data, "sent"))
    except BadInputError:
        return


def parameters(data: bytes) -> None:
    """FIRE's JSON."""
    try:
        fire_parameters(data)
    except SettingsError:
        return


def attributes(data: bytes) -> None:
    """Attributes of an image; what cannot be read is left out."""
    parse_attributes(data).serialize()


def opening(data: bytes) -> None:
    """Everything that a peer says to the server before its data."""
    peer, here = socket.socketpair()
    with peer, here:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        peer.sendall(data[: 1 << 16])
        peer.shutdown(socket.SHUT_WR)
        try:
            request = read_request(PeerConnection(here, LIMITS, TIMEOUTS, SharedState(bytearray(2))))
            if request is not None:
                header(request.header)
                build(request.chain)
        except BadInputError:
            return


TARGETS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function for function in (wire, reader, mrd2, header, chain, parameters, attributes, opening)
}
