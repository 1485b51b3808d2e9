from collections import Counter
from dataclasses import replace
from itertools import pairwise

import ismrmrd
import numpy as np
import pytest
from PIL import Image as Picture

from nilatron.core.fft import fft, ifft
from nilatron.pipelines.data import InputError, open_raw, parse_header
from nilatron.pipelines.simulate import (
    EXTRA_FLAGS,
    SimulationSettings,
    ground_truth,
    simulate,
    simulate_items,
    simulated_header,
    to_recon_grid,
)

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4, noise_lines=4, calibration_lines=8)
NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT


def lines_of(items):
    return [item for item in items if isinstance(item, ismrmrd.Acquisition) and not item.isFlagSet(NOISE)]


def kspace_of(settings, lines):
    """Grid lines by what header and lines say, as a reconstruction must; (coil, z, y, x)."""
    header = simulated_header(settings)
    matrix, limits = header.encoding[0].encodedSpace.matrixSize, header.encoding[0].encodingLimits
    kspace = np.zeros((settings.n_coils, matrix.z, matrix.y, matrix.x), np.complex64)
    for line in lines:
        y = line.idx.kspace_encode_step_1 + matrix.y // 2 - limits.kspace_encoding_step_1.center
        z = line.idx.kspace_encode_step_2 + matrix.z // 2 - limits.kspace_encoding_step_2.center
        start = matrix.x // 2 - line.center_sample
        kspace[:, z, y, start : start + line.number_of_samples] = line.data
    return kspace


def combined(kspace):
    """Root sum of squares of the coil images: with sum |S|^2 = 1 the magnitude of the object."""
    return np.sqrt(np.sum(np.abs(ifft(kspace)) ** 2, axis=0))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"readout_oversampling": 1.0},
        {"readout_oversampling": 1.25, "matrix": (33, 25, 1)},
        {"fov_mm": (300.0, 200.0, 5.0), "recon_fov_mm": (300.0, 150.0), "recon_matrix": (32, 18)},
        {"matrix": (16, 16, 12), "fov_mm": (220.0, 220.0, 160.0)},
        {"n_coils": 1},
        {"n_coils": 32},
        {"n_slices": 3},
        {"slice_order": "line", "n_slices": 3},
    ],
)
def test_inverse_fft_of_a_full_noise_free_scan_is_the_ground_truth(changes):
    settings = replace(SMALL, noise_std=0.0, **changes)
    _, items = simulate_items(settings)
    for index in range(settings.n_slices):
        image = combined(kspace_of(settings, [line for line in lines_of(items) if line.idx.slice == index]))
        truth = ground_truth(settings, index)
        n_x, n_y, n_z = settings.recon_matrix_xyz
        assert truth.shape == (n_z, n_y, n_x)
        np.testing.assert_allclose(
            np.abs(to_recon_grid(settings, image.astype(np.complex64))), np.abs(truth), atol=1e-5
        )
        assert np.abs(truth).max() > 0.5


@pytest.mark.parametrize("recon_matrix", [(64, 48), (48, 40), (24, 16)])
def test_recon_matrix_interpolates_and_keeps_the_intensity(recon_matrix):
    same, other = ground_truth(SMALL), ground_truth(replace(SMALL, recon_matrix=recon_matrix))
    assert other.shape == (1, recon_matrix[1], recon_matrix[0])
    assert abs(other.mean() - same.mean()) < 1e-4
    if recon_matrix == (64, 48):  # interpolation passes through the old pixels
        np.testing.assert_allclose(other[:, ::2, ::2], same, atol=0.1)
        narrow, wide = fft(same), fft(other)[:, 12:36, 16:48] / 2
        np.testing.assert_allclose(wide, narrow, atol=1e-5)


