"""Without a GPU: torch arrays in host memory stand for those of one, so every step has to do without NumPy's functions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.metrics import nrmse
from nilatron.core.prior.weights import shipped_weights
from nilatron.gadgets import device
from nilatron.gadgets.device import moved, on_device, retry_on_cpu, to_device
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.nila import method as nila_method
from nilatron.gadgets.node import build_node
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(matrix=(48, 40, 1), n_coils=12, n_slices=1, acceleration=2, calibration_lines=16)


@pytest.fixture
def pretended_gpu(monkeypatch):
    """Arrays on "cuda" are torch's; those in host memory are NumPy's alone."""
    prior_for = nila_method.prior_for
    monkeypatch.setattr(device, "_on_gpu", lambda array, _: torch.as_tensor(array))
    monkeypatch.setattr(device, "on_host", lambda array: isinstance(array, np.ndarray))
    monkeypatch.setattr(nila_method, "prior_for", lambda weights, _, settings: prior_for(weights, "cpu", settings))


def images(target, device, scan=SCAN, properties=()):
    header, lines = simulate_items(scan)
    properties = dict(properties)
    if target == "nila":
        properties |= {"precision": "fp32", "steps": "2"}  # bf16 rounds differences of the last digit up
    node = build_node(target, properties, shipped_weights("tiny"))
    return [image.data[0, 0] for image in node(lines, Context(header, device=device))]


def item(kspace):
    return KSpaceSlice(kspace, np.ones((1, 4, 4), np.float32), kspace, head=None, encoding=None)


KSPACE = np.ones((2, 1, 4, 4), np.complex64)


def test_arrays_stay_on_the_cpu():
    assert to_device(KSPACE, "cpu") is KSPACE


@pytest.mark.slow
@pytest.mark.usefixtures("pretended_gpu")
@pytest.mark.parametrize("target", ["zero_filled", "cg_sense", "l1_wavelet", "nila"])
def test_a_scan_gives_the_same_images_on_a_gpu(target):
    expected, found = images(target, "cpu"), images(target, "cuda")
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert nrmse(one, other, rescale=False) < 1e-4


@pytest.mark.slow
@pytest.mark.usefixtures("pretended_gpu")
def test_several_slices_at_once_give_the_same_images_on_a_gpu():
    scan, properties = replace(SCAN, n_slices=2), {"series": "nila"}
    expected = images("nila", "cpu", scan, properties)
    found = images("nila", "cuda", scan, {**properties, "batch_slices": "2"})
    assert len(found) == len(expected) == 2
    for one, other in zip(found, expected, strict=True):
        assert nrmse(one, other, rescale=False) < 1e-4


@pytest.mark.usefixtures("pretended_gpu")
@pytest.mark.parametrize(("way", "n_lines", "most"), [("walsh", 0, 1e-4), ("joint", 10, 1e-3)])
def test_with_little_or_no_calibration_it_does_as_well(way, n_lines, most):
    """Without any, what the joint inversion of equispaced lines ends at depends on the last digit."""
    scan = replace(SCAN, calibration="embedded" if n_lines else "none", calibration_lines=n_lines)
    (found,), (expected,) = (images("cg_sense", device, scan, {"coil_maps": way}) for device in ("cuda", "cpu"))
    assert nrmse(found, expected, rescale=False) < most


@pytest.mark.usefixtures("pretended_gpu")
def test_a_slice_moves_with_its_calibration():
    (found,) = on_device([item(KSPACE)], Context(None, device="cuda"))
    assert isinstance(found.kspace, torch.Tensor)
    assert isinstance(found.calibration, torch.Tensor)
    assert isinstance(found.counts, np.ndarray)
    assert isinstance(moved(found, "cpu").kspace, np.ndarray)
    assert list(on_device(["other"], Context(None, device="cuda"))) == ["other"]


class Label:
    """Of a slice whose header does not matter."""

    idx = type("Indices", (), dict.fromkeys(("slice", "contrast", "phase", "repetition", "set"), 0))


def test_without_memory_on_the_gpu_a_slice_goes_on_on_the_cpu(monkeypatch):
    def full(*_):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(device, "_on_gpu", full)
    slice_ = KSpaceSlice(KSPACE, np.ones((1, 4, 4), np.float32), None, head=Label, encoding=None)
    (found,) = on_device([slice_], Context(None, device="cuda"))
    assert found.kspace is KSPACE
    assert found.notes == ("prepared on the CPU, not on cuda: CUDA error: out of memory",)


@pytest.mark.usefixtures("pretended_gpu")
def test_a_step_that_fails_on_the_gpu_is_done_on_the_cpu():
    def step(one):
        if isinstance(one.kspace, torch.Tensor):
            raise RuntimeError("CUDA error: out of memory")
        return one

    context = Context(None, device="cuda")
    slice_ = KSpaceSlice(torch.as_tensor(KSPACE), np.ones((1, 4, 4), np.float32), None, head=Label, encoding=None)
    found = retry_on_cpu(step, slice_, context)
    assert isinstance(found.kspace, np.ndarray)
    assert "out of memory" in found.notes[0]


def test_a_step_that_fails_on_the_cpu_fails():
    def step(_):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        retry_on_cpu(step, item(KSPACE), Context(None))
