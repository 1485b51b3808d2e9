import pytest
import torch

from nilatron.core.errors import BadInputError
from nilatron.pipelines import device
from nilatron.pipelines.device import resolve_device


def test_devices():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(BadInputError, match="device must be auto, cpu or cuda, got 'gpu'"):
        resolve_device("gpu")


@pytest.mark.parametrize(("available", "expected"), [(True, "cuda"), (False, "cpu")])
def test_torch_decides_where_there_is_a_driver(monkeypatch, available, expected):
    monkeypatch.setattr(device, "has_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == expected
    assert resolve_device("cpu") == "cpu"


def test_auto_without_a_driver_is_the_cpu_and_cuda_an_error(monkeypatch):
    monkeypatch.setattr(device, "DRIVER", "no-such-library.so.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(BadInputError, match="torch finds no CUDA GPU"):
        resolve_device("cuda")
