import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from nilatron.core.backend import complex_normal
from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.denoise import check_output, denoise, read_image, write_image


@pytest.fixture(scope="module")
def shipped():
    return load_prior().denoiser


@pytest.fixture
def linear():
    """An untrained network: the Wiener filter of white data."""
    return EDMDenoiser(UNetConfig((8,), (1,), 8), 0.25).eval()


def noisy_phantom(sigma, shape=(1, 96, 80)):
    clean = phantom(shape)[0]
    return clean, clean + sigma * complex_normal(np.random.default_rng(0), clean.shape, clean)


@pytest.mark.parametrize("unit", [1e-7, 1.0, 4000.0])
@pytest.mark.parametrize("sigma", [0.1, None])
def test_noise_becomes_less_in_the_units_of_the_image(shipped, unit, sigma):
    clean, noisy = noisy_phantom(0.1)
    scale = float(np.percentile(np.abs(noisy), 99.5))
    found = denoise(np.complex64(unit) * noisy, shipped, sigma and sigma / scale)
    assert found.scale == pytest.approx(unit * scale, rel=0.01)
    assert found.sigma == pytest.approx(0.1 / scale, rel=0.15)
    assert np.linalg.norm(found.image / unit - clean) < 0.6 * np.linalg.norm(noisy - clean)


def test_a_real_image_is_denoised_and_stays_real(shipped):
    clean, noisy = noisy_phantom(0.1)
    found = denoise(noisy.real.copy(), shipped, None)
    assert found.image.dtype == np.float32
    assert np.linalg.norm(found.image - clean.real) < 0.6 * np.linalg.norm(noisy.real - clean.real)


def test_a_stack_has_one_scale(linear):
    stack = np.stack([np.ones((16, 24), np.complex64), 2 * np.ones((16, 24), np.complex64)])
    found = denoise(stack, linear, 0.1)
    assert found.scale == 2
    expected = stack * (0.25**2 / (0.1**2 / 2 + 0.25**2))
    np.testing.assert_allclose(found.image, expected, rtol=1e-5)


def test_real_images_are_seeded(shipped):
    image = np.random.default_rng(0).standard_normal((32, 32), dtype=np.float32)
    first, again, other = (denoise(image, shipped, 0.2, seed).image for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_noise_level_that_cannot_be_is_refused(linear, sigma):
    with pytest.raises(InputError, match="sigma must be a positive number"):
        denoise(np.ones((16, 16), np.float32), linear, sigma)


@pytest.mark.parametrize(("shape", "why"), [((64, 64), "no noise was found"), ((4, 64), "too small")])
def test_noise_that_cannot_be_measured_must_be_given(linear, shape, why):
    with pytest.raises(InputError, match=f"{why}.*--sigma"):
        denoise(np.zeros(shape, np.float32), linear, None)
    assert (
        not denoise(np.zeros(shape, np.float32), EDMDenoiser(UNetConfig((8,), (1,), 8), 1e-9).eval(), 0.1)
        .image.round(3)
        .any()
    )


def test_files_come_back_as_they_were(tmp_path):
    image = np.random.default_rng(0).standard_normal((2, 5, 7)).astype(np.complex64)
    write_image(tmp_path / "a.npy", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), image)
    grey = np.arange(100, 220, dtype=np.float32).reshape(10, 12)
    write_image(tmp_path / "a.png", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), grey)
    Image.fromarray(np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").max() == 59000
    write_image(tmp_path / "small.png", 1e-6 * grey * 1j)
    assert read_image(tmp_path / "small.png").max() == 255


def test_a_stack_becomes_no_picture_and_nothing_is_left_behind(tmp_path):
    with pytest.raises(InputError, match="a PNG holds one image"):
        write_image(tmp_path / "a.png", np.zeros((2, 5, 7), np.float32))
    assert list(tmp_path.iterdir()) == []


def write_pickle(path):
    path.write_bytes(pickle.dumps([1, 2]))


BAD_FILES = {
    "pickle.npy": (write_pickle, "is not an image"),
    "objects.npy": (lambda p: np.save(p, np.array([None]), allow_pickle=True), "is not an image"),
    "empty.npy": (lambda p: p.write_bytes(b""), "is not an image"),
    "empty.png": (lambda p: p.write_bytes(b""), "is not an image"),
    "text.npy": (lambda p: np.save(p, np.array([["a", "b"]])), "must be numbers"),
    "row.npy": (lambda p: np.save(p, np.zeros(9)), "shape"),
    "nothing.npy": (lambda p: np.save(p, np.zeros((0, 9))), "shape"),
    "nan.npy": (lambda p: np.save(p, np.full((4, 4), np.nan)), "not finite"),
    "folder.npy": (lambda p: p.mkdir(), "is not a file"),
    "image.tif": (lambda p: p.write_bytes(b"x"), "ends in .npy or .png"),
    "absent.png": (lambda _: None, "no such file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_no_images_are_refused(tmp_path, name):
    make, message = BAD_FILES[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / name)


def test_the_output_is_looked_at_first(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    check_output(tmp_path / "b.png", overwrite=False)
    check_output(tmp_path / "a.png", overwrite=True)
    for name, message in (("a.png", "--overwrite"), ("b.jpg", "ends in")):
        with pytest.raises(InputError, match=message):
            check_output(tmp_path / name, overwrite=False)
    (tmp_path / "c.npy").mkdir()
    with pytest.raises(InputError, match="give a file name"):
        check_output(tmp_path / "c.npy", overwrite=True)


def test_the_network_decides_where_it_is_computed(linear):
    assert next(linear.parameters()).device == torch.device("cpu")
    assert denoise(np.ones((16, 16), np.complex64), linear, 0.1).image.dtype == np.complex64
