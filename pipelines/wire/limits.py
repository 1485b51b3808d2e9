"""Bounds on what the other end of a stream may make this one allocate."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.pipelines.wire.errors import LimitError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The largest message, and the largest parts of one, that are taken in.

    Attributes
    ----------
    message_bytes
        All memory that one message may take.
    text_bytes
        A text, an error, a query or a response.
    config_bytes, header_bytes, attributes_bytes
        The XML of a configuration, of an ISMRMRD header, of the attributes of one image.
    samples, channels, trajectory_dimensions
        Of one readout or waveform.
    lines, waveforms, images
        Of one bucket, buffer or image array, counting empty places of a grid.
    encoding_spaces
        Of one bucket or one set of buffers.
    dimensions
        Axes of an array.
    """

    message_bytes: int = 4096 * MIB
    text_bytes: int = 4 * MIB
    config_bytes: int = 4 * MIB
    header_bytes: int = 32 * MIB
    attributes_bytes: int = 16 * MIB
    samples: int = 65535
    channels: int = 1024
    trajectory_dimensions: int = 16
    lines: int = 1 << 22
    waveforms: int = 1 << 18
    images: int = 1 << 18
    encoding_spaces: int = 256
    dimensions: int = 16


DEFAULT_LIMITS = Limits()


class Budget:
    """What is left of the limits while one message is read."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.left = limits.message_bytes

    def take(self, n_bytes: int, what: str) -> None:
        """Set memory aside.

        Raises
        ------
        LimitError
            When the message would grow beyond `Limits.message_bytes`.
        """
        if n_bytes > self.left:
            raise LimitError(
                f"{what} of {n_bytes} bytes: with it the message would be larger than "
                f"{self.limits.message_bytes} bytes (Limits.message_bytes)"
            )
        self.left -= n_bytes

    def check(self, value: int, name: str, what: str) -> None:
        """Compare a number with the limit of this name.

        Raises
        ------
        LimitError
            When it is larger.
        """
        limit: int = getattr(self.limits, name)
        if value > limit:
            raise LimitError(f"{what}: {value} is more than {limit} (Limits.{name})")
