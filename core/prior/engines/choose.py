"""One word for the engine and one for the precision, as in XML properties and on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.torch_engine import PRECISIONS, torch_engine
from nilatron.core.prior.weights import Prior

ENGINES = ("torch",)


@dataclass(frozen=True)
class EngineSettings:
    """How the network is computed.

    Attributes
    ----------
    engine
        One of `ENGINES`.
    precision
        Of the convolutions: "auto", "fp32", "bf16" or "fp16".
    """

    engine: str = "torch"
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse words that mean nothing."""
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")


def engine_for(prior: Prior, settings: EngineSettings, device: str) -> Engine:
    """D of `prior`, ready to run on `device`.

    Raises
    ------
    ValueError
        When the device cannot compute in the precision that was asked for.
    """
    return torch_engine(prior.denoiser, settings.precision, device)
