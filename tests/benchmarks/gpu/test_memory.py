"""Peaks of memory, of libraries that stand in for those of a GPU."""

from types import SimpleNamespace

import pytest
import torch

from gpu import memory
from gpu.memory import MIB, DeviceMemory


@pytest.fixture
def pool(monkeypatch):
    held = {"cupy": 7 * MIB, "peak": 9 * MIB}
    pool = SimpleNamespace(total_bytes=lambda: held["cupy"], free_all_blocks=lambda: held.update(cupy=0))
    monkeypatch.setattr(memory, "cupy_on_gpu", lambda: SimpleNamespace(get_default_memory_pool=lambda: pool))
    for name, function in {
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda: held.update(peak=MIB),
        "max_memory_allocated": lambda: held["peak"],
        "max_memory_reserved": lambda: 2 * held["peak"],
        "mem_get_info": lambda: (60 * MIB, 100 * MIB),
    }.items():
        monkeypatch.setattr(torch.cuda, name, function)


@pytest.mark.usefixtures("pool")
def test_peaks_are_those_since_the_restart():
    watched = DeviceMemory("cuda")
    assert list(watched.peaks().values()) == [9, 18, 7, 40]
    watched.restart()
    assert list(watched.peaks().values()) == [1, 2, 0, 40]


def test_on_a_cpu_there_are_none():
    DeviceMemory("cpu").restart()
    assert set(DeviceMemory("cpu").peaks().values()) == {None}
