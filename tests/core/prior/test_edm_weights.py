import json
import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nilatron.core.prior import weights
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, WeightsError, shipped_weights

CONFIG = {"channels": [8, 16], "blocks": [1, 1], "embedding": 16}
BEFORE = {"format": "nilatron-edm-1", "architecture": json.dumps(CONFIG), "sigma_data": "0.25"}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig((8, 16), (1, 1), 16), 0.25)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    path = tmp_path / "prior.safetensors"
    save_prior(path, denoiser, {"licence": "CC0"})
    return path, denoiser.eval()


def contents(path):
    with safe_open(path, framework="pt") as file:
        return load_file(path), file.metadata()


def test_a_round_trip_keeps_the_denoiser_to_half_precision(saved):
    path, denoiser = saved
    prior = load_prior(path)
    x = torch.randn(1, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    difference = prior.denoiser.denoise(x, 0.2) - denoiser.denoise(x, 0.2)
    assert float(difference.abs().max()) < 0.01
    assert prior.metadata["licence"] == "CC0"
    assert prior.metadata["format"] == "nilatron-edm-2"
    assert len(prior.sha256) == 64


def test_a_self_conditioned_network_is_read_as_one(tmp_path):
    denoiser = EDMDenoiser(UNetConfig((8, 16), (1, 1), 16, self_conditioned=True), 0.25)
    save_prior(tmp_path / "prior.safetensors", denoiser, {})
    assert load_prior(tmp_path / "prior.safetensors").denoiser.network.config == denoiser.network.config


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_precision_that_is_written_is_read(saved, dtype):
    path, denoiser = saved
    save_prior(path, denoiser, {}, dtype)
    state = load_prior(path).denoiser.state_dict()
    assert all(torch.equal(state[name], value.to(dtype).float()) for name, value in denoiser.state_dict().items())


def test_a_folder_an_absent_and_an_unreadable_file_are_refused(tmp_path, saved, monkeypatch):
    with pytest.raises(WeightsError, match="no weights file"):
        load_prior(tmp_path / "absent.safetensors")
    with pytest.raises(WeightsError, match=r"no weights file .* is a folder"):
        load_prior(tmp_path)
    with pytest.raises(WeightsError, match="may not be read"):
        load_prior(saved[0] / "below a file.safetensors")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(WeightsError, match=r"may not be read: .*Permission denied"):
        load_prior(saved[0])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"not safetensors at all",
        (2**63).to_bytes(8, "little") + b"{}",  # a header of 8 EiB
        (2**21).to_bytes(8, "little") + b" " * 2**21,  # there, but longer than any header of ours
        (9).to_bytes(8, "little") + b"[1, 2, 3]",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
)
def test_what_is_not_a_weights_file_is_refused(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        load_prior(path)


def test_a_file_larger_than_any_weights_is_not_even_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.safetensors"
    path.write_bytes(b" " * 2000)
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 1000)
    with pytest.raises(WeightsError, match="has 2000 bytes, more than"):
        load_prior(path)


