from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.error_head import ErrorHead, ErrorHeadConfig
from nilatron.core.prior.error_model import ErrorModel
from nilatron.core.prior.error_training import HeadTraining
from nilatron.core.prior.familiarity_training import FamiliarityTraining
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.uncertainty.calibration import CalibrationLevels
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior import calibrate as calibrating
from nilatron.pipelines.prior.calibrate import CalibrateSettings, calibrate
from nilatron.pipelines.prior.learn_errors import LearnErrorsSettings, learn_errors
from nilatron.pipelines.prior.learn_familiar import LearnFamiliarSettings, learn_familiar

LOW = CalibrationLevels(coverage=0.8, confidence=0.5, bound=0.5)


@pytest.fixture
def images(tmp_path):
    grey = np.uint8(200 * np.abs(phantom((1, 112, 104))[0]))
    for subject in ("a", "b", "c"):
        (tmp_path / "images" / subject).mkdir(parents=True)
        Image.fromarray(grey).save(tmp_path / "images" / subject / "slice.png")
    return tmp_path / "images"


@pytest.fixture
def weights(tmp_path):
    """Weights, with a head on request."""

    def make(with_head):
        denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), 0.3)
        errors = ErrorModel(ErrorHead(ErrorHeadConfig((8, 8, 8)))) if with_head else None
        save_prior(tmp_path / "w.safetensors", denoiser, {"licence": "CC0"}, errors=errors)
        return tmp_path / "w.safetensors"

    return make


@pytest.mark.slow
def test_calibration_is_stored_with_the_weights(images, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrating, "ACCELERATIONS", ((2,),))
    monkeypatch.setattr(calibrating, "NOISES", ((0.006, 0.02),))
    settings = CalibrateSettings((images,), weights(True), scans=1, levels=LOW)
    found = calibrate(settings, tmp_path / "out.safetensors")
    read = load_prior(tmp_path / "out.safetensors")
    assert read.errors.calibration == found
    assert {key: one.subjects for key, one in found.classes.items()} == {(0, 0): 3}
    assert read.metadata["licence"] == "CC0"
    before = load_prior(settings.weights).denoiser.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in read.denoiser.state_dict().items())
    assert calibrate(settings, tmp_path / "again.safetensors") == found  # of the same seed


def test_too_few_subjects_are_refused_before_anything_is_computed(images, weights, tmp_path):
    settings = CalibrateSettings((images,), weights(True))
    with pytest.raises(InputError, match="at least 9 subjects, there are 3"):
        calibrate(settings, tmp_path / "out")
    with pytest.raises(InputError, match="at least 4 subjects, there are 3"):
        calibrate(replace(settings, levels=CalibrationLevels(confidence=0.8, bound=0.5)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_without_a_head_are_refused(images, weights, tmp_path):
    with pytest.raises(InputError, match="predict no errors"):
        calibrate(CalibrateSettings((images,), weights(False)), tmp_path / "out")


@pytest.mark.slow
def test_a_head_is_learnt_for_weights_that_stay_as_they_are(images, weights, tmp_path):
    settings = LearnErrorsSettings((images,), weights(False), n_scans=2, training=HeadTraining(steps=2, patch=32))
    learn_errors(settings, tmp_path / "out.safetensors")
    read = load_prior(tmp_path / "out.safetensors")
    assert read.errors.calibration is None
    before = load_prior(settings.weights).denoiser.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in read.denoiser.state_dict().items())


def test_what_is_familiar_is_stored_with_the_weights(images, weights, tmp_path):
    training = FamiliarityTraining(steps=2, batch_size=4, fresh=1, presentations=2, left_out=3)
    found = learn_familiar(LearnFamiliarSettings((images,), weights(True), training), tmp_path / "out.safetensors")
    read = load_prior(tmp_path / "out.safetensors").errors.familiarity
    assert (read.threshold, read.false_alarms) == (found.threshold, found.false_alarms)
    with pytest.raises(InputError, match="predict no errors"):
        learn_familiar(LearnFamiliarSettings((images,), weights(False), training), tmp_path / "out")
