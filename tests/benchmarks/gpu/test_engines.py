"""Engines on the CPU, and some that stand in for those of a GPU."""

import copy

import pytest
import torch

from gpu import engines
from gpu.engines import AbsentError, Candidate, Kept, candidates, eager, measure
from gpu.timing import Times
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.engines.engine import Engine

TITLE = "One evaluation of the network"


@pytest.fixture
def prior(small):
    return load_prior(small.weights)


@pytest.fixture
def measured(found, small, monkeypatch):
    monkeypatch.setattr(engines.Stopwatch, "times", lambda _, call: Times((0.01,)) if call() is not None else None)

    def measured(*tried):
        monkeypatch.setattr(engines, "candidates", lambda *_: tried)
        measure(found, "cpu", small)
        return found

    return measured


@pytest.mark.slow
def test_float32_is_the_reference_and_bf16_is_near(measured, prior):
    found = measured(*(Candidate("torch", one, (1, 2), lambda one=one: eager(prior, one)) for one in ("fp32", "bf16")))
    rows = found.tables[TITLE]
    assert [(row["precision"], row["images"]) for row in rows] == [("fp32", 1), ("fp32", 2), ("bf16", 1), ("bf16", 2)]
    assert rows[0]["difference"] == 0 < rows[2]["difference"]
    assert rows[1]["ms an image"] == pytest.approx(5)
    assert [bar.passed for bar in found.bars] == [True, True]


@pytest.mark.slow
def test_an_engine_that_computes_something_else_misses_its_bar(measured, prior):
    wrong = copy.deepcopy(prior.denoiser)
    with torch.no_grad():
        wrong.network.last[-1].weight *= 1.5
    found = measured(Candidate("TensorRT", "fp16", (1,), lambda: Engine(wrong, "tensorrt fp16")))
    assert [bar.passed for bar in found.bars] == [False]


def test_an_engine_that_another_replaced_misses_its_bar(measured, prior):
    said = "tensorrt failed for 1x80x80: TensorRT cannot build an engine"
    found = measured(Candidate("TensorRT", "fp16", (1,), lambda: Engine(prior.denoiser, "tensorrt fp16", lambda: said)))
    assert [bar.passed for bar in found.bars] == [False]
    assert found.notes == [f"TensorRT fp16: RuntimeError: {said}"]
    assert found.tables == {}


def test_an_absent_engine_is_left_out(measured):
    def make():
        raise AbsentError("the package tensorrt is not installed")

    found = measured(Candidate("TensorRT", "fp16", (1,), make))
    assert found.absent == {"TensorRT": "the package tensorrt is not installed"}
    assert found.bars == []


def absent(prior, device):
    why = {}
    for candidate in candidates(prior, device):
        if candidate.name in ("CUDA graph", "TensorRT", "ONNX Runtime on the GPU") and candidate.name not in why:
            with pytest.raises(AbsentError) as error:
                candidate.make()
            why[candidate.name] = str(error.value)
    return why


def test_what_a_cpu_has_not(prior):
    assert absent(prior, "cpu") == {"CUDA graph": "no GPU", "TensorRT": "no GPU"}
    assert [one.name for one in candidates(prior, "cpu")][-1] == "ONNX Runtime on the CPU"


def test_what_is_not_installed_on_a_machine_with_a_gpu(prior, monkeypatch):
    monkeypatch.setattr(engines, "is_installed", lambda _: False)
    by_name = {one.name: one for one in candidates(prior, "cuda")}
    with pytest.raises(AbsentError, match="the package tensorrt is not installed"):
        by_name["TensorRT"].make()
    monkeypatch.setattr("nilatron.core.prior.engines.settings.is_installed", lambda _: False)
    with pytest.raises(AbsentError, match="needs onnx and onnxruntime"):
        by_name["ONNX Runtime on the GPU"].make()


def test_models_are_kept_and_engines_are_built_anew():
    kept = Kept()
    kept.write("onnx", {"weights": "a"}, b"model")
    kept.write("tensorrt", {"weights": "a"}, b"engine")
    assert kept.read("onnx", {"weights": "a"}) == b"model"
    assert kept.read("onnx", {"weights": "b"}) is kept.read("tensorrt", {"weights": "a"}) is None
