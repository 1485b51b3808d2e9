"""What every engine gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nilatron.core.prior.edm import ChannelDenoiser


MAX_SHAPES = 18  # kept ready: of two slice sizes, batches full and not at two resolutions and as views, and samples


def no_remark() -> str:
    """Nothing to add."""
    return ""


@dataclass(frozen=True)
class Engine:
    """D on real channels, ready to run.

    Attributes
    ----------
    channels
        The function.
    name
        Engine and precision, e.g. "torch bf16".
    remark
        What is to be said of them by now, e.g. why another engine took over; empty where all went as asked.
    """

    channels: ChannelDenoiser
    name: str
    remark: Callable[[], str] = no_remark

    @property
    def label(self) -> str:
        """Name and remark, for log and image metadata."""
        remark = self.remark()
        return f"{self.name} ({remark})" if remark else self.name
