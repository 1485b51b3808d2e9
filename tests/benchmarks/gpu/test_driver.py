"""What the driver's library says, by one that says what it is told."""

import pytest

from gpu.driver import NO_DEVICE, Driver, NoGpuError, find_driver


class Library:
    def __init__(self, error=0):
        self.error = error

    def cuInit(self, flags):  # noqa: N802 - the driver's own names
        assert flags == 0
        return self.error

    def cuDeviceGetCount(self, n):  # noqa: N802
        n._obj.value = 2

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = 12080


def test_a_gpu():
    assert find_driver(lambda name: Library()) == Driver(2, "12.8")  # noqa: ARG005


def absent(name):
    raise OSError(f"{name}: cannot open shared object file")


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (absent, "is not on this machine"),
        (lambda _: Library(NO_DEVICE), "finds no GPU; look at nvidia-smi and CUDA_VISIBLE_DEVICES"),
        (lambda _: Library(999), "cannot start \\(CUDA error 999\\)"),
    ],
)
def test_no_gpu(load, told):
    with pytest.raises(NoGpuError, match=told):
        find_driver(load)
