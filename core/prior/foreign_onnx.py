"""ONNX graphs of networks trained elsewhere: D from a torch module, or around a graph that is given.

The equations of core.prior.foreign are exported as two small graphs, in front of the network and behind it, so that there is
one place that knows them. Models stay as they came otherwise; `core.prior.engines.onnx_file` has the last word on what may
be in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nilatron.core.errors import BadInputError
from nilatron.core.prior.engines import onnx_exporter
from nilatron.core.prior.engines.onnx_exporter import OPSET, example
from nilatron.core.prior.engines.packages import needed
from nilatron.core.prior.foreign import ForeignDenoiser, ForeignUnits

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

FLOAT32 = 1  # of ONNX, as the keys below
TIME_TYPES = {FLOAT32: torch.float32, 7: torch.int64, 11: torch.float64}
STANDARD_DOMAINS = ("", "ai.onnx")


class ForeignNetworkError(BadInputError):
    """A network that cannot be called as N(u, time), or cannot be written as ONNX."""


class OnnxNetwork(nn.Module):
    """N(u, time) by ONNX Runtime on the CPU.

    Parameters
    ----------
    model
        Two inputs, an image (batch, channels, y, x) and a time (batch,); the first output is used.

    Raises
    ------
    ForeignNetworkError
        When the inputs are others, or the runtime cannot load or compute the model.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        runtime = needed("onnxruntime")
        self.image, self.time = inputs_of(model)
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # only what stops it, and that is raised
        options.intra_op_num_threads = torch.get_num_threads()
        content = model.SerializeToString()
        try:
            self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ForeignNetworkError(f"ONNX Runtime {runtime.__version__} refuses the network: {error}") from error

    def forward(self, u: Tensor, time: Tensor) -> Tensor:
        """Predict."""
        times = time.to(TIME_TYPES[element_type(self.time)])
        given = {self.image.name: u.contiguous().numpy(), self.time.name: times.numpy()}
        try:
            return torch.from_numpy(np.asarray(self.session.run(None, given)[0]))
        except Exception as error:
            raise ForeignNetworkError(f"ONNX Runtime cannot compute the network: {error}") from error


def read_network(content: bytes) -> ModelProto:
    """A network in ONNX, with functions of its own inlined, at opset 18 or above.

    Raises
    ------
    ForeignNetworkError
        When it is no ONNX file, keeps tensors in other files or needs operators that are not ONNX's own.
    """
    onnx = needed("onnx")
    from google.protobuf.message import DecodeError
    from onnx import inliner, version_converter

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ForeignNetworkError(f"it is not an ONNX file ({error})") from error
    try:
        model = inliner.inline_local_functions(model)
        if any(tensor.external_data for tensor in _tensors(model.graph)):
            raise ForeignNetworkError("it keeps tensors in other files: export it with everything in one file")
        if _opset(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, version_converter.ConvertError, RuntimeError) as error:
        raise ForeignNetworkError(f"it is not ONNX that can be used ({error})") from error
    inputs_of(model)
    return model


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Constants of a graph and of those within it."""
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)


def inputs_of(model: ModelProto) -> tuple[ValueInfoProto, ValueInfoProto]:
    """Image and time of a network.

    Raises
    ------
    ForeignNetworkError
        When there are others, or their sizes are fixed.
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
    """ONNX's number of it."""
    return int(value.type.tensor_type.elem_type)


def exported(denoiser: ForeignDenoiser) -> ModelProto:
    """D of a torch network; inputs x and s, output d.

    Raises
    ------
    ForeignNetworkError
        When torch cannot export the network.
    """
    return export_module(denoiser, example(denoiser.multiple), ["x", "s"], ["d"])


def wrapped(network: ModelProto, units: ForeignUnits) -> ModelProto:
    """D around a network that is a graph already, as `read_network` gives it; inputs x and s, output d."""
    needed("onnx")
    from onnx import compose, version_converter

    image, time = inputs_of(network)
    x, s = example(units.multiple)
    before = _Before(units, TIME_TYPES[element_type(time)])
    front = export_module(before, (x, s), ["x", "s"], ["u", "time", "kept_x", "kept_s"])
    back = export_module(_After(units), (x, s, before(x, s)[0]), ["x", "s", "predicted"], ["d"])
    front, back = (version_converter.convert_version(model, _opset(network)) for model in (front, back))
    front = compose.add_prefix(front, "front/", rename_inputs=False)
    middle = compose.add_prefix(network, "network/")
    back = compose.add_prefix(back, "back/", rename_outputs=False)
    for model in (front, middle, back):
        model.ir_version = max(front.ir_version, network.ir_version)
    given = [("front/u", f"network/{image.name}"), ("front/time", f"network/{time.name}")]
    predicted = middle.graph.output[0].name
    kept = [("front/kept_x", "back/x"), ("front/kept_s", "back/s"), (predicted, "back/predicted")]
    joined = compose.merge_models(front, middle, given, outputs=[name for name, _ in kept])
    whole: ModelProto = compose.merge_models(joined, back, kept)
    return whole


class _Before(nn.Module):
    """What the network is given, and what is needed again behind it."""

    def __init__(self, units: ForeignUnits, time_type: torch.dtype) -> None:
        super().__init__()
        self.frame, self.time_type = ForeignDenoiser(nn.Identity(), units, 1.0), time_type

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image and time for the network; x; s."""
        u, time = self.frame.prepare(x, s)
        return u, time.to(self.time_type), x.clone(), s.clone()


class _After(nn.Module):
    """D from what the network predicted."""

    def __init__(self, units: ForeignUnits) -> None:
        super().__init__()
        self.frame = ForeignDenoiser(nn.Identity(), units, 1.0)

    def forward(self, x: Tensor, s: Tensor, predicted: Tensor) -> Tensor:
        """D(x, s)."""
        return self.frame.finish(x, s, predicted)


def export_module(module: nn.Module, given: tuple[Tensor, ...], inputs: list[str], outputs: list[str]) -> ModelProto:
    """The module as ONNX: `onnx_exporter.export_module`, with advice where it fails.

    Raises
    ------
    ForeignNetworkError
        When torch cannot export it.
    """
    try:
        return onnx_exporter.export_module(module, given, inputs, outputs)
    except onnx_exporter.ExporterError as error:
        raise ForeignNetworkError(
            f"export the network where it was trained and give the .onnx file: {error}"
        ) from error


def _opset(model: ModelProto) -> int:
    return max((used.version for used in model.opset_import if used.domain in STANDARD_DOMAINS), default=OPSET)
