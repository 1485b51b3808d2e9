"""Files in, raw files out, and what `replay` makes of them."""

import os
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.core.fft import ifft
from nilatron.core.metrics import psnr
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.importing.header import Geometry
from nilatron.pipelines.importing.run import ImportSettings, import_file
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import simulated_header

SHARED = Path(__file__).resolve().parents[3] / "../shared"
GEOMETRY = Geometry((200.0, 150.0, 5.0), 2.0)


@pytest.fixture
def images(tmp_path):
    """Import a file and replay it; returns the report and the images (slice, z, y, x)."""

    def make(source, chain="cg_sense", properties=None, **options):
        raw, output = tmp_path / "raw.h5", tmp_path / "images.h5"
        report = import_file(ImportSettings(source, raw, overwrite=True, **options))
        done = replay(
            ReplaySettings(raw, output, chain, output_group="images", properties=properties or {}, overwrite=True)
        )
        assert done.n_images == report.n_slices
        with h5py.File(output) as file:
            (series,) = file["images"].values()
            heads, pixels = series["header"][:], series["data"][:]
        return report, pixels[np.argsort(heads["slice"]), 0]

    return make


def write_bart(path, array):
    """Write an array whose axes are BART's dimensions."""
    shape = " ".join(map(str, (*array.shape, *[1] * (16 - array.ndim))))
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{shape}\n# Command\nmade\n")
    path.with_suffix(".cfl").write_bytes(array.astype(np.complex64).tobytes(order="F"))
    return path.with_suffix(".cfl")


def test_every_sample_of_a_public_file_is_a_sample_of_the_raw_file(public_file, kspace, tmp_path):
    report = import_file(ImportSettings(public_file(kspace), tmp_path / "raw.h5"))
    assert (report.n_lines, report.n_slices, report.n_coils, report.acceleration) == (3 * 24, 3, 4, (1, 1))
    with open_raw(tmp_path / "raw.h5") as raw:
        lines = list(raw.items())
    assert len(lines) == 3 * 24
    for line in lines:
        np.testing.assert_array_equal(line.data, kspace[line.idx.slice][:, line.idx.kspace_encode_step_1])
    is_last = [line.is_flag_set(ismrmrd.ACQ_LAST_IN_SLICE) for line in lines]
    assert is_last == ([False] * 23 + [True]) * 3
    assert [line.is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT) for line in lines].index(True) == len(lines) - 1
    assert [round(line.position[2], 3) for line in lines[::24]] == [-5.0, 0.0, 5.0]


def test_images_are_those_that_came_with_the_file(public_file, kspace, images):
    report, found = images(public_file(kspace))
    reference = np.load(report.reference)
    assert found.shape == reference.shape == (3, 1, 24, 32)
    assert psnr(found, reference) > 40


def test_m4raw_is_the_same_layout_with_edges_that_are_zero(public_file, kspace, scan, images, tmp_path):
    padded = kspace[..., 16:48].copy()  # of another scan, whose readout is not oversampled
    padded[..., :3, :] = padded[..., -2:, :] = 0
    padded[..., :2] = padded[..., -2:] = 0
    source = public_file(padded, header=simulated_header(replace(scan, readout_oversampling=1.0, fov_mm=(400, 150, 5))))
    report, found = images(source)
    assert report.n_lines == 3 * 19
    with open_raw(tmp_path / "raw.h5") as raw:
        step = raw.header.encoding[0].encodingLimits.kspace_encoding_step_1
        assert (step.minimum, step.center, step.maximum) == (0, 9, 18)
        heads = raw.heads()
    assert set(heads["number_of_samples"]) == {28}
    assert set(heads["center_sample"]) == {16 - 2}
    assert psnr(found, np.load(report.reference)) > 30


