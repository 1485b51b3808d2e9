"""ONNX graphs of the denoiser D from networks trained elsewhere, which are torch modules or ONNX graphs.

The equations of core.prior.foreign are exported as two small graphs, before and after the network, so that they are written
down in one place only. The network's graph stays as it is; `core.prior.engines.onnx.file` decides what a graph may contain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nilatron.core.errors import BadInputError
from nilatron.core.prior.engines.onnx import exporter as onnx_exporter
from nilatron.core.prior.engines.onnx.exporter import OPSET, example_inputs
from nilatron.core.prior.engines.onnx.file import keeps_tensors_elsewhere
from nilatron.core.prior.engines.packages import import_package
from nilatron.core.prior.foreign import ForeignDenoiser, ForeignUnits

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

FLOAT32 = 1  # ONNX's number of the element type, as are the keys below
TIME_TYPES = {FLOAT32: torch.float32, 7: torch.int64, 11: torch.float64}
STANDARD_DOMAINS = ("", "ai.onnx")
MOST_NODES, MOST_LEVELS = 1_000_000, 64  # once all functions are inlined; functions that call functions


class ForeignNetworkError(BadInputError):
    """A network that cannot be called as N(u, time), or cannot be written as ONNX."""


class OnnxNetwork(nn.Module):
    """N(u, time) by ONNX Runtime on the CPU.

    Parameters
    ----------
    model
        Graph with two inputs, an image (batch, channels, y, x) and a time (batch,); its first output is used.

    Raises
    ------
    ForeignNetworkError
        When the graph has other inputs, or the runtime cannot load or compute it.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        runtime = import_package("onnxruntime")
        self.image, self.time = inputs_of(model)
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # no messages; fatal errors are raised as exceptions
        options.intra_op_num_threads = torch.get_num_threads()
        content = model.SerializeToString()
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ForeignNetworkError(f"ONNX Runtime {runtime.__version__} refuses the network: {error}") from error

    def forward(self, u: Tensor, time: Tensor) -> Tensor:
        """Prediction N(u, time) of the network."""
        times = time.to(TIME_TYPES[element_type(self.time)])
        inputs = {self.image.name: u.contiguous().numpy(), self.time.name: times.numpy()}
        try:
            return torch.from_numpy(np.asarray(self.session.run(None, inputs)[0]))
        except Exception as error:
            raise ForeignNetworkError(f"ONNX Runtime cannot compute the network: {error}") from error


def read_network(content: bytes) -> ModelProto:
    """The network of an ONNX file, with its own functions inlined, at opset 18 or above.

    Raises
    ------
    ForeignNetworkError
        When `content` is no ONNX file, keeps tensors in other files or needs operators that are not ONNX's own.
    """
    onnx = import_package("onnx")
    from google.protobuf.message import DecodeError
    from onnx import inliner, version_converter

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ForeignNetworkError(f"it is not an ONNX file ({error})") from error
    if any(keeps_tensors_elsewhere(part) for part in (model.graph, *model.functions)):
        raise ForeignNetworkError("it keeps tensors in other files: export it with everything in one file")
    _check_functions(model)
    try:
        model = inliner.inline_local_functions(model)
        if _opset(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, version_converter.ConvertError, RuntimeError, UnicodeError) as error:
        raise ForeignNetworkError(f"it is not ONNX that can be used ({error})") from error
    inputs_of(model)
    return model


