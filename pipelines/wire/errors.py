"""What can go wrong between two ends of a stream of messages.

BadInputError
`-- WireError               anything below; the stream cannot be read any further, except after Unsendable
    |-- UnknownMessageError a message id that has no meaning here: the length of the message is unknown, too
    |-- LimitError          a size beyond the limits of this end; nothing was allocated
    |-- MalformedError      bytes that contradict themselves
    |-- UnsupportedError    a form of a message that this end does not know
    |-- TruncatedError      the stream ended inside a message
    |-- WireTimeoutError    the other end stayed silent, or does not take what is sent
    |-- PeerGoneError       the connection broke, or ended without CLOSE
    `-- UnsendableError     an object that no message can carry; nothing was sent
"""

from nilatron.core.errors import BadInputError


class WireError(BadInputError):
    """A stream of messages that cannot be read or written."""


class UnknownMessageError(WireError):
    """A message id without a meaning; `number` holds it."""

    def __init__(self, number: int, known: str) -> None:
        super().__init__(f"message id {number} is unknown, so the stream cannot be read any further; known are {known}")
        self.number = number


class LimitError(WireError):
    """A size beyond the limits of this end."""


class MalformedError(WireError):
    """Bytes that contradict themselves."""


class UnsupportedError(WireError):
    """A form of a message that this end does not know."""


class TruncatedError(WireError):
    """The stream ended inside a message."""


class WireTimeoutError(WireError):
    """The other end stayed silent, or does not take what is sent."""


class PeerGoneError(WireError):
    """The connection broke, or ended without CLOSE."""


class UnsendableError(WireError):
    """An object that no message can carry."""
