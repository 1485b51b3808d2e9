import pickle
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from nilatron.core.prior.unet import ARCHITECTURES, UNet
from nilatron.pipelines.prior.convert_settings import ConversionError
from nilatron.pipelines.prior.convert_source import SourceSettings, read_source

CODE = """
import torch
class Gain(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    def forward(self, u, time):
        return self.gain * u
def number():
    return 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "somebodys_network.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    return "somebodys_network"


@pytest.fixture
def gain(tmp_path):
    path = tmp_path / "gain.safetensors"
    safetensors.torch.save_file({"ema.gain": torch.tensor(5.0)}, path)
    return path


def test_weights_of_the_users_own_code(module, gain):
    found = read_source(SourceSettings(gain, f"{module}:Gain", prefixes=(("ema.", ""),)))
    assert found.network(torch.ones(1), None) == torch.tensor([5.0])
    assert found.network.gain.dtype == torch.float32
    assert not found.network.gain.requires_grad
    assert found.unet_state is None
    assert found.model is None


def test_code_that_brings_its_weights_is_known_by_their_hash(module):
    found = read_source(SourceSettings(None, f"{module}:Gain"))
    assert found.network(torch.ones(1), None) == torch.tensor([2.0])
    again = read_source(SourceSettings(None, f"{module}:Gain"))
    assert found.sha256 == again.sha256
    assert len(found.sha256) == 64


def test_our_own_network_under_other_names(tmp_path):
    network = UNet(ARCHITECTURES["tiny"])
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file({f"model.{k}": v for k, v in network.state_dict().items()}, path)
    found = read_source(SourceSettings(path, architecture="tiny", prefixes=(("model.", ""),)))
    assert isinstance(found.network, UNet)
    assert found.unet_state.keys() == network.state_dict().keys()
    with pytest.raises(ConversionError, match="do not fit the network; --key"):
        read_source(SourceSettings(path, architecture="tiny"))


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (type(self.path).touch, (self.path,))


@pytest.mark.parametrize("name", ["net.pt", "net.ckpt", "net.pkl", "net.pt2", "net.safetensors", "net.onnx"])
def test_nothing_is_unpickled(tmp_path, name):
    pytest.importorskip("onnx")
    sprung = tmp_path / "sprung"
    with (tmp_path / name).open("wb") as file:
        pickle.dump(Trap(sprung), file)
    with pytest.raises(ConversionError):
        read_source(SourceSettings(tmp_path / name, architecture="tiny"))
    with pytest.raises(ConversionError):
        read_source(SourceSettings(tmp_path / name))
    assert not sprung.exists()


REFUSED = {
    "data.pkl": "pickled checkpoint",
    "code/__torch__.py": "TorchScript archive",
    "archive_format": "archive of torch.export",
}


@pytest.mark.parametrize("member", REFUSED)
def test_refusals_say_how_to_leave_the_format(tmp_path, member):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"net/{member}", b"")
    with pytest.raises(ConversionError, match=f"{REFUSED[member]}.*so it is not read") as refused:
        read_source(SourceSettings(path))
    lines = str(refused.value).splitlines()[1:]
    compile("\n".join(line.removeprefix("    ") for line in lines), "remedy", "exec")
    assert f'"{path.name}"' in str(refused.value)


def test_the_remedy_for_checkpoints_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(nn.Linear(2, 3).state_dict(), "net.pt")
    with pytest.raises(ConversionError) as refused:
        read_source(SourceSettings(tmp_path / "net.pt"))
    lines = str(refused.value).splitlines()[1:]
    exec("\n".join(line.removeprefix("    ") for line in lines))  # noqa: S102 - what the message tells the user to run
    assert safetensors.torch.load_file("net.safetensors").keys() == {"weight", "bias"}


BAD_WORDS = {
    "nothing": ({}, "give a file of weights"),
    "absent file": ({"weights": "absent.safetensors"}, "no such file"),
    "no network": ({"weights": "gain.safetensors"}, "--architecture"),
    "no function": ({"network": "somebodys_network"}, "MODULE:FUNCTION"),
    "absent module": ({"network": "nobodys_network:build"}, "PYTHONPATH"),
    "absent function": ({"network": "somebodys_network:build"}, "no attribute 'build'"),
    "not a network": ({"network": "somebodys_network:number"}, "returned int"),
    "prefix": (
        {"weights": "gain.safetensors", "network": "somebodys_network:Gain", "prefixes": (("net.", ""),)},
        "begins with 'net.'",
    ),
}


@pytest.mark.parametrize("fault", BAD_WORDS)
def test_bad_words(fault, module, gain):  # noqa: ARG001 - the module is on the path
    words, message = BAD_WORDS[fault]
    words = {"weights": None} | words
    if words["weights"]:
        words["weights"] = gain.with_name(words["weights"])
    with pytest.raises(ConversionError, match=message):
        read_source(SourceSettings(**words))