def test_object_does_not_depend_on_oversampling():
    one, two = (ground_truth(replace(SMALL, readout_oversampling=ratio)) for ratio in (1.0, 2.0))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_noise_scan_and_data_have_the_covariances_of_the_convention():
    settings = replace(SMALL, matrix=(128, 96, 1), noise_lines=96, noise_std=0.5, n_repetitions=2)
    _, items = simulate_items(settings)
    scan = np.concatenate([a.data for a in items if a.isFlagSet(NOISE)], axis=1)
    first, second = (np.concatenate([a.data for a in lines_of(items) if a.idx.repetition == r], axis=1) for r in (0, 1))
    difference = (first - second) / np.sqrt(2)
    scan_covariance = scan @ scan.conj().T / scan.shape[1]
    data_covariance = difference @ difference.conj().T / difference.shape[1]
    expected = scan_covariance * settings.noise_dwell_us / settings.dwell_us / settings.noise_bandwidth
    assert np.linalg.norm(data_covariance - expected) < 0.04 * np.linalg.norm(expected)
    assert np.trace(data_covariance).real / 4 == pytest.approx(0.25, rel=0.03)
    gains = np.sqrt(np.diag(data_covariance).real)
    assert gains.max() / gains.min() > 1.3
    assert np.abs(data_covariance[0, 1]) > 0.2 * gains[0] * gains[1]
    # whitened by the noise scan with the scale of the convention, the data's noise is white with variance 1
    bandwidth = simulated_header(settings).acquisitionSystemInformation.relativeReceiverNoiseBandwidth
    dwell, noise_dwell = lines_of(items)[0].sample_time_us, items[0].sample_time_us
    white = np.linalg.solve(np.linalg.cholesky(scan_covariance), difference) * np.sqrt(dwell / noise_dwell * bandwidth)
    np.testing.assert_allclose(white @ white.conj().T / white.shape[1], np.eye(4), atol=0.05)


def test_unknown_dwell_time_means_no_scaling():
    settings = replace(SMALL, noise_dwell_us=0.0)
    np.testing.assert_array_equal(settings.noise_scan_covariance, settings.noise_covariance)


@pytest.mark.parametrize("n_coils", [1, 2, 5, 32])
def test_noise_covariance_is_positive_definite(n_coils):
    settings = replace(SMALL, n_coils=n_coils, noise_correlation=0.9, noise_std=0.1)
    covariance = settings.noise_covariance
    assert np.linalg.eigvalsh(covariance)[0] > 0
    assert np.trace(covariance).real / n_coils == pytest.approx(0.01)


def test_acceleration_with_embedded_calibration():
    settings = replace(SMALL, matrix=(32, 40, 1), acceleration=4, calibration_lines=8)
    header, items = simulate_items(settings)
    lines = lines_of(items)
    both = [a.idx.kspace_encode_step_1 for a in lines if a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)]
    only = [a.idx.kspace_encode_step_1 for a in lines if a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    plain = {a.idx.kspace_encode_step_1 for a in lines} - set(both) - set(only)
    assert sorted(both + only) == list(range(16, 24))
    assert both == [16, 20]
    assert sorted(plain | set(both)) == list(range(0, 40, 4))
    assert header.encoding[0].parallelImaging.accelerationFactor.kspace_encoding_step_1 == 4
    assert header.encoding[0].parallelImaging.calibrationMode.value == "embedded"


def test_separate_calibration_comes_first_and_is_flagged_as_such():
    settings = replace(SMALL, acceleration=3, calibration="separate", n_slices=2, n_repetitions=2)
    header, items = simulate_items(settings)
    lines = lines_of(items)
    separate = [a for a in lines if a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    assert len(separate) == 2 * 8
    assert lines[:8] == separate[:8]
    assert Counter(a.idx.slice for a in separate) == {0: 8, 1: 8}
    assert not any(a.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE) for a in separate)
    assert not any(a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING) for a in lines)
    assert header.encoding[0].parallelImaging.calibrationMode.value == "separate"


