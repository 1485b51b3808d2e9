import numpy as np
import pytest

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import UNetConfig


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "phase.safetensors"
    save_prior(path, EDMDenoiser(UNetConfig((8, 16), (1, 1), 16), sigma_data=0.3), {})
    return path


@pytest.mark.slow
def test_two_sources_become_one_folder_of_complex_images(command, weights, tmp_path):
    for name in ("one.npy", "two.npy"):
        np.save(tmp_path / name, np.random.default_rng(0).random((12, 10)))
    sources, output = (tmp_path / "one.npy", tmp_path / "two.npy"), tmp_path / "out"
    words = ("phases", *sources, "-o", output, "-w", weights, "--samples-per-image", 3, "--seed", 7)
    code, out, err = command(*words)
    assert code == 0, err
    assert out.split() == ["6", "complex", "images", "to", str(output)]
    files = sorted(output.glob("*.npy"))
    assert [path.name for path in files[:2]] == ["image_000000_phase_00.npy", "image_000000_phase_01.npy"]
    assert len(files) == 6
    assert np.load(files[0]).dtype == np.complex64


def test_bad_input_is_one_line_and_code_2(command, weights, tmp_path, one_line):
    np.save(tmp_path / "one.npy", np.ones((12, 10)))
    code, _, err = command("phases", tmp_path / "absent", tmp_path / "out", "--weights", weights)
    assert code == 2
    assert "no such file or folder" in one_line(err)
    code, _, err = command("phases", tmp_path / "one.npy", tmp_path / "out", "--weights", tmp_path / "none")
    assert code == 2
    assert "no weights file" in one_line(err)
    assert not (tmp_path / "out").exists()
