"""Whitening on a GPU against that on the CPU; torch arrays in host memory stand for those of a GPU."""

from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
import torch

from nilatron.core.backend import to_numpy
from nilatron.core.noise import whiten
from nilatron.gadgets import device
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.device import on_device
from nilatron.gadgets.items import Context
from nilatron.gadgets.noise import NoiseSettings, Whitening, slices, whitening
from nilatron.gadgets.stock.noise_adjust import NoiseAdjustGadget
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(
    matrix=(64, 48, 1), n_coils=6, n_slices=2, noise_lines=24, noise_std=0.1, noise_correlation=0.6, acceleration=2,
    calibration_lines=16,
)  # fmt: skip
WORSE = {"noise_gain_spread": 50.0, "noise_correlation": 0.9}


@pytest.fixture
def moves(monkeypatch):
    """Arrays on "cuda" are torch's; shapes of what is moved there."""
    shapes = []

    def on_gpu(array, _):
        if isinstance(array, np.ndarray):
            shapes.append(array.shape)
        return torch.as_tensor(array)

    monkeypatch.setattr(device, "_on_gpu", on_gpu)
    monkeypatch.setattr(device, "on_host", lambda array: isinstance(array, np.ndarray))
    return shapes


def whitened(where, scan=SCAN, word="auto", change=lambda items: items):
    """White slices, and the log of their scan."""
    header, items = simulate_items(scan)
    context, gadgets = Context(header, device=where), Whitening(NoiseSettings(word))
    stream = gadgets.lines(change(items), context)
    stream = on_device(Accumulator()(stream, context), context)
    return list(gadgets.slices(stream, context)), context.log


def dead_coil(items):
    for item in items:
        item.data[2] = 0
    return items


def from_upstream(items):
    """What a chain in front does: no noise lines, noise of standard deviation 1 in each part."""
    return list(NoiseAdjustGadget()(items, Context(simulate_items(SCAN)[0])))


def louder(items):
    """A noise scan that contradicts the data."""
    for item in items:
        if item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            item.data[:] *= 10
    return items


def in_the_middle(items):
    """The noise scan after half of the lines."""
    noise, rest = items[: SCAN.noise_lines], items[SCAN.noise_lines :]
    return [*rest[: len(rest) // 2], *noise, *rest[len(rest) // 2 :]]


def empty(items):
    for item in items:
        if not item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            item.data[:] = 0
    return items


CASES = {
    "plain": {},
    "averages": {"scan": replace(SCAN, n_averages=3)},
    "repetitions": {"scan": replace(SCAN, n_repetitions=2)},
    "asymmetric echo": {"scan": replace(SCAN, asymmetric_echo=0.8, partial_fourier=0.8)},
    "separate calibration": {"scan": replace(SCAN, calibration="separate")},
    "no calibration": {"scan": replace(SCAN, calibration="none")},
    "3D": {"scan": replace(SCAN, matrix=(32, 24, 8), n_slices=1, acceleration_z=2, calibration_lines=8)},
    "unlike coils": {"scan": replace(SCAN, **WORSE)},
    "a dead coil": {"change": dead_coil},
    "no noise scan": {"scan": replace(SCAN, noise_lines=0)},
    "whitened upstream, told": {"word": "yes", "change": from_upstream},
    "whitened upstream, found out": {"change": from_upstream},
    "wrong noise scan": {"change": louder},
    "noise lines between": {"change": in_the_middle},
    "noise lines in the middle of an image": {"scan": replace(SCAN, slice_order="line"), "change": in_the_middle},
    "no signal": {"change": empty},
}


def relative(found, expected):
    return np.linalg.norm(to_numpy(found) - expected) / max(np.linalg.norm(expected), 1e-30)


def same(found, expected, kind=torch.Tensor):
    assert isinstance(found.kspace, kind)
    assert isinstance(found.counts, np.ndarray)
    assert relative(found.kspace, expected.kspace) < 1e-6
    assert (found.calibration is None) == (expected.calibration is None)
    if expected.calibration is not None:
        assert isinstance(found.calibration, kind)
        assert relative(found.calibration, expected.calibration) < 1e-6
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.noise.source == expected.noise.source
    assert found.noise.sigma_used == pytest.approx(expected.noise.sigma_used, rel=1e-6)
    assert found.noise.sigma_measured == pytest.approx(expected.noise.sigma_measured, rel=1e-6)
    assert found.whitened is expected.whitened is True


@pytest.mark.slow
@pytest.mark.usefixtures("moves")
@pytest.mark.parametrize("case", CASES)
def test_slices_whitened_on_the_device_are_those_of_the_host(case):
    (found, log), (expected, log_on_cpu) = whitened("cuda", **CASES[case]), whitened("cpu", **CASES[case])
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        same(one, other)
        assert len(one.notes) == len(other.notes)
    assert log.counts == log_on_cpu.counts
    assert log.problems == log_on_cpu.problems


def test_a_slice_moves_once_and_only_small_matrices_come_back(moves, monkeypatch):
    back = []
    for module in (slices, whitening):
        monkeypatch.setattr(module, "to_numpy", lambda array: back.append(tuple(array.shape)) or to_numpy(array))
    for scan in (SCAN, replace(SCAN, noise_lines=0)):
        moves.clear()
        items, _ = whitened("cuda", scan)
        assert moves == [tuple(array.shape) for item in items for array in (item.calibration, item.kspace)]
    assert set(back) == {(6, 6)}


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])  # energies of the last overflow
@pytest.mark.usefixtures("moves")
def test_samples_that_are_not_finite_count_as_not_acquired_on_the_device_too(value):
    (item, *_), _ = whitened("cuda", replace(SCAN, calibration="none"))
    spoilt = np.array(to_numpy(item.kspace))
    spoilt[1, 0, 24, 7] = value
    found = {}
    for where, kspace in (("cpu", spoilt), ("cuda", torch.as_tensor(spoilt))):
        context = Context(None, device=where)
        found[where] = slices.finite_samples(replace(item, kspace=kspace), context)
        assert context.log.problems == ["slice 0: 1 samples are not finite: left out"]
    np.testing.assert_array_equal(to_numpy(found["cuda"].kspace), found["cpu"].kspace)
    np.testing.assert_array_equal(found["cuda"].counts, found["cpu"].counts)
    assert found["cpu"].counts[0, 24, 7] == 0
    assert not found["cpu"].kspace[:, 0, 24, 7].any()


@pytest.mark.usefixtures("moves")
def test_a_device_that_fails_to_whiten_leaves_it_to_the_host(monkeypatch):
    def host_only(matrix, samples):
        if isinstance(samples, torch.Tensor):
            raise RuntimeError("CUDA error: out of memory")
        return whiten(matrix, samples)

    monkeypatch.setattr(slices, "whiten", host_only)
    (found, _), (expected, _) = whitened("cuda"), whitened("cpu")
    for one, other in zip(found, expected, strict=True):
        same(one, other, np.ndarray)
        assert one.notes == ("prepared on the CPU, not on cuda: CUDA error: out of memory",)


def test_slices_that_the_device_cannot_take_are_whitened_on_the_host(monkeypatch):
    def full(*_):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(device, "_on_gpu", full)
    (found, _), (expected, _) = whitened("cuda"), whitened("cpu")
    for one, other in zip(found, expected, strict=True):
        same(one, other, np.ndarray)
