"""Learning rate and moving average by step."""

from __future__ import annotations

import math

from nilatron.pipelines.training.settings import TrainSettings

EMA_RAMP = 0.05  # half-life as a share of the images so far, at the start (Karras et al. 2022, appendix F)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, constant, then a cosine decay over the last part of the run."""
    warm = min(1.0, (step + 1) / max(1, settings.warm_up_steps))
    decay_steps = max(1.0, settings.decay_fraction * settings.steps)
    done = min(1.0, max(0.0, (step - (settings.steps - decay_steps)) / decay_steps))
    low, high = settings.final_learning_rate, settings.learning_rate
    return warm * (low + (high - low) * (1 + math.cos(math.pi * done)) / 2)


def ema_decay(n_steps: int, settings: TrainSettings) -> float:
    """Weight of the moving average so far against the weights after `n_steps` steps."""
    half_life = min(settings.ema_half_life_images, EMA_RAMP * n_steps * settings.batch_size + 1)
    return float(0.5 ** (settings.batch_size / half_life))
