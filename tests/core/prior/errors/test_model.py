import json

import numpy as np
import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.errors.head import Delivered, ErrorHead, ErrorHeadConfig, ln_variance
from nilatron.core.prior.errors.model import ErrorModel, delivered, predicted_deviation, second_look
from nilatron.core.prior.familiarity import Familiarity, FamiliarityNetwork
from nilatron.core.prior.second_look.head import SecondLook, looked_again
from nilatron.core.prior.small_unet import SmallUNetConfig
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import WeightsError
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.uncertainty.calibration import Calibration, ClassCalibration

CALIBRATION = Calibration({(0, 1): ClassCalibration(1.7, 0.5, 11)})
FAMILIARITY = Familiarity(FamiliarityNetwork(), 3.0, 0.02)
LOOK = SecondLook(SmallUNetConfig((4, 4, 8, 8)))


def head():
    torch.manual_seed(0)
    made = ErrorHead(ErrorHeadConfig((8, 8, 16)))
    torch.nn.init.normal_(made.last.weight)
    return made


@pytest.fixture
def denoiser():
    return EDMDenoiser(UNetConfig((8,), (1,), 8), 0.5)


def result(image, n_steps=7):
    return SamplerResult(image, n_steps, None, last_input=1.1 * image, last_estimate=0.9 * image)


def test_it_comes_back_from_a_weights_file(tmp_path, denoiser):
    model = ErrorModel(head(), CALIBRATION, FAMILIARITY, LOOK)
    save_prior(tmp_path / "w", denoiser, {"licence": "MIT"}, errors=model)
    found = load_prior(tmp_path / "w").errors
    assert found.calibration == CALIBRATION
    assert (found.familiarity.threshold, found.familiarity.false_alarms) == (3.0, 0.02)
    assert found.tensors().keys() == model.tensors().keys()
    for name, value in model.tensors().items():
        assert torch.equal(found.tensors()[name], value)
    assert not any(p.requires_grad for network in found.networks.values() for p in network.parameters())


def test_weights_without_one_still_load(tmp_path, denoiser):
    save_prior(tmp_path / "w", denoiser, {})
    assert load_prior(tmp_path / "w").errors is None
    save_prior(tmp_path / "w", denoiser, {}, errors=ErrorModel(head()))
    found = load_prior(tmp_path / "w").errors
    assert (found.calibration, found.familiarity, found.second_look) == (None, None, None)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("error_head", '{"channels": [8, 8]}'),
        ("error_head", '{"channels": [8, 8, 100000]}'),
        ("error_head", '{"channels": [8, 8, 24]}'),  # not the shapes of the tensors
        ("error_head", "3"),
        ("error_head", "no json"),
        ("calibration", "{}"),
        ("familiarity", "[]"),
        ("second_look", '{"channels": [8, 8, 8]}'),
        ("second_look", '{"channels": [4, 4, 8, 16]}'),  # not the shapes of the tensors
        ("second_look", "no json"),
    ],
)
def test_metadata_that_describe_none_are_refused(tmp_path, denoiser, monkeypatch, key, text):
    model = ErrorModel(head(), CALIBRATION, FAMILIARITY, LOOK)
    wrong = {**model.metadata(), key: text}
    monkeypatch.setattr(ErrorModel, "metadata", lambda _: wrong)
    save_prior(tmp_path / "w", denoiser, {}, errors=model)
    with pytest.raises(WeightsError, match=r"error model of ours|do not fit the architecture"):
        load_prior(tmp_path / "w")


def test_a_head_whose_tensors_are_missing_is_refused(tmp_path, denoiser):
    metadata = {"error_head": json.dumps({"channels": [8, 8, 16]})}
    save_prior(tmp_path / "w", denoiser, metadata)
    with pytest.raises(WeightsError, match=r"error_head.* for one"):
        load_prior(tmp_path / "w")


def test_every_partition_is_an_image_of_its_own():
    rng = np.random.default_rng(0)
    image = (rng.standard_normal((2, 3, 8, 8)) + 1j).astype(np.complex64)
    scales, noises = [10.0, 20.0], [1.0, 2.0]
    seen = delivered(result(image), 0.8 * image, scales, noises, [0.3, 0.5], "cpu")
    assert isinstance(seen, Delivered)
    assert seen.image.shape == (6, 8, 8)
    np.testing.assert_allclose(seen.image[4], image[1, 1] / 20, rtol=1e-6)
    np.testing.assert_allclose(seen.last_input[0], 1.1 * image[0, 0] / 10, rtol=1e-6)
    assert seen.noise.tolist() == pytest.approx([0.1] * 6)
    assert seen.misfit.tolist() == pytest.approx([1.0] * 3 + [2.0] * 3)
    assert seen.share.tolist() == pytest.approx([0.3] * 3 + [0.5] * 3)


def test_deviations_come_in_the_units_of_the_image():
    image = np.random.default_rng(1).standard_normal((2, 1, 8, 12)).astype(np.complex64)
    model, scales = ErrorModel(head()), [1.0, 10.0]
    seen = delivered(result(image), image, scales, 1.0, 0.4, "cpu")
    found = predicted_deviation(model, seen, scales, abs(image))
    assert found.shape == image.shape
    assert found.dtype == np.float32
    expected = (ln_variance(model.head, seen) / 2).exp().detach().numpy()
    np.testing.assert_allclose(found[:, 0], expected * np.array(scales)[:, None, None], rtol=1e-4)


def test_a_second_look_comes_in_the_units_of_the_image():
    image = np.random.default_rng(1).standard_normal((2, 1, 8, 12)).astype(np.complex64)
    torch.manual_seed(0)
    look = SecondLook(SmallUNetConfig((4, 4, 4, 4)))
    torch.nn.init.normal_(look.last.weight)
    model, scales = ErrorModel(head(), second_look=look), [1.0, 10.0]
    seen = delivered(result(image), image, scales, 1.0, 0.4, "cpu")
    found = second_look(model, seen, scales, image)
    assert (found.shape, found.dtype) == (image.shape, np.complex64)
    expected = looked_again(look, seen).detach().numpy()
    np.testing.assert_allclose(found[:, 0], expected * np.array(scales)[:, None, None], rtol=1e-4, atol=1e-5)


def test_weights_without_a_second_look_take_none():
    image = np.ones((1, 1, 8, 12), np.complex64)
    with pytest.raises(ValueError, match="take no second look"):
        second_look(ErrorModel(head()), delivered(result(image), image, 1.0, 1.0, 0.4, "cpu"), 1.0, image)
