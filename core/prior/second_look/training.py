"""Training of the second look on images that the sampler makes of simulated scans; the denoiser stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from nilatron.core.prior.correction_training import Example, crops_of, example, rate_factor, train_step
from nilatron.core.prior.errors.head import head_inputs
from nilatron.core.prior.errors.training import ErrorExample
from nilatron.core.prior.second_look.head import SecondLook
from nilatron.core.prior.training_scans import TrainingScan

DECAY = 0.998  # of the moving average of the weights
YOUNG = 20  # steps; a younger average follows the weights faster


@dataclass(frozen=True)
class LookTraining:
    """How long and how fast the head learns."""

    steps: int = 3000
    rate: float = 2e-3  # of Adam, falling to 0 along a cosine
    batch_size: int = 16
    patch: int = 96  # side in pixels
    contrast_weight: float = 4.0  # of what lesions lack, see `core.prior.correction_training`
    kept: float = 0.75  # of the correction learnt; with all of it there are more invented spots
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if self.steps < 1 or self.batch_size < 1 or self.patch < 8 or not self.rate > 0 or self.contrast_weight < 0:
            raise ValueError(f"expected steps, a batch, patches of 8 pixels or more and a rate, got {self}")
        if not 0 < self.kept <= 1:
            raise ValueError(f"kept must be above 0 and at most 1, got {self.kept}")


def look_example(delivered: ErrorExample, scan: TrainingScan) -> Example:
    """What the head is shown of a scan and its image, and what is wrong in it."""
    seen = delivered.seen
    return example(head_inputs(seen)[0], seen.image[0].abs(), delivered.truth[0].abs(), scan.lesions[0] / scan.scale)


def train_look(
    head: SecondLook, examples: Sequence[Example], settings: LookTraining, watch: Callable[[int, float, float], None]
) -> SecondLook:
    """The head, trained; `watch` is told step, relative squared error, and what it would be without the head."""
    generator = torch.Generator().manual_seed(settings.seed)
    head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(head.parameters(), lr=settings.rate, weight_decay=1e-3)
    averaged = AveragedModel(head, avg_fn=_averaged)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * rate_factor(step, settings.steps)
        crops = crops_of(examples, settings.batch_size, settings.patch, generator)
        watch(step, *train_step(head, optimiser, crops, settings.contrast_weight))
        averaged.update_parameters(head)
    head.load_state_dict(averaged.module.state_dict())
    with torch.no_grad():
        for value in head.last.parameters():
            value.mul_(settings.kept)
    return head.eval()


def _averaged(average: Tensor, value: Tensor, n_steps: Tensor | int) -> Tensor:
    share = max(1 - DECAY, YOUNG / (int(n_steps) + YOUNG))
    return average + share * (value - average)