def test_no_calibration():
    header, items = simulate_items(replace(SMALL, acceleration=2, calibration="none"))
    assert len(lines_of(items)) == 12
    assert header.encoding[0].parallelImaging.calibrationMode.value == "other"


def test_two_phase_encode_directions():
    settings = replace(SMALL, matrix=(16, 16, 12), acceleration=2, acceleration_z=2, calibration_lines=4)
    header, items = simulate_items(settings)
    sampled = np.zeros((12, 16), int)
    for line in lines_of(items):
        sampled[line.idx.kspace_encode_step_2, line.idx.kspace_encode_step_1] += 1
    assert sampled.max() == 1
    assert sampled[4:8, 6:10].all()
    sampled[4:8, 6:10] = 0
    assert sampled[::2, ::2].sum() == sampled.sum() == 6 * 8 - 4
    limits = header.encoding[0].encodingLimits
    assert (limits.kspace_encoding_step_2.maximum, limits.kspace_encoding_step_2.center) == (11, 6)


def test_partial_fourier_and_asymmetric_echo_leave_out_the_beginning():
    settings = replace(SMALL, noise_std=0.0, matrix=(32, 32, 1), partial_fourier=6 / 8, asymmetric_echo=0.75)
    header, items = simulate_items(settings)
    limits = header.encoding[0].encodingLimits.kspace_encoding_step_1
    assert (limits.minimum, limits.maximum, limits.center) == (0, 23, 8)
    assert [line.idx.kspace_encode_step_1 for line in items] == list(range(24))
    assert {(line.number_of_samples, line.center_sample) for line in items} == {(48, 16)}
    full = replace(settings, partial_fourier=1.0, asymmetric_echo=1.0)
    whole = kspace_of(full, simulate_items(full)[1])
    part = kspace_of(settings, items)
    np.testing.assert_array_equal(part[..., 8:, 16:], whole[..., 8:, 16:])
    assert not part[..., :8, :].any()
    assert not part[..., :16].any()
    np.testing.assert_array_equal(ground_truth(settings), ground_truth(full))


def test_order_indices_and_flags_of_a_scan_with_everything():
    settings = replace(SMALL, n_slices=5, n_repetitions=2, n_averages=2, n_contrasts=2)
    header, items = simulate_items(settings)
    lines = lines_of(items)
    assert len(lines) == 5 * 2 * 2 * 2 * 24
    order = list(dict.fromkeys((a.idx.repetition, a.idx.contrast, a.idx.slice, a.idx.average) for a in lines))
    assert order == [(r, c, s, n) for r in (0, 1) for c in (0, 1) for s in (0, 2, 4, 1, 3) for n in (0, 1)]
    counts = Counter(flag for a in lines for flag in range(1, 32) if a.isFlagSet(flag))
    for name, expected in {"SLICE": 20, "AVERAGE": 40, "CONTRAST": 4, "REPETITION": 2}.items():
        assert counts[getattr(ismrmrd, f"ACQ_FIRST_IN_{name}")] == expected, name
        assert counts[getattr(ismrmrd, f"ACQ_LAST_IN_{name}")] == expected, name
    assert counts[ismrmrd.ACQ_LAST_IN_MEASUREMENT] == 1
    assert lines[-1].isFlagSet(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    for earlier, later in pairwise(lines):
        if earlier.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE):
            assert later.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE)
    limits = header.encoding[0].encodingLimits
    maxima = {name: getattr(limits, name).maximum for name in ("slice", "repetition", "average", "contrast")}
    assert maxima == {"slice": 4, "repetition": 1, "average": 1, "contrast": 1}


def test_line_order_runs_through_all_slices_with_each_line():
    _, items = simulate_items(replace(SMALL, n_slices=3, slice_order="line"))
    lines = lines_of(items)
    assert [(a.idx.kspace_encode_step_1, a.idx.slice) for a in lines[:6]] == [(y, s) for y in (0, 1) for s in (0, 1, 2)]
    assert sum(a.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE) for a in lines) == 3


