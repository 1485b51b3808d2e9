import gzip
import logging
import subprocess
import sys

import h5py
import ismrmrd
import ismrmrd.hdf5
import numpy as np
import pytest
import torch
from PIL import Image

from nilatron.core.scale import image_scale
from nilatron.pipelines.training.images import TrainingImagesError, fingerprint, load_images, load_volumes

nibabel = pytest.importorskip("nibabel")


@pytest.fixture
def picture():
    """Smooth, with a dark rim, 40 x 50."""
    y, x = np.mgrid[-1:1:40j, -1:1:50j]
    return np.exp(-3 * (y**2 + 2 * x**2)).astype(np.float32)


def relative(image, picture):
    """Distance to the picture after scaling, as a share of it."""
    expected = torch.as_tensor(np.ascontiguousarray(picture))
    expected = expected / image_scale(expected)
    return float((image.to(expected.dtype) - expected).abs().max())


def ismrmrd_file(path, images):
    """Images with (data, image type, series) in the layout of the ISMRMRD library."""
    dataset = ismrmrd.Dataset(str(path), "images", create_if_needed=True)
    for data, image_type, series in images:
        image = ismrmrd.Image.from_array(data, transpose=False)
        image.image_type, image.image_series_index = image_type, series
        dataset.append_image(f"image_{series}", image)
    dataset.close()


