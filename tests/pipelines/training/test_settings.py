from dataclasses import replace

import pytest

from nilatron.core.prior.augment import AugmentSettings
from nilatron.pipelines.training.settings import (
    CHANGEABLE,
    ComputeSettings,
    MonitorSettings,
    TrainingError,
    TrainSettings,
    check_resumable,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "huge"}, "unknown architecture 'huge'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive and finite"),
        ({"seed": -1}, "seed must not be negative"),
        ({"decay_fraction": 1.5}, "decay_fraction must be from 0 to 1"),
        ({"patch_sizes": (96, 100)}, r"multiples of 16 for 'default', got \[96, 100\]"),
        ({"patch_sizes": ()}, "patch_sizes"),
    ],
)
def test_what_no_run_can_have_is_refused(changes, message):
    with pytest.raises(TrainingError, match=message):
        TrainSettings(**changes)


def test_the_parts_refuse_what_they_cannot_have():
    with pytest.raises(TrainingError, match=r"monitor\.checkpoint_every must be at least 1"):
        MonitorSettings(checkpoint_every=0)
    with pytest.raises(TrainingError, match=r"compute\.device must be auto, cpu or cuda, got 'tpu'"):
        ComputeSettings(device="tpu")


def test_a_run_may_go_on_with_what_does_not_touch_the_steps_so_far():
    old = TrainSettings()
    new = replace(old, steps=9, final_learning_rate=1e-6, data="x", monitor=MonitorSettings(log_every=1))
    check_resumable(old, replace(new, licence="y", compute=ComputeSettings(devices=2)))


def test_a_run_does_not_go_on_with_other_steps_and_every_one_is_named():
    old = TrainSettings()
    new = replace(old, seed=1, batch_size=16, augment=replace(AugmentSettings(), gamma_probability=0.0))
    with pytest.raises(TrainingError) as caught:
        check_resumable(old, new)
    for words in (
        "seed (0 then, 1 now)",
        "batch_size (8 then, 16 now)",
        "augment.gamma_probability (0.3 then, 0.0 now)",
    ):
        assert words in str(caught.value)
    assert all(name in str(caught.value) for name in CHANGEABLE)