def _check_functions(model: ModelProto) -> None:
    """Refuse functions that call themselves, or each other so often that the graph would grow without bounds."""
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[NodeProto], callers: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            inner = [graph.node for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
            total += 1 + sum(size(own, callers) for own in inner)
            key = (node.domain, node.op_type)
            if key in functions:
                if key in callers or len(callers) > MOST_LEVELS:
                    raise ForeignNetworkError(
                        f"its function {node.op_type[:80]!r} calls itself, or {MOST_LEVELS} others in a row"
                    )
                if key not in sizes:
                    sizes[key] = size(functions[key].node, (*callers, key))
                total += sizes[key]
            if total > MOST_NODES:
                raise ForeignNetworkError(f"its functions make a graph of more than {MOST_NODES} operators")
        return total

    size(model.graph.node, ())


def inputs_of(model: ModelProto) -> tuple[ValueInfoProto, ValueInfoProto]:
    """Image and time input of a network.

    Raises
    ------
    ForeignNetworkError
        When the network has other inputs, or their sizes are fixed.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    by_rank = {len(value.type.tensor_type.shape.dim): value for value in inputs}
    if len(inputs) != 2 or set(by_rank) != {4, 1}:
        found = ", ".join(f"{v.name} of {len(v.type.tensor_type.shape.dim)} axes" for v in inputs)
        raise ForeignNetworkError(
            f"expected an image (batch, channels, y, x) and a time (batch,) as inputs, found {found[:200] or 'none'}"
        )
    image, time = by_rank[4], by_rank[1]
    sizes = [image.type.tensor_type.shape.dim[axis] for axis in (0, 2, 3)] + list(time.type.tensor_type.shape.dim)
    if any(size.HasField("dim_value") for size in sizes):
        raise ForeignNetworkError("batch, y or x is fixed in this file: export the network with dynamic sizes")
    if element_type(image) != FLOAT32 or element_type(time) not in TIME_TYPES:
        raise ForeignNetworkError("expected a float32 image and a time of float32, float64 or int64")
    return image, time


def element_type(value: ValueInfoProto) -> int:
    """ONNX's number of the element type of an input or output."""
    return int(value.type.tensor_type.elem_type)


def export_denoiser(denoiser: ForeignDenoiser) -> ModelProto:
    """Graph of D, with inputs x and s and output d, from a torch network.

    Raises
    ------
    ForeignNetworkError
        When torch cannot export the network.
    """
    return export_module(denoiser, example_inputs(denoiser.multiple), ["x", "s"], ["d"])


def wrap_network(network: ModelProto, units: ForeignUnits) -> ModelProto:
    """Graph of D, with inputs x and s and output d, around the graph of a network as `read_network` returns it."""
    import_package("onnx")
    from onnx import compose, version_converter

    image, time = inputs_of(network)
    x, s = example_inputs(units.multiple)
    prepare = _Prepare(units, TIME_TYPES[element_type(time)])
    front = export_module(prepare, (x, s), ["x", "s"], ["u", "time", "kept_x", "kept_s"])
    back = export_module(_Finish(units), (x, s, prepare(x, s)[0]), ["x", "s", "predicted"], ["d"])
    front, back = (version_converter.convert_version(model, _opset(network)) for model in (front, back))
    front = compose.add_prefix(front, "front/", rename_inputs=False)
    middle = compose.add_prefix(network, "network/")
    back = compose.add_prefix(back, "back/", rename_outputs=False)
    for model in (front, middle, back):
        model.ir_version = max(front.ir_version, network.ir_version)
    to_network = [("front/u", f"network/{image.name}"), ("front/time", f"network/{time.name}")]
    predicted = middle.graph.output[0].name
    to_back = [("front/kept_x", "back/x"), ("front/kept_s", "back/s"), (predicted, "back/predicted")]
    joined = compose.merge_models(front, middle, to_network, outputs=[name for name, _ in to_back])
    whole: ModelProto = compose.merge_models(joined, back, to_back)
    return whole


class _Prepare(nn.Module):
    """Inputs of the network, and copies of x and s for `_Finish`."""

    def __init__(self, units: ForeignUnits, time_type: torch.dtype) -> None:
        super().__init__()
        self.denoiser, self.time_type = ForeignDenoiser(nn.Identity(), units, 1.0), time_type

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image u and time for the network; copies of x and s."""
        u, time = self.denoiser.prepare(x, s)
        return u, time.to(self.time_type), x.clone(), s.clone()


class _Finish(nn.Module):
    """Denoised image D(x, s) from the network's output."""

    def __init__(self, units: ForeignUnits) -> None:
        super().__init__()
        self.denoiser = ForeignDenoiser(nn.Identity(), units, 1.0)

    def forward(self, x: Tensor, s: Tensor, predicted: Tensor) -> Tensor:
        """D(x, s)."""
        return self.denoiser.finish(x, s, predicted)


def export_module(module: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> ModelProto:
    """The module as an ONNX graph, by `engines.onnx.exporter`; its errors get advice.

    Raises
    ------
    ForeignNetworkError
        When torch cannot export the module.
    """
    try:
        return onnx_exporter.export_module(module, example, inputs, outputs)
    except onnx_exporter.ExporterError as error:
        raise ForeignNetworkError(
            f"export the network where it was trained and give the .onnx file: {error}"
        ) from error


def _opset(model: ModelProto) -> int:
    return max((used.version for used in model.opset_import if used.domain in STANDARD_DOMAINS), default=OPSET)
