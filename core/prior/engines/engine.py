"""The common result of all engines: a denoiser with its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nilatron.core.prior.edm import ChannelDenoiser


# input shapes kept ready: for two slice sizes, full and partial batches at two resolutions as upright and transposed views,
# and posterior samples
MAX_SHAPES = 18


def no_remark() -> str:
    """Empty remark."""
    return ""


@dataclass(frozen=True)
class Engine:
    """A denoiser on real channels that is ready to run.

    Attributes
    ----------
    denoiser
        The denoiser D.
    name
        Engine and precision, e.g. "torch bf16".
    remark
        Function that returns a remark on the engine so far, e.g. why another engine took over; empty if there is none.
    """

    denoiser: ChannelDenoiser
    name: str
    remark: Callable[[], str] = no_remark

    @property
    def label(self) -> str:
        """Name and remark, for log and image metadata."""
        remark = self.remark()
        return f"{self.name} ({remark})" if remark else self.name
