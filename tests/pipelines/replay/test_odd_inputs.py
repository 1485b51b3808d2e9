"""Unusual scans, end to end: raw file, shipped chain, image file, each against the object that was scanned."""

from dataclasses import replace
from itertools import product

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.core.metrics import foreground, nrmse, psnr
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth

pytestmark = pytest.mark.slow

# white noise of equal strength in all coils, so that whitening scales the image and does not shade it
BASE = SimulationSettings(
    matrix=(64, 56, 1),
    fov_mm=(256.0, 224.0, 5.0),
    noise_std=0.01,
    noise_gain_spread=1.0,
    noise_correlation=0.0,
    acceleration=2,
    calibration_lines=16,
)

# changes of the scan, and the least PSNR in dB of CG-SENSE against the object; more of them in tests/compatibility
SCANS = {
    "plain": ({}, 36),
    "three times accelerated": ({"acceleration": 3, "calibration_lines": 20}, 30),
    "everything at once": (
        {"n_slices": 3, "n_repetitions": 2, "n_averages": 2, "n_contrasts": 2, "slice_order": "line"},
        35,
    ),
    "1 coil, accelerated": ({"n_coils": 1}, 20),
    "odd matrix, odd oversampled": ({"matrix": (45, 39, 1), "readout_oversampling": 1.4}, 33),
    "separate calibration of slices and repetitions": (
        {"calibration": "separate", "n_slices": 3, "n_repetitions": 2},
        34,
    ),
    "no calibration lines, fully sampled": ({"calibration": "none", "acceleration": 1}, 40),
    "volume, fully sampled": ({"matrix": (12, 24, 16), "fov_mm": (240.0, 240.0, 220.0), "acceleration": 1}, 36),
    "no noise at all": ({"noise_std": 0.0, "acceleration": 1}, 20),
}


def expected_keys(settings, series=(1,)):
    return set(
        product(series, range(settings.n_slices), range(settings.n_contrasts), range(settings.n_repetitions)),
    )


@pytest.mark.parametrize("scan", SCANS)
def test_images_show_the_object(replayed, scan):
    changes, least = SCANS[scan]
    settings = replace(BASE, **changes)
    report, images = replayed(settings)
    assert set(images) == expected_keys(settings)
    assert report.complete
    for (_, index, contrast, _), image in images.items():
        truth = np.abs(ground_truth(settings, index, contrast))
        assert psnr(image, truth, foreground(truth)) > least


def test_accelerated_without_any_calibration_lines_comes_out_and_says_so(replayed, tmp_path):
    settings = replace(BASE, calibration="none", acceleration=4)
    report, images = replayed(settings)
    assert not report.complete
    assert any("doubtful main image" in problem for problem in report.log.problems)
    assert report.log.counts["slices without usable calibration"] == 1
    (image,) = images.values()
    truth = np.abs(ground_truth(settings))
    assert psnr(image, truth, foreground(truth)) > 12  # aliased: nothing in the data tells the coils apart
    with h5py.File(tmp_path / "out.h5") as file:
        meta = ismrmrd.Meta.deserialize(file["images/image_1/attributes"][0].decode())
    assert any("coil maps are approximate" in comment for comment in meta["ImageComment"])
    assert "DOUBTFUL" in str(meta["SeriesDescription"])


def noise_of(image, settings):
    """Error of an image in SNR units: what is left beside the scaled object, over the noise of one sample."""
    truth = np.abs(ground_truth(settings)) / settings.noise_std
    object_mask = truth > 0.3 * truth.max()
    return float(np.std((np.abs(image) - truth)[object_mask]))


def test_images_are_in_snr_units(replayed):
    settings = replace(BASE, acceleration=1)
    _, images = replayed(settings)
    truth = np.abs(ground_truth(settings))
    assert float(np.median(images[1, 0, 0, 0][truth > 0.3])) == pytest.approx(
        float(np.median(truth[truth > 0.3])) / settings.noise_std, rel=0.02
    )


def test_noise_falls_with_the_root_of_the_averages(replayed):
    one = replace(BASE, acceleration=1, noise_std=0.05)
    several = replace(one, n_averages=9)
    noise = [noise_of(replayed(settings)[1][1, 0, 0, 0], settings) for settings in (one, several)]
    assert noise[0] == pytest.approx(2**-0.5, rel=0.1)  # one component of complex noise of standard deviation 1
    assert noise[1] == pytest.approx(noise[0] / 3, rel=0.15)


NILA_SCANS = {
    "plain": {},
    "odd matrix": {"matrix": (63, 55, 1)},
    "partial Fourier": {"partial_fourier": 6 / 8},
    "1 coil": {"n_coils": 1},
    "volume": {"matrix": (24, 24, 12), "n_coils": 4, "fov_mm": (240.0, 240.0, 220.0), "calibration_lines": 12},
    "no noise": {"noise_std": 0.0},
}


@pytest.mark.parametrize("scan", NILA_SCANS)
def test_nila_is_not_worse_than_cg_sense(replayed, scan):
    settings = replace(BASE, **{"noise_std": 0.03, **NILA_SCANS[scan]})
    report, images = replayed(settings, "nila")
    assert report.complete
    assert set(images) == expected_keys(settings, series=(1, 2))
    for _, index, contrast, repetition in expected_keys(settings):
        truth = np.abs(ground_truth(settings, index, contrast))
        found, conventional = (
            psnr(images[series, index, contrast, repetition], truth, foreground(truth)) for series in (1, 2)
        )
        assert found > conventional - 0.1


def test_the_chain_behind_stock_gadgets_agrees(replayed):
    settings = replace(BASE, n_slices=2, noise_std=0.03)
    _, direct = replayed(settings, "nila", properties={"seed": "5"})
    report, behind = replayed(settings, "nila_after_gadgetron", properties={"seed": "5"})
    assert report.complete
    assert behind.keys() == direct.keys()
    for key, image in direct.items():
        assert nrmse(behind[key].astype(np.float32), image) < 1e-2
