"""Floors: counted operations and bytes."""

import pytest
import torch

import floors
from floors import Machine, best_s, floor_of, network_flops, product_bytes
from nilatron.core.prior.edm import MARGIN
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import shipped_weights


def test_the_floor_is_work_over_rate():
    floor = floor_of(Machine(2, 1e11, "", 1e10), 8, 2e10, 50, 10**8)
    assert (floor.network_s, floor.fourier_s) == (pytest.approx(1.6), pytest.approx(0.5))
    assert floor.total_s == pytest.approx(2.1)


def test_a_product_moves_maps_twice_and_coil_images_four_times():
    assert product_bytes(16, (1, 256, 256)) == 6 * 16 * 256 * 256 * 8


@pytest.mark.slow
def test_flops_are_those_of_the_convolutions():
    weights, side = shipped_weights("tiny"), 112
    config = load_prior(weights).denoiser.network.config
    c = config.channels
    flops = 2 * 9 * (config.n_inputs + 2) * c[0] * side**2  # first and last
    for i, n_blocks in enumerate(config.blocks):
        pixels, times = (side // 2**i) ** 2, 1 if i == len(c) - 1 else 2
        flops += times * n_blocks * 2 * 2 * 9 * c[i] ** 2 * pixels
        if i:
            flops += (2 * 9 + 2) * c[i - 1] * c[i] * pixels  # smaller by 3x3, and 1x1 before growing
    assert network_flops(weights, (side - 2 * MARGIN, side - 2 * MARGIN)) == pytest.approx(flops, rel=0.01)


def test_on_a_gpu_a_call_lasts_until_its_work_is_done(monkeypatch):
    now, queued = [0.0], [0.0]

    def wait():
        now[0] += queued[0]
        queued[0] = 0.0

    monkeypatch.setattr(floors.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    assert best_s(lambda: queued.__setitem__(0, queued[0] + 0.25), "cuda") == 0.25
