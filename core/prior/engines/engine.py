"""What every engine gives."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.core.prior.edm import ChannelDenoiser


@dataclass(frozen=True)
class Engine:
    """D on real channels, ready to run.

    Attributes
    ----------
    channels
        The function.
    label
        Engine and precision, for log and image metadata, e.g. "torch bf16".
    """

    channels: ChannelDenoiser
    label: str
