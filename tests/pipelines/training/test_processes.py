import sys

import pytest
import torch

from nilatron.pipelines.training.processes import launch
from nilatron.pipelines.training.settings import ComputeSettings, TrainingError, TrainSettings


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_one_process_and_its_precision(bf16, dtype):
    fabric = launch(TrainSettings(bf16=bf16, compute=ComputeSettings(device="cpu")))
    assert (fabric.world_size, fabric.device.type, fabric.is_global_zero) == (1, "cpu", True)
    with fabric.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(TrainingError, match=r"pip install 'nilatron\[train\]'"):
        launch(TrainSettings())