def test_contrasts_and_slices_differ():
    settings = replace(SMALL, n_slices=2, n_contrasts=2)
    images = [np.abs(ground_truth(settings, s, c)) for s, c in ((0, 0), (0, 1), (1, 0))]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(images[first] - images[second]) > 0.05 * np.linalg.norm(images[0])


def test_time_counters_and_geometry_of_oblique_slices():
    settings = replace(SMALL, n_slices=3, angles_deg=(20.0, -30.0, 10.0), centre_mm=(5.0, -7.0, 11.0))
    _, items = simulate_items(settings)
    stamps = [a.acquisition_time_stamp for a in items]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == len(stamps)
    assert [a.scan_counter for a in items] == list(range(len(items)))
    centres = {}
    for line in lines_of(items):
        axes = np.array([line.read_dir[:], line.phase_dir[:], line.slice_dir[:]])
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(axes) == pytest.approx(1, abs=1e-6)
        centres[line.idx.slice] = np.array(line.position[:])
    np.testing.assert_allclose(centres[1], settings.centre_mm, atol=1e-5)
    np.testing.assert_allclose(centres[2] - centres[1], 5.0 * axes[2], atol=1e-5)
    np.testing.assert_allclose(axes[0] @ [1, 0, 0], np.cos(np.radians(30)) * np.cos(np.radians(10)), atol=1e-6)


def test_waveforms_and_extra_lines_lie_in_between():
    settings = replace(SMALL, waveform_every=6, extra_lines=tuple(EXTRA_FLAGS), extra_every=12)
    header, items = simulate_items(settings)
    waveforms = [item for item in items if isinstance(item, ismrmrd.Waveform)]
    assert len(waveforms) == 4
    assert header.waveformInformation[0].waveformType.value == "ecg"
    extra = [a for a in lines_of(items) if any(a.isFlagSet(flag) for flag in EXTRA_FLAGS.values())]
    assert len(extra) == 2 * len(EXTRA_FLAGS)
    assert Counter(flag for a in extra for flag in EXTRA_FLAGS.values() if a.isFlagSet(flag)) == dict.fromkeys(
        EXTRA_FLAGS.values(), 2
    )
    plain = {a.idx.kspace_encode_step_1: a for a in lines_of(items) if a not in extra}
    assert len(plain) == 24
    for line in extra:  # they must not be mistaken for the imaging line of the same index
        imaging = plain[line.idx.kspace_encode_step_1]
        assert np.linalg.norm(line.data - imaging.data) > np.linalg.norm(imaging.data)


def test_same_seed_same_scan():
    first, second, other = (simulate_items(replace(SMALL, seed=seed))[1] for seed in (1, 1, 2))
    assert all(np.array_equal(a.data, b.data) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[10].data, other[10].data)


@pytest.mark.parametrize("waveform_every", [0, 7])
def test_file_holds_what_memory_holds(tmp_path, waveform_every):
    settings = replace(SMALL, n_slices=12, waveform_every=waveform_every, acceleration=2)
    assert simulate(tmp_path / "raw.h5", settings) == 4 + 12 * 16
    header, items = simulate_items(settings)
    with open_raw(tmp_path / "raw.h5") as raw:
        assert raw.header == header
        stored = list(raw.items())
    assert len(stored) == len(items)
    for a, b in zip(stored, items, strict=True):
        assert type(a) is type(b)
        assert bytes(a.getHead()) == bytes(b.getHead())
        np.testing.assert_array_equal(a.data, b.data)


def test_stock_library_reads_the_file(tmp_path):
    simulate(tmp_path / "raw.h5", SMALL)
    with ismrmrd.Dataset(tmp_path / "raw.h5", mode="r") as dataset:
        assert parse_header(dataset.read_xml_header()) == simulated_header(SMALL)
        assert dataset.number_of_acquisitions() == 28
        np.testing.assert_array_equal(dataset.read_acquisition(9).data, simulate_items(SMALL)[1][9].data)


