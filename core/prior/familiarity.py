"""Whether an image shows what a prior was trained on: a small network that tells heads from everything else.

It learnt from the prior's training images against drawn objects, textures, and heads that are shuffled, warped or filled with
something else (outlier exposure: Hendrycks et al., ICLR 2019). It sees the delivered magnitude in 64 x 64 pixels, so that noise
and acceleration hardly matter, beside the strength of its fine detail.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64  # pixels of the picture
BRIGHTEST = 1.5  # image scale; brighter spots count as this
DETAIL_PIXELS = 5
DETAIL_GAIN = 4.0
CHANNELS = (16, 32, 48)


def picture_of(magnitude: Tensor) -> Tensor:
    """What the network sees (batch, 2, 64, 64) of magnitudes (batch, y, x) of image scale 1: the image, and its detail."""
    image = magnitude.clamp(0, BRIGHTEST)[:, None]
    padded = F.pad(image, (DETAIL_PIXELS // 2,) * 4, mode="replicate")
    fine = image - F.avg_pool2d(padded, DETAIL_PIXELS, stride=1)
    detail = F.adaptive_avg_pool2d(fine.square(), SIDE).sqrt()
    return torch.cat((F.adaptive_avg_pool2d(image, SIDE), DETAIL_GAIN * detail), dim=1)


class FamiliarityNetwork(nn.Module):
    """Logit of being unfamiliar (batch,) of pictures (batch, 2, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = CHANNELS
        self.body = nn.Sequential(
            nn.Conv2d(2, first, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(third, third, 3, padding=1),
            nn.ReLU(),
        )
        self.out = nn.Linear(2 * third, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the logits."""
        features = self.body(pictures)
        pooled = torch.cat((features.mean(dim=(-2, -1)), features.amax(dim=(-2, -1))), dim=1)
        logits: Tensor = self.out(pooled)[:, 0]
        return logits


@dataclass(frozen=True)
class Familiarity:
    """The network with the score from which on an image is called unfamiliar.

    Attributes
    ----------
    network
        As trained.
    threshold
        On its logit.
    false_alarms
        Share of the known kind's images, of those that training did not see, above the threshold.
    """

    network: FamiliarityNetwork
    threshold: float
    false_alarms: float

    def __post_init__(self) -> None:
        """Refuse what is no threshold and no share."""
        if not math.isfinite(self.threshold) or not 0 <= self.false_alarms <= 1:
            raise ValueError(f"expected a finite threshold and a share, got {self.threshold}, {self.false_alarms}")

    @torch.inference_mode()
    def scores(self, magnitude: Tensor) -> Tensor:
        """Score (batch,) of magnitudes (batch, y, x) of image scale 1; above the threshold: unfamiliar."""
        scores: Tensor = self.network(picture_of(magnitude.to(torch.float32)))
        return scores

    def json(self) -> str:
        """Threshold and false alarms as text, for the metadata of a weights file."""
        return json.dumps({"threshold": self.threshold, "false_alarms": self.false_alarms})


def parse_familiarity(text: str, network: FamiliarityNetwork) -> Familiarity:
    """A network with what `Familiarity.json` wrote.

    Raises
    ------
    ValueError
        When the text is something else.
    """
    try:
        read = json.loads(text)
        return Familiarity(network, float(read["threshold"]), float(read["false_alarms"]))
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no familiarity: {error}") from error
