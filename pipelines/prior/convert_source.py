"""Networks trained elsewhere, from what holds them; nothing that came as a file is unpickled or run as a program.

- NAME.safetensors alone: our own U-Net, trained elsewhere, under its names or others.
- NAME.safetensors with MODULE:FUNCTION: a network that the user's own code builds.
- MODULE:FUNCTION alone: one that this code builds with its weights.
- NAME.onnx: a graph.

The user's code is what the command line names and the interpreter finds on its path, as with `python -m`. Refused are
checkpoints of torch.save (pickles: reading one may run anything), archives of torch.export (their weights and constants are
pickles as well, and its reader falls back to unpickling without restriction) and of TorchScript (its pickle is read with
restrictions, but it is a program, and one whose reader torch has given up). Each refusal says how to leave the format behind
in an environment where the file is trusted.
"""

from __future__ import annotations

import hashlib
import importlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from nilatron.core.prior.foreign import rename_prefixes
from nilatron.core.prior.foreign_onnx import ForeignNetworkError, OnnxNetwork, read_network
from nilatron.core.prior.unet import ARCHITECTURES, UNet
from nilatron.pipelines.prior.convert_settings import ConversionError

if TYPE_CHECKING:
    from onnx import ModelProto

MOST_BYTES = 4 << 30  # of a network trained elsewhere
NOT_READ = "{path} is {what}, so it is not read. Where you trust it, convert it in an environment of your own:\n"
PICKLED = (
    "a pickled checkpoint, and reading one may run any code",
    """    import torch, safetensors.torch
    state = torch.load("{name}", weights_only=True)  # and from it the state dict, often ["state_dict"] or ["ema"]
    safetensors.torch.save_file({{k: v.contiguous() for k, v in state.items()}}, "{stem}.safetensors")""",
)
TORCHSCRIPT = (
    "a TorchScript archive, which is a program",
    """    import torch
    network, example = torch.jit.load("{name}"), (torch.zeros(2, 2, 64, 64), torch.ones(2))
    sizes = {{"x": {{0: "n", 2: "rows", 3: "columns"}}, "t": {{0: "n"}}}}
    torch.onnx.export(network, example, "{stem}.onnx", dynamo=False, input_names=["x", "t"], dynamic_axes=sizes)""",
)
EXPORTED = (
    "an archive of torch.export, whose weights are pickled",
    """    import torch
    program = torch.export.load("{name}")  # which was exported with dynamic batch and sides
    torch.onnx.export(program, dynamo=True).save("{stem}.onnx")""",
)


@dataclass(frozen=True)
class SourceSettings:
    """Where the network is.

    Attributes
    ----------
    weights
        A file of safetensors or ONNX, or None where the user's code brings the weights.
    network
        MODULE:FUNCTION, which returns the network N(u, time); None for our own U-Net or an ONNX file.
    architecture
        Of our own U-Net.
    prefixes
        Of tensor names, (old, new).
    """

    weights: Path | None
    network: str | None = None
    architecture: str | None = None
    prefixes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """A network ready to be called, and what else can be made of it.

    Attributes
    ----------
    network
        N(u, time).
    sha256
        Of the file, or of the tensors where the user's code brought them.
    model
        The graph, where it came as one.
    unet_state
        Tensors, where it is our own U-Net.
    """

    network: nn.Module
    sha256: str
    model: ModelProto | None = None
    unet_state: dict[str, Tensor] | None = None


def read_source(settings: SourceSettings) -> Source:
    """The network that the settings name.

    Raises
    ------
    ConversionError
        When there is none, or it is in a format that is not read.
    """
    weights = settings.weights
    if weights is None:
        if settings.network is None:
            raise ConversionError("give a file of weights, --network MODULE:FUNCTION, or both")
        network = _built(settings.network)
        return Source(_ready(network), _digest(network.state_dict()))
    if not weights.is_file():
        raise ConversionError(f"{weights}: {'is not a file' if weights.exists() else 'no such file'}")
    kind = weights.suffix.lower()
    if kind not in (".onnx", ".safetensors"):
        raise ConversionError(_refusal(weights))
    if weights.stat().st_size > MOST_BYTES:
        raise ConversionError(f"{weights} has {weights.stat().st_size} bytes, more than {MOST_BYTES}")
    content = weights.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if kind == ".onnx":
        return _from_onnx(settings, weights, content, sha256)
    try:
        tensors = rename_prefixes(safetensors.torch.load(content), settings.prefixes)
    except (SafetensorError, ValueError, RuntimeError, TypeError) as error:
        raise ConversionError(f"{weights}: {error}") from error
    network = _built(settings.network) if settings.network else _own(settings.architecture)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ConversionError(
            f"{weights}: the tensors do not fit the network; --key OLD=NEW renames: {error}"
        ) from error
    return Source(_ready(network), sha256, unet_state=None if settings.network else dict(tensors))


def _from_onnx(settings: SourceSettings, path: Path, content: bytes, sha256: str) -> Source:
    if settings.network or settings.architecture or settings.prefixes:
        raise ConversionError(f"{path} is a whole network: leave --network, --architecture and --key out")
    try:
        model = read_network(content)
        return Source(OnnxNetwork(model), sha256, model=model)
    except ForeignNetworkError as error:
        raise ConversionError(f"{path}: {error}") from error


def _refusal(path: Path) -> str:
    """Why this kind of file is not read, and the way out of it."""
    names: list[str] = []
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        pass  # a pickle alone
    what, way = PICKLED
    if any(name.endswith("/archive_format") for name in names) or path.suffix == ".pt2":
        what, way = EXPORTED
    elif any("/code/" in name for name in names):
        what, way = TORCHSCRIPT
    return (NOT_READ + way).format(path=path, what=what, name=path.name, stem=path.stem)


def _own(architecture: str | None) -> nn.Module:
    if architecture not in ARCHITECTURES:
        raise ConversionError(
            "weights alone are those of our own U-Net, of --architecture "
            f"{', '.join(ARCHITECTURES)}; for another network give --network MODULE:FUNCTION"
        )
    return UNet(ARCHITECTURES[architecture])


def _built(words: str) -> nn.Module:
    """The network that the user's code returns."""
    module_name, separator, name = words.partition(":")
    if not separator or not module_name or not name:
        raise ConversionError(f"--network is MODULE:FUNCTION, e.g. mynetwork:build; got {words!r}")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except ImportError as error:
        raise ConversionError(
            f"--network: {error}; the module has to be on the path of Python (PYTHONPATH=FOLDER)"
        ) from error
    except AttributeError as error:
        raise ConversionError(f"--network: {error}") from error
    network = function()
    if not isinstance(network, nn.Module):
        raise ConversionError(f"{words} returned {type(network).__name__}, not a torch.nn.Module")
    return network


def _ready(network: nn.Module) -> nn.Module:
    return network.to("cpu", torch.float32).eval().requires_grad_(False)


def _digest(tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save({k: v.contiguous().clone() for k, v in tensors.items()})).hexdigest()
