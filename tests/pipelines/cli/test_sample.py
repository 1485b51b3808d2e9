import h5py
import pytest

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import UNetConfig


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "prior.safetensors"
    save_prior(path, EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.3), {})
    return path


def test_an_image_is_drawn(command, weights, tmp_path):
    words = ("sample", "-o", tmp_path / "image.h5", "--matrix", "32,48", "--steps", 2, "-w", weights)
    code, out, err = command(*words)
    assert code == 0, err
    assert out.strip() == f"1 slice to {tmp_path / 'image.h5'}: drawn from a prior, no measurement"
    with h5py.File(tmp_path / "image.h5") as file:
        assert file["image"].shape == (1, 32, 48)
    code, _, err = command(*words)
    assert code == 2
    assert "--overwrite" in err


def test_bad_input_is_one_line_and_code_2(command, weights, tmp_path, one_line):
    for words, message in (
        (("--matrix", "128"), "--matrix expects two whole numbers"),
        (("--matrix", "8,8"), "sides of 32 pixels or more"),
    ):
        code, _, err = command("sample", "-o", tmp_path / "out.h5", "-w", weights, *words)
        assert code == 2
        assert message in one_line(err)
    assert not (tmp_path / "out.h5").exists()
