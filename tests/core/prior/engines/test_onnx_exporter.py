import logging
import warnings

import pytest
from torch import nn

from nilatron.core.prior.engines.onnx_exporter import (
    OPSET,
    ExporterError,
    example_inputs,
    export_module,
    quiet_exporter,
)

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


class Faded(nn.Module):
    """x weighted by its noise."""

    def forward(self, x, s):
        return x / (1 + s)[:, None, None, None]


class Undecided(nn.Module):
    """What no graph can say: the result depends on a value."""

    def forward(self, x, s):
        return x if float(s.sum()) > 1 else -x


def test_batch_and_sides_are_dynamic_and_channels_fixed():
    model = export_module(Faded(), example_inputs(4), ["x", "s"], ["d"])
    assert [opset.version for opset in model.opset_import if not opset.domain] == [OPSET]
    dims = {
        value.name: [dim.dim_value if dim.HasField("dim_value") else "free" for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    images = ["free", 2, "free", "free"]
    assert dims == {"x": images, "s": ["free"], "d": images}


def test_a_network_that_torch_cannot_export():
    with pytest.raises(ExporterError, match=r"torch .* cannot export the network to ONNX"):
        export_module(Undecided(), example_inputs(4), ["x", "s"], ["d"])


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
