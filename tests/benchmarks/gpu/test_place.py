"""Places, with packages that stand in for CuPy and for torch on a GPU."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gpu import place
from gpu.place import NUMPY, TORCH_CPU, TORCH_GPU, places, waiter


def absent():
    raise ModuleNotFoundError("No module named 'cupy'")


@pytest.mark.parametrize("here", [NUMPY, TORCH_CPU])
def test_arrays_are_copied(here):
    array = np.ones(3, np.complex64)
    there = here.put(array)
    there[0] = 0
    assert array[0] == 1


def test_the_first_place_is_the_chains_own(monkeypatch):
    assert places("cpu") == ([NUMPY, TORCH_CPU], {})
    monkeypatch.setattr(place, "cupy_on_gpu", lambda: SimpleNamespace(asarray=np.asarray))
    here, missing = places("cuda")
    assert ([one.name for one in here], missing) == (["CuPy", "torch, GPU"], {})
    assert here[0].put(np.ones(2)).sum() == 2


def test_without_cupy_torch_is_left_and_it_is_said(monkeypatch):
    monkeypatch.setattr(place, "cupy_on_gpu", absent)
    here, missing = places("cuda")
    assert here == [TORCH_GPU]
    assert "No module named 'cupy'" in missing["CuPy"]


def test_waiting_is_for_both_libraries(monkeypatch):
    waited = []
    stream = SimpleNamespace(synchronize=lambda: waited.append("cupy"))
    cupy = SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda: stream))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append("torch"))
    monkeypatch.setattr(place, "cupy_on_gpu", lambda: cupy)
    waiter("cuda")()
    assert sorted(waited) == ["cupy", "torch"]
    monkeypatch.setattr(place, "cupy_on_gpu", absent)
    waiter("cuda")()
    assert sorted(waited) == ["cupy", "torch", "torch"]
    waiter("cpu")()
    assert len(waited) == 3
