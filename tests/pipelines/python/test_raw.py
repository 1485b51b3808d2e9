"""nilatron.read_raw: what it reads, nilatron.reconstruct makes the images of a replay of."""

from dataclasses import replace

import numpy as np
import pytest

import nilatron
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(
    matrix=(32, 24, 1), n_coils=3, n_slices=2, acceleration=2, calibration_lines=12, noise_std=0.05
)


@pytest.mark.parametrize(
    "changes", [{}, {"calibration": "separate"}, {"n_averages": 2}, {"matrix": (24, 20, 8), "n_slices": 1}]
)
def test_a_slice_reconstructed_is_the_replayed_image(tmp_path, changes):
    path = tmp_path / "scan.h5"
    simulate(path, replace(SCAN, **changes))
    images = nilatron.replay(path, "cg_sense", pixel_type="complex64").pixels()
    scan = nilatron.read_raw(path)
    assert scan.problems == ()
    assert len(scan.slices) == len(images)
    for one, image in zip(scan.slices, images, strict=True):
        words = {"counts": one.counts, "calibration": one.calibration, "noise": one.noise}
        found = nilatron.reconstruct(one.kspace, method="cg_sense", **words)
        np.testing.assert_allclose(found.image, image, atol=1e-3 * np.abs(image).max())


def test_what_a_slice_holds(tmp_path):
    path = tmp_path / "scan.h5"
    simulate(path, SCAN)
    scan = nilatron.read_raw(path)
    first, second = scan.slices
    assert first.kspace.shape == (3, 1, 24, 32)
    assert first.counts.shape == (1, 24, 32)
    assert first.calibration.shape[0] == 3
    assert (first.header.idx.slice, second.header.idx.slice) == (0, 1)
    assert scan.header.encoding[0].encodedSpace.matrixSize.y == 24
    assert np.sqrt(np.mean(np.diagonal(first.noise).real)) == pytest.approx(SCAN.noise_std, rel=0.1)


def test_without_noise_lines(tmp_path):
    path = tmp_path / "scan.h5"
    simulate(path, replace(SCAN, noise_lines=0))
    assert {one.noise is None for one in nilatron.read_raw(path).slices} == {True}
