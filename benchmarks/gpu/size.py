"""How large the problem is, and how often it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nilatron.core.prior.weights import shipped_weights


@dataclass(frozen=True)
class Size:
    """The slices, the network and the repetitions.

    Attributes
    ----------
    matrix, n_coils
        Pixels a side; coils before compression.
    weights_name
        Of the prior that is shipped.
    n_samples
        Posterior samples of the second image.
    batches
        Slices in one run of the sampler.
    rounds, row_s
        Timed calls of a row of a table at most, and seconds after which no more are begun.
    judged
        Whether times have bars: only those of the full size do.
    """

    matrix: int = 256
    n_coils: int = 16
    weights_name: str = "default"
    n_samples: int = 8
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    rounds: int = 50
    row_s: float = 2.0
    judged: bool = True

    @property
    def weights(self) -> Path:
        """File of the prior."""
        return shipped_weights(self.weights_name)

    @property
    def problem(self) -> str:
        """The slice in words."""
        return f"{self.matrix}x{self.matrix}, {self.n_coils} coils"

    def __str__(self) -> str:
        return f"{self.problem}, prior {self.weights_name}"


FULL = Size()
TINY = Size(64, 6, "tiny", 2, (1, 2), rounds=3, row_s=1.0, judged=False)