def nifti(path, volume, spacing=(1, 1, 1)):
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([*spacing, 1])), path)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_pictures_of_both_depths(picture, tmp_path, bits):
    pixels = (picture * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    (image,) = load_images([tmp_path / "grey.png"])
    assert image.dtype == torch.float16
    assert image.shape == (40, 50)
    assert relative(image, pixels.astype(np.float32)) < 1e-3


def test_colour_becomes_grey(picture, tmp_path):
    grey = (picture * 255).astype(np.uint8)
    Image.fromarray(np.stack((grey,) * 3, -1)).save(tmp_path / "colour.png")
    (image,) = load_images([tmp_path])
    assert relative(image, grey.astype(np.float32)) < 1e-3


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_stacks_of_real_and_complex_arrays(picture, tmp_path, shape):
    gains = np.linspace(1, 2, int(np.prod(shape, initial=1))).reshape(*shape, 1, 1)
    np.save(tmp_path / "real.npy", gains * picture)
    np.save(tmp_path / "turned.npy", 1e-9 * gains * picture * np.exp(1j))
    turned, real = load_images([tmp_path / "turned.npy"]), load_images([tmp_path / "real.npy"])
    assert len(turned) == len(real) == gains.size
    assert all(image.dtype == torch.complex64 for image in turned)
    assert max(relative(image, picture * np.exp(1j)) for image in turned) < 1e-5
    assert max(relative(image, picture) for image in real) < 1e-3


@pytest.mark.parametrize(("spacing", "axis"), [((1, 1, 1), 2), ((1, 1, 5), 2), ((4, 1, 1), 0), ((0.9, 3, 0.9), 1)])
def test_a_nifti_volume_is_cut_across_its_coarsest_axis(tmp_path, spacing, axis):
    volume = np.random.default_rng(0).integers(50, 900, (20, 24, 28), dtype=np.int16)
    nifti(tmp_path / "volume.nii.gz", volume, spacing)
    images = load_images([tmp_path])
    assert len(images) == volume.shape[axis]
    assert relative(images[7], volume.take(7, axis).T.astype(np.float32)) < 1e-3
    assert len(load_images([tmp_path], slice_axis=1)) == 24


def test_nifti_scaling_volumes_and_single_slices(picture, tmp_path):
    series = np.stack([np.stack([picture * gain] * 3, -1) for gain in (1, 2)], -1)
    nifti(tmp_path / "series.nii", series)
    assert len(load_images([tmp_path / "series.nii"])) == 6
    nifti(tmp_path / "single.nii", picture)
    (single,) = load_images([tmp_path / "single.nii"])
    scaled = nibabel.Nifti1Image((1000 * picture).astype(np.int16), np.eye(4))
    scaled.header.set_slope_inter(0.25, 30)
    nibabel.save(scaled, tmp_path / "scaled.nii")
    (slope,) = load_images([tmp_path / "scaled.nii"])
    assert relative(single, picture.T) < 1e-3
    assert relative(slope, (0.25 * np.floor(1000 * picture) + 30).T) < 1e-3


@pytest.mark.parametrize("name", ["reconstruction_rss", "reconstruction_esc", "image"])
def test_hdf5_as_in_fastmri(picture, tmp_path, name):
    with h5py.File(tmp_path / "file1000001.h5", "w") as file:
        file["kspace"] = np.ones((2, 1, 40, 50), np.complex64)
        file[name] = np.stack([picture * np.exp(1j)] * 2) if name == "image" else np.stack([picture] * 2)
    images = load_images([tmp_path])
    assert len(images) == 2
    assert relative(images[1], picture * np.exp(1j) if name == "image" else picture) < 1e-3


def test_ismrmrd_images_without_phase_images_and_uncertainty(picture, tmp_path):
    turned = (picture * np.exp(0.5j)).astype(np.complex64)
    ismrmrd_file(
        tmp_path / "images.h5",
        [
            (picture, ismrmrd.IMTYPE_MAGNITUDE, 1),
            (2 * picture, ismrmrd.IMTYPE_MAGNITUDE, 1),
            ((1000 * picture).astype(np.uint16), ismrmrd.IMTYPE_MAGNITUDE, 2),
            (turned, ismrmrd.IMTYPE_COMPLEX, 3),
            (picture, ismrmrd.IMTYPE_PHASE, 4),
            (picture, ismrmrd.IMTYPE_MAGNITUDE, 101),
            (picture, ismrmrd.IMTYPE_MAGNITUDE, 102),
        ],
    )
    images = load_images([tmp_path / "images.h5"])
    assert [image.dtype for image in images] == [torch.float16] * 3 + [torch.complex64]
    assert relative(images[0], picture) < 1e-3


def test_empty_slices_are_left_out_and_counted(picture, tmp_path, caplog):
    noise = 1e-3 * np.random.default_rng(0).random(picture.shape)
    one_hot = np.zeros_like(picture)
    one_hot[3, 3] = 1
    np.save(tmp_path / "volume.npy", np.stack([0 * picture, noise, picture, one_hot]))
    with caplog.at_level(logging.INFO, "nilatron"):
        assert len(load_images([tmp_path])) == 1
    assert "3 empty slices left out" in caplog.text


def test_a_hot_pixel_stays_finite(picture, tmp_path):
    picture[0, 0] = 1e5
    np.save(tmp_path / "hot.npy", picture)
    assert all(bool(torch.isfinite(image).all()) for image in load_images([tmp_path]))


def test_folders_are_searched_through_and_other_files_passed_over(picture, tmp_path, caplog):
    (tmp_path / "a" / "b").mkdir(parents=True)
    np.save(tmp_path / "a" / "b" / "one.npy", picture)
    np.save(tmp_path / "two.NPY.npy", picture)
    (tmp_path / "README.txt").write_text("not an image")
    (tmp_path / "._two.npy").write_text("debris")
    with caplog.at_level(logging.INFO, "nilatron"):
        assert len(load_images([tmp_path])) == 2
    assert "1 files of other kinds" in caplog.text


def bad_files(folder, picture):
    nifti(folder / "good.nii.gz", np.stack([picture] * 4, -1))
    Image.fromarray((255 * picture).astype(np.uint8)).save(folder / "good.png")
    packed, png = (folder / "good.nii.gz").read_bytes(), (folder / "good.png").read_bytes()
    yield from ((f"empty{suffix}", b"", "not a readable") for suffix in (".png", ".nii", ".nii.gz", ".npy", ".h5"))
    yield "cut.nii.gz", packed[: len(packed) // 2], "not a readable NIfTI"
    yield "short.nii.gz", gzip.compress(gzip.decompress(packed)[:2000]), "not a readable NIfTI"
    yield "cut.png", png[:300], "not a readable PNG"
    yield "cut.npy", b"\x93NUMPY\x01\x00", "not a readable npy"
    yield "text.npy", b"hello", "not a readable npy"
    yield "table.csv", b"1,2,3", "not of a kind that can be read"


def test_damaged_and_foreign_files_are_named(picture, tmp_path):
    for name, content, message in bad_files(tmp_path, picture):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(TrainingImagesError, match=message) as caught:
            load_images([path])
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1, np.nan]]), "not finite"),
        (np.array([[1, 1j * np.inf]]), "not finite"),
        (np.array([[1e300, 1.0]]), "not finite"),
        (np.zeros((0, 5)), "nothing in it"),
        (np.ones(5), "expected \\(y, x\\)"),
        (np.ones((1, 1, 1, 5, 5)), "expected \\(y, x\\)"),
        (np.array([["a", "b"]]), "real or complex numbers"),
        (np.array([[-3.0, 3.0]]), "no values below zero"),
        (np.zeros((4, 4)), "no training images"),
    ],
)
def test_arrays_that_are_no_images_are_named(tmp_path, array, message):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(TrainingImagesError, match=message) as caught:
        load_images([tmp_path / "bad.npy"])
    assert "bad.npy" in str(caught.value)


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(TrainingImagesError, match="not a readable npy file of numbers"):
        load_images([tmp_path])


