import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.second_look.training import LookTraining
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.learn.look import LearnLookSettings, learn_look


@pytest.mark.slow
def test_a_look_is_learnt_for_weights_that_stay_as_they_are(subjects, make_weights, tmp_path):
    settings = LearnLookSettings(
        (subjects,), make_weights(True), n_scans=2, training=LookTraining(steps=2, patch=32, batch_size=2)
    )
    learn_look(settings, tmp_path / "out.safetensors")
    read, before = load_prior(tmp_path / "out.safetensors"), load_prior(settings.weights)
    assert read.errors.second_look is not None
    assert read.errors.calibration is None
    kept = before.denoiser.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in read.denoiser.state_dict().items())
    head = before.errors.head.state_dict()
    assert all(torch.equal(value, head[name]) for name, value in read.errors.head.state_dict().items())


def test_weights_without_an_error_head_are_refused(subjects, make_weights, tmp_path):
    with pytest.raises(InputError, match="learn-errors"):
        learn_look(LearnLookSettings((subjects,), make_weights(False)), tmp_path / "out.safetensors")


def test_no_scans_teach_nothing(subjects, make_weights):
    with pytest.raises(InputError, match="1 scan or more"):
        LearnLookSettings((subjects,), make_weights(True), n_scans=0)
