from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.uncertainty.calibration import CalibrationLevels
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior import calibrate as calibrating
from nilatron.pipelines.prior.calibrate import CalibrateSettings, calibrate

LOW = CalibrationLevels(coverage=0.8, confidence=0.5, bound=0.5)


@pytest.mark.slow
def test_calibration_is_stored_with_the_weights(subjects, make_weights, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrating, "ACCELERATIONS", ((2,),))
    monkeypatch.setattr(calibrating, "NOISES", ((0.006, 0.02),))
    settings = CalibrateSettings((subjects,), make_weights(True), scans=1, levels=LOW)
    found = calibrate(settings, tmp_path / "out.safetensors")
    read = load_prior(tmp_path / "out.safetensors")
    assert read.errors.calibration == found
    assert {key: one.subjects for key, one in found.classes.items()} == {(0, 0): 3}
    assert read.metadata["licence"] == "CC0"
    before = load_prior(settings.weights).denoiser.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in read.denoiser.state_dict().items())
    assert calibrate(settings, tmp_path / "again.safetensors") == found  # of the same seed


def test_too_few_subjects_are_refused_before_anything_is_computed(subjects, make_weights, tmp_path):
    settings = CalibrateSettings((subjects,), make_weights(True))
    with pytest.raises(InputError, match="at least 9 subjects, there are 3"):
        calibrate(settings, tmp_path / "out")
    with pytest.raises(InputError, match="at least 4 subjects, there are 3"):
        calibrate(replace(settings, levels=CalibrationLevels(confidence=0.8, bound=0.5)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_without_a_head_are_refused(subjects, make_weights, tmp_path):
    with pytest.raises(InputError, match="predict no errors"):
        calibrate(CalibrateSettings((subjects,), make_weights(False)), tmp_path / "out")
