"""The same noise in every place, and distances."""

import numpy as np
import pytest
import torch

from gpu.place import TORCH_CPU
from gpu.reference import Reference, relative, same_noise
from gpu.scan import raw_slice
from nilatron.core import backend
from nilatron.core.sampling import nila_fast


def test_a_gpu_gets_the_noise_of_the_host(monkeypatch):
    host = nila_fast.complex_normal(np.random.default_rng(3), (2, 4), np.empty(0, np.complex64))
    array = torch.empty(0, dtype=torch.complex64)
    monkeypatch.setattr(
        backend, "on_host", lambda reference: isinstance(reference, np.ndarray)
    )  # torch stands for a GPU
    other = nila_fast.complex_normal(np.random.default_rng(3), (2, 4), array)
    assert relative(other, host) > 0.1
    with same_noise():
        found = nila_fast.complex_normal(np.random.default_rng(3), (2, 4), array)
    assert isinstance(found, torch.Tensor)
    assert relative(found, host) == 0
    assert nila_fast.complex_normal is backend.complex_normal


def test_relative_difference():
    assert relative(torch.tensor([1.0, 1.1j]), np.array([1, 1j], np.complex64)) == pytest.approx(0.1 / 2**0.5)


def test_the_reference_is_whole(small):
    reference = Reference(raw_slice(small))
    assert reference.problem.data.shape == reference.maps.shape
    assert reference.problem.conventional.shape == reference.raw.shape
    assert 1 <= reference.problem.noise_level < 3 < reference.problem.scale
    np.testing.assert_array_equal(reference.operator(TORCH_CPU).coil_maps.numpy(), reference.maps)
