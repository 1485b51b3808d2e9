import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.errors.training import HeadTraining
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.learn.errors import LearnErrorsSettings, learn_errors


@pytest.mark.slow
def test_a_head_is_learnt_for_weights_that_stay_as_they_are(subjects, make_weights, tmp_path):
    settings = LearnErrorsSettings(
        (subjects,), make_weights(False), n_scans=2, training=HeadTraining(steps=2, patch=32)
    )
    learn_errors(settings, tmp_path / "out.safetensors")
    read = load_prior(tmp_path / "out.safetensors")
    assert read.errors.calibration is None
    before = load_prior(settings.weights).denoiser.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in read.denoiser.state_dict().items())


def test_no_scans_teach_nothing(subjects, make_weights):
    with pytest.raises(InputError, match="1 scan or more"):
        LearnErrorsSettings((subjects,), make_weights(False), n_scans=0)