def test_existing_file_is_refused_unless_overwritten(tmp_path):
    path = tmp_path / "raw.h5"
    path.write_text("precious")
    with pytest.raises(InputError, match="--overwrite"):
        simulate(path, SMALL)
    assert path.read_text() == "precious"
    simulate(path, SMALL, overwrite=True)
    with open_raw(path) as raw:
        assert raw.n_acquisitions == 28
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["png", "complex stack"])
def test_image_in_place_of_the_phantom(tmp_path, kind):
    y, x = np.mgrid[-1:1:24j, -1:1:32j]
    magnitude = np.exp(-4 * (x - 0.2) ** 2 - 3 * y**2)
    if kind == "png":
        path = tmp_path / "image.png"
        Picture.fromarray((255 * magnitude).astype(np.uint8)).save(path)
        expected = [magnitude / magnitude.max()]
    else:
        path = tmp_path / "stack.npy"
        stack = np.stack([magnitude, magnitude[::-1, ::-1] * 0.5j])
        np.save(path, stack)
        expected = list(stack / np.abs(stack).max())
    settings = replace(SMALL, image=str(path), noise_std=0.0, n_slices=len(expected))
    _, items = simulate_items(settings)
    for index, image in enumerate(expected):
        found = combined(kspace_of(settings, [a for a in items if a.idx.slice == index]))[0, :, 16:48]
        np.testing.assert_allclose(found, np.abs(image), atol=0.006)
        np.testing.assert_allclose(np.abs(ground_truth(settings, index)[0]), np.abs(image), atol=0.006)


def test_image_of_another_size_is_resampled(tmp_path):
    y, x = np.mgrid[-1:1:96j, -1:1:64j]
    np.save(tmp_path / "image.npy", np.exp(-4 * (x - 0.2) ** 2 - 3 * y**2))
    y, x = (np.arange(n) * 2 / n - 1 + 1 / n for n in (24, 32))
    truth = ground_truth(replace(SMALL, image=str(tmp_path / "image.npy")))
    np.testing.assert_allclose(np.abs(truth[0]), np.exp(-4 * (x - 0.2) ** 2 - 3 * y[:, None] ** 2), atol=0.03)


@pytest.mark.parametrize(("content", "message"), [(b"nonsense", "is not an image"), (None, "is not an image")])
def test_unreadable_image(tmp_path, content, message):
    path = tmp_path / "image.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        simulate(tmp_path / "raw.h5", replace(SMALL, image=str(path)))
    assert not (tmp_path / "raw.h5").exists()


def test_image_of_nothing(tmp_path):
    np.save(tmp_path / "zero.npy", np.zeros((8, 8)))
    with pytest.raises(InputError, match="not all zero"):
        ground_truth(replace(SMALL, image=str(tmp_path / "zero.npy")))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_coils", 0),
        ("matrix", (32, 0, 1)),
        ("fov_mm", (220.0, -1.0, 5.0)),
        ("recon_matrix", (0, 8)),
        ("partial_fourier", 0.5),
        ("asymmetric_echo", 1.2),
        ("calibration", "maybe"),
        ("slice_order", "random"),
        ("extra_lines", ("dummies",)),
        ("noise_std", -1.0),
        ("noise_bandwidth", 0.0),
        ("noise_correlation", 1.0),
        ("noise_gain_spread", 0.5),
        ("readout_oversampling", 0.5),
        ("acceleration_z", 2),
        ("dwell_us", -1.0),
    ],
)
def test_impossible_settings_name_themselves(name, value):
    with pytest.raises(InputError, match=rf"simulation: {name} must be"):
        replace(SMALL, **{name: value})


def test_several_slices_of_a_volume_are_impossible():
    with pytest.raises(InputError, match="n_slices must be 1 for a 3D matrix"):
        SimulationSettings(matrix=(16, 16, 8), n_slices=2)