def test_hdf5_without_images_is_named(tmp_path):
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["dataset/data"] = np.ones(4)
    with pytest.raises(TrainingImagesError, match=r"raw\.h5: holds no images"):
        load_images([tmp_path])


def test_folders_without_images_and_missing_paths_are_named(tmp_path):
    with pytest.raises(TrainingImagesError, match="no training images below this folder"):
        load_images([tmp_path])
    with pytest.raises(TrainingImagesError, match="no such file or folder"):
        load_images([tmp_path / "absent"])
    with pytest.raises(TrainingImagesError, match="must be 0, 1 or 2, got 3"):
        load_images([tmp_path], slice_axis=3)


def test_a_missing_package_names_its_extra(picture, tmp_path, monkeypatch):
    nifti(tmp_path / "volume.nii", np.stack([picture] * 2, -1))
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(TrainingImagesError, match=r"volume\.nii: reading it needs nibabel.*nilatron\[train\]"):
        load_images([tmp_path])


@pytest.mark.slow
def test_pictures_need_none_of_the_other_packages():
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in ("nibabel", "h5py", "ismrmrd"))
    program = f"import sys; {blocked}; sys.path[:] = {sys.path!r}; import nilatron.pipelines.training.images"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_the_fingerprint_is_of_the_contents_not_of_their_order():
    images = [torch.rand(5, 6, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    same = fingerprint(images)
    assert same == fingerprint(images[::-1])
    assert len(same) == 64
    changed = [image.clone() for image in images]
    changed[1][0, 0] += 1e-3
    others = [changed, images[:2], [*images, images[0]], [image.T for image in images], [i.half() for i in images]]
    assert len({same, *map(fingerprint, others)}) == 6


def test_numbered_pictures_of_a_folder_are_a_volume_in_the_order_of_their_numbers(picture, tmp_path):
    for name, gain in (("head_009", 100), ("head_010", 200), ("other_009", 100), ("alone", 100)):
        Image.fromarray((picture * gain).astype(np.uint8)).save(tmp_path / f"{name}.png")
    images, places = load_volumes([tmp_path])
    assert len(images) == len(places) == 4
    alone, first, second, other = places
    assert first.volume == second.volume
    assert len({alone.volume, first.volume, other.volume}) == 3
    assert (first.position, second.position) == (9, 10)
    assert second.scale == pytest.approx(2 * first.scale, rel=0.05)


def test_slices_of_a_stack_are_a_volume_and_empty_ones_leave_a_gap(picture, tmp_path):
    np.save(tmp_path / "stack.npy", np.stack([picture, 0 * picture, 3 * picture]))
    images, places = load_volumes([tmp_path / "stack.npy"])
    assert [place.position for place in places] == [0, 2]
    assert len({place.volume for place in places}) == 1
    assert places[1].scale == pytest.approx(3 * places[0].scale)
    assert len(images) == 2
