import json

import pytest
import torch
from safetensors.torch import save_file

from nilatron.core.prior.weights import (
    DEFAULT_WEIGHTS,
    HASH_KEY,
    SHIPPED,
    WeightsError,
    content_sha256,
    find_weights,
    read_weights_file,
    shipped_weights,
)


@pytest.fixture
def saved(tmp_path):
    """Writes tensors with metadata; the hash is added unless it is given."""

    def save(tensors, **metadata):
        metadata.setdefault(HASH_KEY, content_sha256(tensors, metadata))
        save_file(tensors, tmp_path / "any.safetensors", metadata=metadata)
        return tmp_path / "any.safetensors"

    return save


def test_names_are_shipped_files_and_everything_else_is_a_path():
    assert find_weights("default") == shipped_weights("default") == DEFAULT_WEIGHTS
    assert all(shipped_weights(name).is_file() for name in SHIPPED)
    assert find_weights("mine.safetensors").name == "mine.safetensors"
    with pytest.raises(WeightsError, match="no weights are shipped as 'mine'"):
        shipped_weights("mine")


def test_a_file_of_any_format_comes_back_whole(saved):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.float16)}
    file = read_weights_file(saved(tensors, format="other-1", licence="CC0"))
    assert file.format == "other-1"
    assert file.metadata["licence"] == "CC0"
    assert file.tensors["a"]["shape"] == [2, 3]
    assert len(file.sha256) == 64
    assert all(torch.equal(value, tensors[name]) for name, value in file.load().items())


def test_a_hash_is_needed_and_has_to_fit(saved):
    tensors = {"a": torch.ones(2)}
    with pytest.raises(WeightsError, match="is damaged"):
        read_weights_file(saved(tensors, **{"format": "other-1", HASH_KEY: "0" * 64})).load()
    path = saved(tensors)
    save_file(tensors, path, metadata={"format": "other-1"})
    with pytest.raises(WeightsError, match=f"carry {HASH_KEY}, this file has none"):
        read_weights_file(path).load()


def test_values_have_to_be_finite(saved):
    with pytest.raises(WeightsError, match="not finite"):
        read_weights_file(saved({"a": torch.tensor([1.0, float("nan")])}, format="other-1")).load()


def test_metadata_that_are_no_texts_are_none(tmp_path):
    header = json.dumps({"__metadata__": ["other-1"]}).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert read_weights_file(tmp_path / "odd.safetensors").format == ""
