"""Unusual scans, end to end: raw file, shipped chain, image file, each against the object that was scanned."""

import re
from dataclasses import replace
from itertools import product

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.core.metrics import foreground, nrmse, psnr
from nilatron.pipelines.simulation.simulate import EXTRA_FLAGS, SimulationSettings, ground_truth

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
VOLUME = {"matrix": (20, 32, 24), "fov_mm": (240.0, 240.0, 220.0), "acceleration_z": 2, "calibration_lines": 14}

# changes of the scan, and the least PSNR in dB of CG-SENSE against the object
SCANS = {
    "plain": ({}, 36),
    "fully sampled": ({"acceleration": 1}, 40),
    "three times accelerated": ({"acceleration": 3, "calibration_lines": 20}, 30),
    "slices, interleaved": ({"n_slices": 5}, 35),
    "slices, line by line": ({"n_slices": 3, "slice_order": "line"}, 35),
    "oblique slices": ({"n_slices": 3, "angles_deg": (20.0, -30.0, 10.0), "centre_mm": (5.0, -7.0, 11.0)}, 35),
    "repetitions": ({"n_repetitions": 3}, 36),
    "repetitions of slices, line by line": ({"n_repetitions": 2, "n_slices": 2, "slice_order": "line"}, 35),
    "averages": ({"n_averages": 3}, 36),
    "contrasts": ({"n_contrasts": 2, "n_slices": 2}, 33),
    "everything at once": ({"n_slices": 3, "n_repetitions": 2, "n_averages": 2, "n_contrasts": 2}, 35),
    "no readout oversampling": ({"readout_oversampling": 1.0}, 35),
    "fractional readout oversampling": ({"readout_oversampling": 1.3}, 35),
    "partial Fourier 6/8": ({"partial_fourier": 6 / 8}, 27),
    "asymmetric echo": ({"asymmetric_echo": 0.75}, 26),
    "field of view that is not square": ({"fov_mm": (256.0, 160.0, 5.0)}, 36),
    "phase oversampling": ({"recon_fov_mm": (256.0, 168.0), "recon_matrix": (64, 42)}, 36),
    "recon matrix larger than encoded": ({"recon_matrix": (96, 84)}, 36),
    "recon matrix smaller than encoded": ({"recon_matrix": (48, 42)}, 37),
    "1 coil": ({"n_coils": 1, "acceleration": 1}, 40),
    "1 coil, accelerated": ({"n_coils": 1}, 20),
    "32 coils": ({"n_coils": 32, "calibration_lines": 12}, 34),
    "odd matrix": ({"matrix": (63, 55, 1)}, 34),
    "odd matrix, odd oversampled": ({"matrix": (45, 39, 1), "readout_oversampling": 1.4}, 33),
    "separate calibration": ({"calibration": "separate"}, 34),
    "separate calibration of slices and repetitions": (
        {"calibration": "separate", "n_slices": 3, "n_repetitions": 2},
        34,
    ),
    "no calibration lines, fully sampled": ({"calibration": "none", "acceleration": 1}, 40),
    "waveforms and all kinds of other lines": ({"waveform_every": 3, "extra_lines": tuple(EXTRA_FLAGS)}, 36),
    "volume": (VOLUME, 24),
    "volume, fully sampled": ({**VOLUME, "acceleration": 1, "acceleration_z": 1}, 38),
    "unknown dwell times": ({"dwell_us": 0.0, "noise_dwell_us": 0.0}, 36),
    "no noise scan": ({"noise_lines": 0}, 33),
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


@pytest.mark.parametrize("acceleration", [2, 4])
def test_accelerated_without_any_calibration_lines_comes_out_and_says_so(replayed, tmp_path, acceleration):
    settings = replace(BASE, calibration="none", acceleration=acceleration)
    report, images = replayed(settings)
    assert report.complete
    assert report.log.counts["slices without usable calibration"] == 1
    (image,) = images.values()
    truth = np.abs(ground_truth(settings))
    assert psnr(image, truth, foreground(truth)) > 12  # aliased: nothing in the data tells the coils apart
    with h5py.File(tmp_path / "out.h5") as file:
        meta = ismrmrd.Meta.deserialize(file["images/image_1/attributes"][0].decode())
    assert any("coil maps are approximate" in comment for comment in meta["ImageComment"])


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


@pytest.mark.parametrize("n_averages", [4, 9])
def test_noise_falls_with_the_root_of_the_averages(replayed, n_averages):
    one = replace(BASE, acceleration=1, noise_std=0.05)
    several = replace(one, n_averages=n_averages)
    noise = [noise_of(replayed(settings)[1][1, 0, 0, 0], settings) for settings in (one, several)]
    assert noise[0] == pytest.approx(2**-0.5, rel=0.1)  # one component of complex noise of standard deviation 1
    assert noise[1] == pytest.approx(noise[0] / np.sqrt(n_averages), rel=0.15)


PLAIN_FORMS = {
    "slice order": ({"n_slices": 3, "slice_order": "sequential"}, {"n_slices": 3, "slice_order": "line"}),
    "waveforms": ({}, {"waveform_every": 2}),
    "other lines": ({}, {"extra_lines": tuple(EXTRA_FLAGS)}),
    "geometry": ({}, {"angles_deg": (10.0, 20.0, 30.0), "centre_mm": (1.0, 2.0, 3.0)}),
}


@pytest.mark.parametrize("form", PLAIN_FORMS)
def test_the_form_of_the_stream_does_not_change_the_image(replayed, form):
    plain, other = (replace(BASE, noise_std=1e-4, **changes) for changes in PLAIN_FORMS[form])
    (_, expected), (_, found) = replayed(plain), replayed(other)
    for key, image in expected.items():
        assert nrmse(found[key], image) < 2e-3  # the noise is another one


def edited_flags(change):
    def edit(path):
        with h5py.File(path, "r+") as file:
            rows = file["dataset/data"][:]
            rows["head"]["flags"] = change(rows["head"]["flags"])
            file["dataset/data"][:] = rows

    return edit


@pytest.mark.parametrize("slice_order", ["interleaved", "line"])
def test_flags_of_the_last_line_are_not_needed(replayed, slice_order):
    settings = replace(BASE, n_slices=3, n_repetitions=2, n_averages=2, slice_order=slice_order)
    last = [value for name, value in vars(ismrmrd).items() if name.startswith(("ACQ_LAST_IN", "ACQ_FIRST_IN"))]
    mask = np.uint64(sum(1 << (flag - 1) for flag in last))
    _, expected = replayed(settings)
    report, found = replayed(settings, edit=edited_flags(lambda flags: flags & ~mask))
    assert report.complete
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_a_header_without_limits(replayed):
    def edit(path):
        with h5py.File(path, "r+") as file:
            xml = file["dataset/xml"][0]
            file["dataset/xml"][0] = re.sub(rb"<encodingLimits>.*</encodingLimits>", b"", xml, flags=re.S)

    settings = replace(BASE, n_slices=2)
    _, expected = replayed(settings)
    _, found = replayed(settings, edit=edit)
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_lines_read_backwards(replayed):
    def edit(path):
        reverse = np.uint64(1 << (ismrmrd.ACQ_IS_REVERSE - 1))
        with h5py.File(path, "r+") as file:
            rows = file["dataset/data"][:]
            for row in rows[20::2]:  # every second imaging line, as in an echo train
                n_samples = int(row["head"]["number_of_samples"])
                row["data"] = row["data"].view(np.complex64).reshape(-1, n_samples)[:, ::-1].reshape(-1).view("f4")
                row["head"]["flags"] |= reverse
                row["head"]["center_sample"] = n_samples - 1 - row["head"]["center_sample"]
            file["dataset/data"][:] = rows

    _, expected = replayed(BASE)
    _, found = replayed(BASE, edit=edit)
    np.testing.assert_allclose(found[1, 0, 0, 0], expected[1, 0, 0, 0], rtol=1e-4, atol=1e-3)


NILA_SCANS = {
    "plain": {},
    "slices and repetitions": {"n_slices": 2, "n_repetitions": 2},
    "odd matrix": {"matrix": (63, 55, 1)},
    "partial Fourier": {"partial_fourier": 6 / 8},
    "recon matrix larger": {"recon_matrix": (96, 84)},
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
