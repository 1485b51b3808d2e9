"""Agreement on the CPU, and disagreement that is put in."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gpu import agreement
from gpu.agreement import AGREEMENT, difference_of, differences, measure
from gpu.place import NUMPY, TORCH_CPU

EXPECTED = {name: np.ones((2, 1, 4, 4), np.complex64) for name in ("ESPIRiT", "CG-SENSE", "l1-wavelet")}


@pytest.mark.slow
def test_numpy_and_torch_agree_on_the_cpu(found, small):
    measure(found, "cpu", small)
    rows = found.tables["Relative difference to NumPy"]
    assert len(rows) == 13
    assert all(row["difference"] < AGREEMENT and not row[""] for row in rows)
    assert sum(row["difference"] > 0 for row in rows) > 8  # two libraries, not one twice
    assert all(bar.passed for bar in found.bars)
    assert [bar.what for bar in found.bars][-1] == "what the Nila image loses, torch, CPU"
    assert found.absent == {}


@pytest.mark.slow
def test_every_place_of_a_gpu_is_compared(found, small, monkeypatch):
    stand_ins = [replace(TORCH_CPU, name=name) for name in ("CuPy", "torch, GPU")]
    monkeypatch.setattr(agreement, "places", lambda _: (stand_ins, {"TensorRT": "not installed"}))
    measure(found, "cuda", small)
    assert {row["place"] for row in found.tables["Relative difference to NumPy"]} == {
        "torch, CPU",
        "CuPy",
        "torch, GPU",
    }
    assert len(found.bars) == 3 * 2 + 2
    assert all(bar.passed for bar in found.bars)
    assert found.absent == {"TensorRT": "not installed"}


def differing(found, factors):
    stages = {name: lambda *_, name=name: EXPECTED[name] * factors.get(name, 1) for name in EXPECTED}
    differences(found, TORCH_CPU, None, stages, EXPECTED)


def test_the_stage_that_differs_most_misses_the_bar(found):
    differing(found, {"CG-SENSE": 1.001, "l1-wavelet": 1.0005})
    bar, support = found.bars
    assert bar.what == "difference to NumPy, torch, CPU, largest for CG-SENSE"
    assert bar.found == pytest.approx(1e-3, rel=1e-3)
    assert (bar.passed, support.passed) == (False, True)


def test_a_stage_that_fails_is_told_and_the_others_are_compared(found):
    def fails(*_):
        raise AttributeError("module 'cupy' has no attribute 'vecdot'")

    stages = {"CG-SENSE": fails, "l1-wavelet": lambda *_: EXPECTED["l1-wavelet"]}
    differences(found, TORCH_CPU, None, stages, EXPECTED)
    first, second = found.tables["Relative difference to NumPy"]
    assert first[""] == "AttributeError: module 'cupy' has no attribute 'vecdot'"
    assert second["difference"] == 0
    assert found.bars[0].what.endswith("largest for CG-SENSE")
    assert not found.bars[0].passed


def test_a_value_that_is_not_a_number_misses_the_bar(found):
    differing(found, {"l1-wavelet": math.nan})
    assert not found.bars[0].passed


def test_maps_are_compared_where_both_are_and_the_rest_is_counted(found):
    other = EXPECTED["ESPIRiT"].copy()
    other[:, :, 0, 0] = 0
    assert difference_of("ESPIRiT", other, EXPECTED["ESPIRiT"]) == (0, 1 / 16)
    with pytest.raises(ValueError, match="shape"):
        difference_of("ESPIRiT", other[:1], EXPECTED["ESPIRiT"])
    differences(found, TORCH_CPU, None, {"ESPIRiT": lambda *_: other}, EXPECTED)
    assert [bar.passed for bar in found.bars] == [True, False]


def test_an_image_that_is_worse_as_it_runs_misses_the_bar(found, small, monkeypatch):
    class Worse:
        def __init__(self, raw, place, *_):
            self.image = raw.truth * (1 if place is NUMPY else 1 + 0.3j * (np.arange(64) % 2))

        def run(self):
            return {"main": self.image + 0.01}

    monkeypatch.setattr(agreement, "Chain", Worse)
    monkeypatch.setattr(agreement, "sampled", lambda _, reference, *__: reference.problem.conventional)
    agreement.as_it_runs(found, agreement.Reference(agreement.raw_slice(small)), small, [TORCH_CPU])
    assert [bar.passed for bar in found.bars] == [False]
