"""Graphs of D around networks that others trained."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from nilatron.core.prior.conventions import EDM, VP
from nilatron.core.prior.foreign import ForeignDenoiser, ForeignUnits
from nilatron.core.prior.noise_levels import linear_alpha_bar

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from nilatron.core.prior.engines.onnx.engine import OnnxDenoiser  # noqa: E402 - needs the packages above
from nilatron.core.prior.engines.onnx.file import OnnxFacts, pack_onnx, parse_onnx  # noqa: E402
from nilatron.core.prior.foreign_onnx import (  # noqa: E402
    ForeignNetworkError,
    OnnxNetwork,
    export_denoiser,
    export_module,
    read_network,
    wrap_network,
)

MAGNITUDE = ForeignUnits(
    VP("noise", "step", linear_alpha_bar(n_steps=50)), channels=1, scale=2.0, offset=-1.0, multiple=2
)
EXPORTS = pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript is not installed")
PAIR = ForeignUnits(EDM("denoised", "sigma"), noise="complex", swapped=True, multiple=2)
X = torch.randn(2, 2, 8, 12, generator=torch.Generator().manual_seed(0))
S = torch.tensor([0.03, 0.4])


class Small(nn.Module):
    """One strided layer there and back, and the time."""

    def __init__(self, n_channels, n_steps=None):
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(n_channels, 4, 3, stride=2, padding=1)
        self.up = nn.Conv2d(4, n_channels, 3, padding=1)
        self.steps = nn.Embedding(n_steps, 4) if n_steps else None

    def forward(self, u, time):
        added = self.steps(time) if self.steps is not None else time[:, None].expand(-1, 4)
        h = torch.tanh(self.down(u) + added[:, :, None, None])
        return self.up(nn.functional.interpolate(h, scale_factor=2.0, mode="nearest"))


@pytest.fixture
def graph():
    """A network whose one tensor lies in the file."""
    text = (
        """(float[n, 2, r, c] x, float[n] t) => (float[n, 2, r, c] y) <float[1, 2, 1, 1] w = {2, 3}> {y = Mul(x, w)}"""
    )
    return onnx.parser.parse_model(HEAD + text)


def run(model, multiple):
    packed = parse_onnx(pack_onnx(model, OnnxFacts(0.24, multiple, "fp32", "0" * 64, {"licence": "CC0"})), "it")
    return OnnxDenoiser(packed, "cpu")


@EXPORTS
@pytest.mark.slow
def test_a_graph_in_a_frame_is_d_of_the_torch_network():
    network = Small(1, n_steps=50).eval().requires_grad_(False)
    example = (torch.zeros(3, 1, 8, 12), torch.zeros(3, dtype=torch.int64))
    graph = export_module(network, example, ["image", "t"], ["noise"])  # as its owner would
    expected = ForeignDenoiser(network, MAGNITUDE, 0.24)(X, S)
    model = read_network(graph.SerializeToString())
    assert torch.allclose(ForeignDenoiser(OnnxNetwork(model), MAGNITUDE, 0.24)(X, S), expected, atol=1e-5)
    framed = run(wrap_network(model, MAGNITUDE), MAGNITUDE.multiple)
    assert torch.allclose(framed(X, S), expected, atol=1e-5)
    larger = torch.randn(1, 2, 20, 6)
    assert torch.allclose(framed(larger, S[:1]), ForeignDenoiser(network, MAGNITUDE, 0.24)(larger, S[:1]), atol=1e-5)


@EXPORTS
@pytest.mark.slow
def test_a_torch_network_is_exported_with_its_frame():
    denoiser = ForeignDenoiser(Small(2).eval().requires_grad_(False), PAIR, 0.24)
    found = run(export_denoiser(denoiser), PAIR.multiple)
    for x, s in ((X, S), (torch.randn(3, 2, 4, 30), torch.tensor([0.01, 0.1, 2.0]))):
        assert torch.allclose(found(x, s), denoiser(x, s), atol=1e-5)


@EXPORTS
@pytest.mark.slow
def test_a_torch_network_that_cannot_be_exported():
    class Undecided(nn.Module):
        def forward(self, u, time):
            return u if float(time.sum()) > 1 else -u

    with pytest.raises(ForeignNetworkError, match=r"where it was trained and give the .onnx file: torch .* cannot"):
        export_denoiser(ForeignDenoiser(Undecided(), PAIR, 0.24))


def test_an_older_graph_is_brought_to_the_newer_operators():
    text = """<ir_version: 8, opset_import: ["" : 13]>
    net (float[n, 2, r, c] x, double[n] t) => (float[n, 2, r, c] y) {y = Identity(x)}"""
    model = read_network(onnx.parser.parse_model(text).SerializeToString())
    assert model.opset_import[0].version == 18
    x = torch.randn(2, 2, 4, 4)
    assert torch.equal(OnnxNetwork(model)(x, torch.ones(2)), x)


HEAD = '<ir_version: 8, opset_import: ["" : 18]> net '
REFUSED = {
    "one input": (
        "(float[n, 2, r, c] x) => (float[n, 2, r, c] y) {y = Identity(x)}",
        "as inputs",
    ),
    "fixed size": (
        "(float[n, 2, 64, c] x, float[n] t) => (float[n, 2, r, c] y) {y = Identity(x)}",
        "dynamic sizes",
    ),
    "half precision": (
        "(float16[n, 2, r, c] x, float[n] t) => (float16[n, 2, r, c] y) {y = Identity(x)}",
        "float32 image",
    ),
    "wrong operator": (
        "(float[n, 2, r, c] x, float[n] t) => (float[n, 2, r, c] y) {y = Dentity(x)}",
        "not ONNX that can be used",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_refused_graphs(fault):
    text, message = REFUSED[fault]
    with pytest.raises(ForeignNetworkError, match=message):
        read_network(onnx.parser.parse_model(HEAD + text).SerializeToString())


def test_bytes_that_are_no_graph():
    with pytest.raises(ForeignNetworkError, match="not an ONNX file"):
        read_network(b"\xff" * 40)


@pytest.mark.parametrize("inside", [False, True])
def test_tensors_in_other_files_are_never_opened(graph, inside):
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    tensor = model.graph.initializer[0]
    if inside:  # of a node within a node
        node = model.graph.node.add(op_type="If", input=["c"], output=["y"])
        inner = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g
        tensor = inner.node.add(op_type="Constant", output=["z"]).attribute.add(name="value").t
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../elsewhere")
    with pytest.raises(ForeignNetworkError, match="other files"):
        read_network(model.SerializeToString())


def test_an_image_that_the_graph_cannot_take(graph):
    with pytest.raises(ForeignNetworkError, match="cannot compute"):
        OnnxNetwork(read_network(graph.SerializeToString()))(torch.zeros(1, 3, 8, 8), torch.zeros(1))