@pytest.mark.parametrize(("kept", "factor"), [(2, 2), (3, 3)])
def test_test_files_have_a_mask_and_no_reference(public_file, kspace, images, tmp_path, kept, factor):
    mask = np.zeros(24, bool)
    mask[::kept] = mask[7:17] = True
    report, found = images(public_file(kspace * mask[:, None], mask=mask, reconstruction_rss=None))
    assert report.reference is None
    assert report.acceleration == (factor, 1)
    assert report.n_lines == 3 * mask.sum()
    with open_raw(tmp_path / "raw.h5") as raw:
        parallel = raw.header.encoding[0].parallelImaging
        assert parallel.accelerationFactor.kspace_encoding_step_1 == factor
        assert parallel.calibrationMode.value == "embedded"
        calibration = {
            int(head["idx"]["kspace_encode_step_1"])
            for head in raw.heads()
            if kind_of(int(head["flags"])) is LineKind.IMAGING and int(head["flags"]) & 1 << 20
        }
    assert calibration == set(range(6, 17))
    assert np.isfinite(found).all()


def test_a_header_of_an_earlier_acceleration_is_put_right(public_file, kspace, scan, tmp_path):
    header = simulated_header(replace(scan, acceleration=2, n_slices=9, n_averages=2))
    import_file(ImportSettings(public_file(kspace, header=header), tmp_path / "raw.h5"))
    with open_raw(tmp_path / "raw.h5") as raw:
        encoding = raw.header.encoding[0]
    assert encoding.parallelImaging is None
    assert (encoding.encodingLimits.slice.maximum, encoding.encodingLimits.average.maximum) == (2, 0)


@pytest.mark.parametrize(
    ("order", "dims"),
    [("slice,coil,y,x", (0, 1, 2, 3)), ("x,y,coil,slice", (3, 2, 1, 0)), ("coil,x,slice,y", (1, 3, 0, 2))],
)
def test_numpy_axes_have_the_names_that_are_given(kspace, public_file, images, tmp_path, order, dims):
    np.save(tmp_path / "k.npy", kspace.transpose(dims))
    report, found = images(tmp_path / "k.npy", order=tuple(order.split(",")), geometry=GEOMETRY)
    _, expected = images(public_file(kspace))
    assert report.reference is None
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3 * expected.max())


def test_bart_dimensions_have_bart_s_names(kspace, public_file, images, tmp_path):
    array = kspace.transpose(3, 2, 1, 0).reshape(64, 24, 1, 4, *[1] * 9, 3)
    _, found = images(write_bart(tmp_path / "k", array), geometry=GEOMETRY)
    _, expected = images(public_file(kspace))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3 * expected.max())


def test_a_volume_has_partitions(tmp_path, images):
    rng = np.random.default_rng(0)
    volume = rng.standard_normal((2, 6, 16, 16)) + 1j * rng.standard_normal((2, 6, 16, 16))
    np.save(tmp_path / "k.npy", volume)
    geometry = Geometry((160.0, 160.0, 60.0))
    report, found = images(tmp_path / "k.npy", "zero_filled", order=("coil", "z", "y", "x"), geometry=geometry)
    assert (report.n_lines, found.shape) == (6 * 16, (1, 6, 16, 16))
    expected = np.sqrt((np.abs(ifft(volume)) ** 2).sum(0))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kspace": None}, r"expected kspace \(slice, coil, readout, phase encoding\).*found .*reconstruction_rss"),
        ({"kspace": np.zeros((3, 24, 32), np.complex64)}, r"found kspace \(3, 24, 32\).*single-coil"),
        ({"kspace": np.ones((3, 4, 64, 24), np.float32)}, r"found kspace \(3, 4, 64, 24\), float32"),
        ({"kspace": np.ones((2, 3, 4, 64, 24), np.complex64)}, r"found kspace \(2, 3, 4, 64, 24\)"),
        ({"kspace": np.zeros((3, 4, 64, 24), np.complex64)}, "every sample is zero"),
        ({"kspace": np.full((3, 4, 64, 24), np.nan, np.complex64)}, "slice 0 has samples that are not finite"),
        ({"kspace": np.ones((3, 4, 64, 23), np.complex64)}, "encoded matrix is 64 x 24 x 1, the k-space 64 x 23 x 1"),
        ({"mask": np.ones(23, bool)}, r"a mask of 24 lines.*found mask \(23,\)"),
        ({"mask": np.arange(24) > 3}, "the mask leaves out are not zero: 0, 1, 2, 3"),
        ({"reconstruction_rss": np.ones((2, 32, 24))}, r"reconstruction_rss of 3 slices.*found \(2, 32, 24\)"),
        ({"mask": np.full(24, b"x")}, r"found mask \(24,\), \|S1"),
        ({"reconstruction_rss": np.full((3, 32, 24), b"x")}, r"found \(3, 32, 24\), \|S1"),
        ({"ismrmrd_header": None}, "--fov"),
        ({"ismrmrd_header": b"<nothing"}, "not XML"),
    ],
)
def test_other_layouts_are_refused_with_what_was_found(public_file, kspace, tmp_path, change, told):
    with pytest.raises(InputError, match=told):
        import_file(ImportSettings(public_file(kspace, **change), tmp_path / "raw.h5"))
    assert [path.name for path in tmp_path.iterdir()] == ["file_brain.h5"]


