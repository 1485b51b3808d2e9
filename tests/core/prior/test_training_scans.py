import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.measurement import chi_squared
from nilatron.core.prior.training_scans import ScanSettings, draw_scan, random_coil_maps, random_lines
from nilatron.core.sense import SenseOperator

PERFECT = ScanSettings(
    map_errors=0.0, line_errors=0.0, noise_errors=(1.0, 1.0), sigma=(0.05, 0.05), accelerations=(3,), n_coils=(6, 6)
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def head(n=120):
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    radius = (y**2 + 1.4 * x**2).sqrt()
    return (radius < 0.7).float() * (0.5 + 0.3 * torch.cos(12 * x) * torch.cos(9 * y)) + (radius - 0.75).abs().lt(0.03)


def residual(settings, seed):
    scan = draw_scan([head()], settings, generator(seed))
    operator = SenseOperator(scan.coil_maps, scan.counts)
    return chi_squared(operator, scan.data, scan.truth)


@pytest.mark.parametrize("seed", range(3))
def test_of_a_perfect_scan_the_truth_leaves_the_noise(seed):
    assert residual(PERFECT, seed) == pytest.approx(1, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", [{"map_errors": 0.5, "sigma": (0.01, 0.01)}, {"line_errors": 0.5}, {"noise_errors": (1.5, 1.5)}]
)
def test_imperfections_leave_more(wrong):
    assert max(residual(replace(PERFECT, **wrong), seed) for seed in range(4)) > 1.12


@pytest.mark.slow
def test_a_scan_repeats_with_its_seed_and_is_finite():
    first, again, other = (draw_scan([head()], ScanSettings(), generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first[:5], again[:5], strict=True))
    assert (first.scale, first.sigma) == (again.scale, again.sigma)
    assert first.data.shape != other.data.shape or not torch.equal(first.data, other.data)
    assert all(torch.isfinite(torch.view_as_real(tensor)).all() for tensor in (first.data, first.start, first.truth))


def test_the_scale_is_that_of_the_object_in_units_of_its_noise():
    scan = draw_scan([head()], PERFECT, generator())
    assert scan.scale == pytest.approx(1 / 0.05, rel=0.15)
    assert scan.sigma >= 1


def test_coil_maps_are_normalised_and_differ():
    maps = random_coil_maps((1, 40, 50), 5, np.random.default_rng(0))
    assert np.sum(np.abs(maps) ** 2, axis=0) == pytest.approx(np.ones((1, 40, 50)), abs=1e-5)
    flat = maps.reshape(5, -1)
    assert np.linalg.cond(flat @ flat.conj().T) < 1e4


@pytest.mark.parametrize("regular", [0.0, 1.0])
def test_lines_have_the_calibration_and_about_the_acceleration(regular):
    settings = ScanSettings(accelerations=(4,), calibration_lines=(20,), regular_probability=regular)
    for seed in range(5):
        kept, calibration = random_lines(200, settings, np.random.default_rng(seed))
        assert calibration == slice(90, 110)
        assert kept[calibration].all()
        assert 2 < 200 / kept.sum() < 4.5


@pytest.mark.slow
def test_compression_leaves_white_noise_white():
    settings = replace(PERFECT, compression_probability=1.0, n_coils=(2, 8))
    counts = {len(draw_scan([head()], settings, generator(seed)).coil_maps) for seed in range(8)}
    assert len(counts) > 2
    assert np.mean([residual(replace(settings, n_coils=(6, 8)), seed) for seed in range(3)]) == pytest.approx(
        1, abs=0.1
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_step": -1},
        {"weight": 0.0},
        {"sigma": (0.0, 0.1)},
        {"sigma": (0.2, 0.1)},
        {"n_coils": (0, 4)},
        {"accelerations": ()},
        {"accelerations": (0,)},
        {"calibration_lines": (4,)},
        {"calibration_lines": (90,)},
    ],
)
def test_what_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ScanSettings(**wrong)


@pytest.mark.slow
def test_the_noise_is_drawn_evenly_over_its_logarithm():
    settings = replace(PERFECT, sigma=(0.01, 0.1))
    scales = [draw_scan([head(72)], settings, generator(seed)).scale for seed in range(12)]
    assert min(scales) < 1 / math.sqrt(0.01 * 0.1) < max(scales)
