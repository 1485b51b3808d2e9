import pytest
import safetensors.torch
import torch

from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.loaders import LOADERS, load_weights
from nilatron.core.prior.weights import HASH_KEY, WeightsError, content_sha256, shipped_weights


@pytest.fixture
def of_another_format(tmp_path):
    tensors, metadata = {"variance": torch.tensor([0.2])}, {"format": "other-1"}
    path = tmp_path / "other.safetensors"
    metadata[HASH_KEY] = content_sha256(tensors, metadata)
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    return path


def test_our_networks_are_read():
    found = load_weights(shipped_weights("tiny"), "cpu")
    assert isinstance(found, EDMPrior)
    assert found.metadata["format"] in LOADERS


def test_a_format_that_no_loader_is_for_is_refused_with_those_that_are(of_another_format):
    with pytest.raises(WeightsError, match=r"a format among 'nilatron-edm-2', 'nilatron-edm-1', found 'other-1'"):
        load_weights(of_another_format, "cpu")


def test_another_format_is_one_more_loader(of_another_format, monkeypatch, toy_prior):
    seen = []

    def load(file, device):
        seen.append((file.format, device, float(file.load()["variance"])))
        return toy_prior

    monkeypatch.setitem(LOADERS, "other-1", load)
    assert load_weights(of_another_format, "cpu") is toy_prior
    assert seen == [("other-1", "cpu", pytest.approx(0.2))]
