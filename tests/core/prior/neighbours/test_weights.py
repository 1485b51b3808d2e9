from pathlib import Path

import pytest
import safetensors.torch
import torch

from nilatron.core.prior.neighbours.head import NeighbourHead
from nilatron.core.prior.neighbours.weights import beside, load_neighbours, save_neighbours
from nilatron.core.prior.small_unet import SmallUNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, WeightsError, read_weights_file


@pytest.fixture
def path(tmp_path):
    torch.manual_seed(0)
    head = NeighbourHead(SmallUNetConfig((4, 8, 8, 8)))
    save_neighbours(tmp_path / "own.safetensors", head, {"licence": "none"}, "ab" * 32)
    return tmp_path / "own.safetensors"


def test_what_is_written_is_read(path):
    torch.manual_seed(0)
    written = NeighbourHead(SmallUNetConfig((4, 8, 8, 8))).state_dict()
    read = load_neighbours(path)
    assert (read.denoiser_sha256, read.metadata["licence"]) == ("ab" * 32, "none")
    assert read.sha256 == read_weights_file(path).sha256
    assert all(torch.equal(value, written[name].half().float()) for name, value in read.head.state_dict().items())
    assert not any(parameter.requires_grad for parameter in read.head.parameters())


def rewritten(path, metadata=(), tensors=None):
    file = read_weights_file(path)
    kept = file.load() if tensors is None else tensors
    safetensors.torch.save_file(kept, path, metadata=file.metadata | dict(metadata))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "nilatron-edm-2"}, "expected weights of format 'nilatron-neighbours-1'"),
        ({"architecture": '{"channels": [4, 8, 8, 4096]}'}, "do not fit a head"),
        ({"architecture": "[]"}, "do not fit a head"),
        ({"architecture": '{"channels": [8, 8, 8, 8]}'}, "do not fit the architecture"),
        ({"licence": "another"}, "is damaged"),
    ],
)
def test_another_file_is_refused(path, changes, message):
    rewritten(path, changes)
    with pytest.raises(WeightsError, match=message):
        load_neighbours(path)


def test_a_damaged_value_is_found(path):
    tensors = {name: value.clone() for name, value in read_weights_file(path).load().items()}
    tensors["last.bias"] += 1
    rewritten(path, tensors=tensors)
    with pytest.raises(WeightsError, match="is damaged"):
        load_neighbours(path)


def test_a_head_lies_beside_its_weights():
    assert beside(Path("folder/own.safetensors")) == Path("folder/own.neighbours.safetensors")


def test_the_shipped_head_belongs_to_the_default_weights():
    assert load_neighbours(beside(DEFAULT_WEIGHTS)).denoiser_sha256 == read_weights_file(DEFAULT_WEIGHTS).sha256
