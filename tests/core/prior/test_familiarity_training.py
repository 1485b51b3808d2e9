import pytest
import torch

from nilatron.core.prior.familiarity_training import (
    FamiliarityTraining,
    degraded,
    presented,
    train_familiarity,
)

SHORT = FamiliarityTraining(steps=3, batch_size=4, fresh=1, presentations=2, false_alarms=0.25)


def heads(n=12):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    radius = torch.hypot(y, 1.2 * x)
    return [(radius < 0.8).float() * (0.6 + 0.4 * torch.cos((8 + i) * x)) for i in range(n)]


def test_training_repeats_and_its_threshold_lets_the_known_pass():
    found = [train_familiarity(heads(), SHORT, lambda *_: None) for _ in range(2)]
    assert found[0].threshold == found[1].threshold
    assert 0 <= found[0].false_alarms <= 0.25
    assert not any(parameter.requires_grad for parameter in found[0].network.parameters())


@pytest.mark.slow
def test_what_it_learnt_from_is_more_familiar_than_noise():
    settings = FamiliarityTraining(steps=40, batch_size=8, fresh=4, presentations=2, false_alarms=0.1)
    found = train_familiarity(heads(), settings, lambda *_: None)
    own = found.scores(torch.stack(heads(3)))
    noise = found.scores(torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(1)))
    assert float(own.max()) < float(noise.min())


def test_degraded_images_have_image_scale_1_and_another_size():
    generator = torch.Generator().manual_seed(0)
    shapes = set()
    for image in heads(4):
        found = degraded(presented(image, generator), generator)
        assert float(torch.quantile(found, 0.995)) == pytest.approx(1, abs=0.01)
        shapes.add(found.shape)
    assert len(shapes) > 1


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"left_out": 1}, {"false_alarms": 0.0}, {"rate": 0.0}])
def test_settings_that_train_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="expected steps"):
        FamiliarityTraining(**wrong)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="too few"):
        train_familiarity(heads(1), SHORT, lambda *_: None)
