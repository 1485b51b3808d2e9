"""Messages of the ISMRMRD/Gadgetron protocol, to and from bytes.

    decode      Decoder(limits).feed(data) -> messages; .finish()              pieces of a stream, without a socket
    source      read_message(source, limits) -> message | None                 SocketSource, FileSource
    encode      encode(message) -> [bytes | memoryview, ...]                   for sendmsg or writelines
    connection  Connection(sock, limits, timeouts): .receive() -> message | None, .receive_some() -> those that have come,
                iteration up to CLOSE, .send(message), .end(error=None) (drain, CLOSE), .close()
    limits      Limits: bounds that are checked before anything is allocated
    errors      WireError and its kinds

A message is an `ismrmrd.Acquisition`, `ismrmrd.Waveform` or `ismrmrd.Image`; an `AcquisitionBucket` or `ReconData` of
`gadgets.stock.types`, whose headers are structured arrays; or one of `messages`: ImageArray, ConfigName, Config, Header,
Text, Error, Query, Response, Dicom, Close. Anything shaped like the PyPI package's buckets, buffers and image arrays can be
sent as well.
"""

from nilatron.pipelines.wire.connection import Connection, Timeouts
from nilatron.pipelines.wire.decode import Decoder
from nilatron.pipelines.wire.encode import encode
from nilatron.pipelines.wire.errors import (
    LimitError,
    MalformedError,
    PeerGoneError,
    TruncatedError,
    UnknownMessageError,
    UnsendableError,
    UnsupportedError,
    WireError,
    WireTimeoutError,
)
from nilatron.pipelines.wire.limits import Limits
from nilatron.pipelines.wire.messages import (
    Close,
    Config,
    ConfigName,
    Dicom,
    Error,
    Header,
    ImageArray,
    Message,
    Query,
    Response,
    Text,
)
from nilatron.pipelines.wire.source import FileSource, SocketSource, read_message, read_to_end

__all__ = [
    "Close",
    "Config",
    "ConfigName",
    "Connection",
    "Decoder",
    "Dicom",
    "Error",
    "FileSource",
    "Header",
    "ImageArray",
    "LimitError",
    "Limits",
    "MalformedError",
    "Message",
    "PeerGoneError",
    "Query",
    "Response",
    "SocketSource",
    "Text",
    "Timeouts",
    "TruncatedError",
    "UnknownMessageError",
    "UnsendableError",
    "UnsupportedError",
    "WireError",
    "WireTimeoutError",
    "encode",
    "read_message",
    "read_to_end",
]