def test_chunks_that_cannot_be_unpacked_are_told_with_file_and_slice(tmp_path):
    path = tmp_path / "damaged.h5"
    with h5py.File(path, "w") as file:
        shape = (3, 2, 16, 12)
        table = file.create_dataset(
            "kspace", data=np.ones(shape, np.complex64), chunks=(1, *shape[1:]), compression="gzip"
        )
        table.id.write_direct_chunk((1, 0, 0, 0), b"these are no bytes of zlib")
    with pytest.raises(InputError, match=r"damaged.h5: /kspace 1 cannot be read") as caught:
        import_file(ImportSettings(path, tmp_path / "raw.h5", geometry=GEOMETRY))
    assert str(caught.value).count("damaged.h5") == 1
    assert not (tmp_path / "raw.h5").exists()


def test_lines_outside_the_limits_of_the_header_are_refused(public_file, kspace, scan, tmp_path):
    header = simulated_header(scan)
    step = header.encoding[0].encodingLimits.kspace_encoding_step_1
    step.center, step.maximum = 8, 15
    with pytest.raises(InputError, match="lines 4 to 19 of 24 acquired, those that are not zero go from 0 to 23"):
        import_file(ImportSettings(public_file(kspace, header=header), tmp_path / "raw.h5"))


def test_a_raw_file_is_no_import(tmp_path, public_file, kspace):
    import_file(ImportSettings(public_file(kspace), tmp_path / "raw.h5"))
    with pytest.raises(InputError, match="is ISMRMRD raw data already"):
        import_file(ImportSettings(tmp_path / "raw.h5", tmp_path / "again.h5"))


@pytest.mark.parametrize(
    ("order", "shape", "told"),
    [
        ((), (), "name its axes"),
        (("coil", "y", "x"), (), r"names 3 axes .* the array has 3 x 4 x 24 x 64, complex64"),
        (("slice", "coil", "y", "t"), (), "found slice 3, coil 4, y 24, t 64"),
        (("slice", "coil", "y", "y"), (), "each once"),
        (("slice", "z", "y", "x"), (), "coil, y, x among them"),
        (("slice", "coil", "y", "x"), (3, 4, 24, 32), "expected the shape 3 x 4 x 24 x 32, found 3 x 4 x 24 x 64"),
    ],
)
def test_axes_that_do_not_fit_are_refused(kspace, tmp_path, order, shape, told):
    np.save(tmp_path / "k.npy", kspace)
    with pytest.raises(InputError, match=told):
        import_file(ImportSettings(tmp_path / "k.npy", tmp_path / "raw.h5", order, shape, GEOMETRY))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.with_suffix(".hdr").unlink(), "no such file.*pairs"),
        (lambda path: path.with_suffix(".hdr").write_text("# Command\n"), "expected '# Dimensions'"),
        (lambda path: path.with_suffix(".hdr").write_text("# Dimensions\n1 two\n"), "expected '# Dimensions'"),
        (lambda path: path.with_suffix(".hdr").write_text("# Dimensions\n64 0 1 4\n"), "found 64 x 0 x 1 x 4"),
        (lambda path: os.truncate(path, 100), "expected 147456 bytes .* found 100"),
        (lambda path: path.with_suffix(".hdr").write_text("# Dimensions\n64 24 1 4 3\n"), "found x 64, .*other 3"),
    ],
)
def test_damaged_pairs_are_refused(kspace, tmp_path, change, told):
    path = write_bart(tmp_path / "k", kspace.transpose(3, 2, 1, 0).reshape(64, 24, 1, 4, *[1] * 9, 3))
    change(path)
    with pytest.raises(InputError, match=told):
        import_file(ImportSettings(path, tmp_path / "raw.h5", geometry=GEOMETRY))