class Bomb:
    """Creates a file where it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_is_refused_and_never_run(tmp_path, write):
    path, target = tmp_path / "prior.safetensors", tmp_path / "created"
    with path.open("wb") as file:
        write({"weights": Bomb(target)}, file)
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        load_prior(path)
    assert not target.exists()
    if write is pickle.dump:  # the bomb is a real one
        pickle.loads(path.read_bytes())["weights"].close()  # noqa: S301
        assert target.exists()


def test_a_truncated_file_is_refused(saved):
    path, _ = saved
    content = path.read_bytes()
    for length in (7, 8, 500, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="not a readable safetensors"):
            load_prior(path)


def test_one_flipped_bit_of_the_values_is_found(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"is damaged: .*SHA-256"):
        load_prior(path)


@pytest.mark.parametrize("change", [{"sigma_data": "0.26"}, {"licence": "none"}, {"content_sha256": "0" * 64}])
def test_altered_metadata_are_found(saved, change):
    path, _ = saved
    tensors, metadata = contents(path)
    save_file(tensors, path, metadata=metadata | change)
    with pytest.raises(WeightsError, match="is damaged"):
        load_prior(path)


def test_the_hash_may_be_missing_in_files_of_the_format_before_only(saved):
    path, _ = saved
    tensors, metadata = contents(path)
    stated = metadata.pop("content_sha256")
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(WeightsError, match="this file has none"):
        load_prior(path)
    save_file(tensors, path, metadata=metadata | {"format": "nilatron-edm-1"})
    assert load_prior(path).denoiser.sigma_data == 0.25
    save_file(tensors, path, metadata=metadata | {"format": "nilatron-edm-1", "content_sha256": stated})
    with pytest.raises(WeightsError, match="is damaged"):
        load_prior(path)


def test_a_foreign_format_is_refused(tmp_path):
    for metadata in ({"format": "pt"}, None):
        save_file({"a": torch.zeros(3)}, tmp_path / "foreign.safetensors", metadata=metadata)
        with pytest.raises(WeightsError, match="expected weights of format"):
            load_prior(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors | {"extra": torch.zeros(2)}, "1 names are missing or foreign, 'extra'"),
        (lambda tensors: {"a": torch.zeros(3)}, "missing or foreign, 'a'"),  # noqa: ARG005
        (lambda tensors: tensors | {"network.first.bias": torch.zeros(9)}, r"must be \[8\] of .*, found \[9\]"),
        (lambda tensors: tensors | {"network.first.bias": torch.zeros(8, dtype=torch.int32)}, "found .* of I32"),
        (lambda tensors: tensors | {"network.first.bias": torch.zeros(8, dtype=torch.float64)}, "found .* of F64"),
    ],
)
def test_foreign_names_shapes_and_dtypes_are_refused(saved, change, message):
    path, _ = saved
    tensors, _ = contents(path)
    save_file(tensors, path, metadata=BEFORE)
    load_prior(path)
    save_file(change(tensors), path, metadata=BEFORE)
    with pytest.raises(WeightsError, match=message):
        load_prior(path)


ARCHITECTURES = {
    "another": CONFIG | {"channels": [8, 8]},
    "too many channels": CONFIG | {"channels": [8, 1_000_000]},
    "too many blocks": CONFIG | {"blocks": [1, 1_000_000]},
    "too wide an embedding": CONFIG | {"embedding": 10**12},
    "too many levels": CONFIG | {"channels": [8] * 40, "blocks": [1] * 40},
    "no levels": CONFIG | {"channels": [], "blocks": []},
    "no whole numbers": CONFIG | {"channels": [8.0, 16]},
    "negative": CONFIG | {"embedding": -16},
    "text": CONFIG | {"channels": "ab"},
    "no multiple of the group": CONFIG | {"channels": [8, 15]},
    "unknown key": CONFIG | {"attention": True},
    "self-conditioned in name only": CONFIG | {"self_conditioned": True},
    "no truth value": CONFIG | {"self_conditioned": 1},
    "empty": {},
    "no object": [],
}


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_an_architecture_that_does_not_fit_is_refused_before_it_is_built(saved, architecture, monkeypatch):
    path, denoiser = saved
    monkeypatch.setattr(EDMDenoiser, "load_state_dict", None)  # never reached
    save_file(denoiser.state_dict(), path, metadata=BEFORE | {"architecture": json.dumps(architecture)})
    with pytest.raises(WeightsError, match="do not fit"):
        load_prior(path)


@pytest.mark.parametrize("sigma_data", ["-1", "0", "nan", "inf", "many"])
def test_a_data_scale_that_cannot_be_is_refused(saved, sigma_data):
    path, denoiser = saved
    save_file(denoiser.state_dict(), path, metadata=BEFORE | {"sigma_data": sigma_data})
    with pytest.raises(WeightsError, match="do not fit"):
        load_prior(path)


def test_values_that_are_not_finite_are_refused(saved):
    path, denoiser = saved
    with torch.no_grad():
        next(denoiser.parameters())[0] = float("nan")
    save_prior(path, denoiser, {})
    with pytest.raises(WeightsError, match="not finite"):
        load_prior(path)


@pytest.mark.slow
def test_a_corrupted_file_is_refused_or_makes_no_difference(saved):
    """Seeded damage of four kinds, half of it in the header; nothing but WeightsError ever comes out."""
    path, _ = saved
    content, known = path.read_bytes(), load_prior(path)
    end_of_header = 8 + int.from_bytes(content[:8], "little")
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for trial in range(200):
        limit = end_of_header if trial % 2 else len(content)
        place, length, byte = (int(torch.randint(0, n, (), generator=generator)) for n in (limit, 40, 256))
        damaged = {
            0: content[:place] + bytes([content[place] ^ (1 << byte % 8)]) + content[place + 1 :],
            1: content[:place] + bytes([byte]) * length + content[place + length :],
            2: content[:place] + content[place + length :],
            3: content[:place] + content[place : place + length] + content[place:],
        }[trial // 2 % 4]
        path.write_bytes(damaged)
        try:
            found = load_prior(path)
        except WeightsError:
            refused += 1
            continue
        state = found.denoiser.state_dict()
        assert found.metadata == known.metadata
        assert all(torch.equal(state[name], value) for name, value in known.denoiser.state_dict().items())
    assert refused > 150


def test_shipped_names(monkeypatch):
    assert shipped_weights("default") == DEFAULT_WEIGHTS
    assert load_prior(shipped_weights("tiny")).denoiser.network.config.channels == (16, 32, 48, 64)
    with pytest.raises(WeightsError, match="shipped as 'grande': choose from default, tiny"):
        shipped_weights("grande")
    monkeypatch.setattr("pathlib.Path.is_file", lambda _: False)
    with pytest.raises(WeightsError, match="'tiny' are not in this installation"):
        shipped_weights("tiny")
