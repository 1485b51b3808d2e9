import pytest

from nilatron.pipelines.training.schedule import ema_decay, learning_rate
from nilatron.pipelines.training.settings import TrainSettings


def test_the_rate_warms_up_stays_and_decays():
    settings = TrainSettings(steps=1000, warm_up_steps=100, decay_fraction=0.5)
    assert learning_rate(0, settings) == pytest.approx(1e-5)
    assert learning_rate(300, settings) == pytest.approx(1e-3)
    assert learning_rate(750, settings) == pytest.approx(5.05e-4)
    assert learning_rate(1000, settings) == pytest.approx(1e-5)


def test_without_warm_up_or_decay_the_rate_is_constant():
    settings = TrainSettings(steps=1000, warm_up_steps=0, decay_fraction=0.0)
    assert {learning_rate(step, settings) for step in (0, 500, 999)} == {1e-3}


def test_the_average_forgets_half_in_its_half_life_and_more_in_the_beginning():
    settings = TrainSettings(batch_size=8, ema_half_life_images=800)
    assert ema_decay(1_000_000, settings) ** 100 == pytest.approx(0.5)
    assert ema_decay(1, settings) < ema_decay(100, settings) < ema_decay(1_000_000, settings)
