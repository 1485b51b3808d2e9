import logging
import warnings
from importlib.util import find_spec

import pytest
from torch import nn

from nilatron.core.prior.engines.onnx.exporter import OPSET, example_inputs, export_module, quiet_exporter

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytestmark = pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript is not installed")


class Faded(nn.Module):
    """x weighted by its noise."""

    def forward(self, x, s):
        return x / (1 + s)[:, None, None, None]


@pytest.mark.slow
def test_batch_and_sides_are_dynamic_and_channels_fixed():
    model = export_module(Faded(), example_inputs(4), ["x", "s"], ["d"])
    assert [opset.version for opset in model.opset_import if not opset.domain] == [OPSET]
    dims = {
        value.name: [dim.dim_value if dim.HasField("dim_value") else "free" for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    images = ["free", 2, "free", "free"]
    assert dims == {"x": images, "s": ["free"], "d": images}


def test_no_two_sizes_of_the_example_are_alike():
    x, s = example_inputs(16)
    assert len({*x.shape, 1}) == 5
    assert s.shape == x.shape[:1]


def test_the_exporter_is_quiet_and_others_may_speak_again():
    log = logging.getLogger("torch.onnx")
    before = log.level
    with quiet_exporter():
        warnings.warn("of its own ways", FutureWarning, stacklevel=1)
        assert not log.isEnabledFor(logging.WARNING)
    assert log.level == before