def test_other_files_and_options_are_refused(tmp_path, public_file, kspace):
    source = public_file(kspace)
    (tmp_path / "k.mat").touch()
    for settings, told in (
        (ImportSettings(tmp_path / "k.mat", tmp_path / "raw.h5"), "expected HDF5"),
        (ImportSettings(tmp_path / "none.npy", tmp_path / "raw.h5"), "no such file"),
        (ImportSettings(source, tmp_path / "raw.h5", order=("x",)), "has fixed axes"),
        (ImportSettings(source, source), "is the file that is read"),
        (ImportSettings(source, tmp_path / "k.mat"), "exists; choose another"),
        (ImportSettings(source, tmp_path / "raw.h5", geometry=Geometry((1.0, 1.0, 1.0), 1.7)), "1.7 times oversampled"),
    ):
        with pytest.raises(InputError, match=told):
            import_file(settings)
    assert not (tmp_path / "raw.h5").exists()


def test_a_full_disk_leaves_nothing(tmp_path, public_file, kspace, small_disk):
    source = public_file(kspace)
    with small_disk(40_000), pytest.raises(OutputError):
        import_file(ImportSettings(source, tmp_path / "raw.h5"))
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def brain_file(folder, mask=None):
    """The development brain in fastMRI's layout: the readout is its shorter side."""
    path = SHARED / "data/kspace/brain_t1_8ch_espirit_full.h5"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with h5py.File(path) as file:
        kspace = file["kspace"][:][None]  # (slice, coil, y, x)
    reference = np.sqrt((np.abs(ifft(kspace, axes=(-2, -1))) ** 2).sum(1))
    n_y, n_x = kspace.shape[-2:]
    header = simulated_header(simulated_brain(n_x, n_y))
    made = folder / "file_brain_AXT1_000.h5"
    with h5py.File(made, "w") as file:
        file["kspace"] = (kspace if mask is None else kspace * mask[:, None]).swapaxes(-1, -2)
        file["ismrmrd_header"] = ToXML(header).encode()
        file["reconstruction_rss"] = reference.swapaxes(-1, -2).astype(np.float32)
        if mask is not None:
            file["mask"] = mask
    return made


def simulated_brain(n_x, n_y):
    from nilatron.pipelines.simulation.settings import SimulationSettings

    return SimulationSettings(matrix=(n_x, n_y, 1), n_coils=8, readout_oversampling=1.0, fov_mm=(180.0, 230.0, 5.0))


@pytest.mark.shared
def test_a_whole_brain_is_the_reference_that_came_with_it(tmp_path, images):
    report, found = images(brain_file(tmp_path), properties={"whitened": "yes"})  # the reference is not whitened either
    assert psnr(found, np.load(report.reference)) > 50


@pytest.mark.shared
def test_an_accelerated_brain_is_near_the_reference(tmp_path, images):
    mask = np.zeros(230, bool)
    mask[3::4] = mask[103:127] = True
    report, found = images(brain_file(tmp_path, mask), properties={"whitened": "yes"})
    assert report.acceleration == (4, 1)
    assert psnr(found, np.load(report.reference)) > 31
