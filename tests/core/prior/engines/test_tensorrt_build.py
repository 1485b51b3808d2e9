"""Against a stand-in for TensorRT's Python interface: whether engines are right, only a GPU can show."""

import logging

import pytest

from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError
from nilatron.core.prior.engines.tensorrt_build import KIND, Builder, Gpu, python_logger

SHAPE = (1, 16, 24)


@pytest.fixture
def builder(trt, linear, cache):
    return Builder(trt, linear, Gpu("H100", "9.0"), cache)


def test_an_engine_is_built_once_for_its_shape(builder, trt):
    builder.engine(SHAPE)
    builder.engine(SHAPE)
    Builder(trt, builder.model, builder.gpu, builder.cache).engine(SHAPE)
    assert trt.built == [(1, 2, 16, 24)]
    assert builder.engine((8, 16, 24)).shape == [8, 2, 16, 24]


@pytest.mark.parametrize(
    "change",
    [
        {"gpu": Gpu("H200", "9.0")},
        {"gpu": Gpu("H100", "10.0")},
        {"model": OnnxModel(b"Reshape", None, "0" * 64)},
    ],
)
def test_another_gpu_or_model_is_another_engine(builder, trt, linear, change):
    builder.engine(SHAPE)
    if "model" in change:
        change = {"model": OnnxModel(change["model"].content, linear.facts, change["model"].sha256)}
    parts = {"gpu": builder.gpu, "model": builder.model} | change
    Builder(trt, parts["model"], parts["gpu"], builder.cache).engine(SHAPE)
    assert len(trt.built) == 2


def test_another_version_is_another_engine(builder, trt, monkeypatch):
    builder.engine(SHAPE)
    monkeypatch.setattr(trt, "__version__", "10.17.0", raising=False)
    builder.engine(SHAPE)
    assert len(trt.built) == 2


def test_a_lost_entry_is_built_again(builder, trt):
    builder.engine(SHAPE)
    builder.cache.entries.clear()
    loads = trt.loads
    builder.engine(SHAPE)
    assert len(trt.built) == 2
    assert trt.loads == loads + 1
    builder.engine(SHAPE)
    assert len(trt.built) == 2


def test_an_entry_that_tensorrt_does_not_take_is_built_again(builder, trt, caplog):
    builder.cache.write(KIND, builder.key(SHAPE), b"of another build of the library")
    assert builder.engine(SHAPE).shape == [1, 2, 16, 24]
    assert "built again" in caplog.text
    assert len(trt.built) == 1


def test_what_cannot_be_built_says_why(builder, trt, linear):
    trt.refused.add((1, 2, 16, 24))
    with pytest.raises(EngineError, match="cannot build an engine for 1x16x24"):
        builder.engine(SHAPE)
    assert builder.cache.entries == {}
    foreign = Builder(trt, OnnxModel(b"", linear.facts, "0" * 64), builder.gpu, builder.cache)
    with pytest.raises(EngineError, match=r"cannot read the model: no such operator \(0\)"):
        foreign.engine(SHAPE)


def test_messages_go_into_the_log(trt, caplog):
    logger = python_logger(trt)
    with caplog.at_level(logging.DEBUG):
        logger.log(trt.ILogger.Severity.ERROR, "bad")
        logger.log(trt.ILogger.Severity.VERBOSE, "chatter")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "TensorRT: bad"),
        ("DEBUG", "TensorRT: chatter"),
    ]
