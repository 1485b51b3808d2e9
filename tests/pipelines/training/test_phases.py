import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from nilatron.core.errors import BadInputError
from nilatron.core.prior.augment import AugmentSettings, draw_batch
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.phase import PhaseSettings
from nilatron.core.prior.unet import UNetConfig
from nilatron.pipelines.training.images import fingerprint, load_images
from nilatron.pipelines.training.phases import PhaseJob, write_phases

SHORT = PhaseSettings(n_steps=3)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "phase.safetensors"
    torch.manual_seed(0)
    save_prior(path, EDMDenoiser(UNetConfig((8, 16), (1, 1), 16), sigma_data=0.3), {})
    return path


@pytest.fixture
def magnitudes(tmp_path):
    folder = tmp_path / "magnitudes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, shape in enumerate(((20, 30), (33, 17))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_complex_images_keep_the_magnitudes_and_come_back_through_the_readers(magnitudes, weights, tmp_path):
    output = tmp_path / "new" / "complex"
    assert write_phases(PhaseJob((magnitudes,), output, weights, samples_per_image=2), SHORT) == 4
    drawn, given = load_images([output]), load_images([magnitudes])
    assert [image.dtype for image in drawn] == [torch.complex64] * 4
    for image, magnitude in zip(drawn, (given[0], given[0], given[1], given[1]), strict=True):
        assert torch.allclose(image.abs(), magnitude.float(), atol=2e-3)
    assert not torch.allclose(drawn[0], drawn[1], atol=0.1)
    batch = draw_batch(drawn, 3, 16, AugmentSettings(), torch.Generator().manual_seed(0))
    assert bool(torch.isfinite(batch).all())


def test_how_they_were_made_is_beside_them(magnitudes, weights, tmp_path):
    write_phases(PhaseJob((magnitudes,), tmp_path / "out", weights, seed=5), SHORT)
    origin = json.loads((tmp_path / "out" / "phases.json").read_text())
    assert origin["weights_sha256"] == load_prior(weights).sha256
    assert origin["magnitudes"] == fingerprint(load_images([magnitudes]))
    assert origin["seed"] == 5
    assert origin["settings"]["n_steps"] == 3


def test_the_seed_decides(magnitudes, weights, tmp_path):
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        write_phases(PhaseJob((magnitudes,), tmp_path / name, weights, seed=seed), SHORT)
    first, again, other = (fingerprint(load_images([tmp_path / name])) for name in ("first", "again", "other"))
    assert first == again != other


def test_a_failure_on_the_way_leaves_nothing(magnitudes, weights, tmp_path, monkeypatch):
    calls = []

    def fail_second(_, x, sigma):
        calls.append(sigma)
        if len(calls) > SHORT.n_steps:
            raise RuntimeError("out of memory")
        return x

    monkeypatch.setattr(EDMDenoiser, "denoise", fail_second)
    with pytest.raises(RuntimeError, match="out of memory"):
        write_phases(PhaseJob((magnitudes,), tmp_path / "out", weights), SHORT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["magnitudes", "phase.safetensors"]


def test_folders_with_files_complex_images_and_idle_jobs_are_refused(magnitudes, weights, tmp_path):
    with pytest.raises(BadInputError, match="is not empty"):
        write_phases(PhaseJob((magnitudes,), magnitudes, weights), SHORT)
    np.save(tmp_path / "complex.npy", np.full((8, 8), math.e * 1j))
    with pytest.raises(BadInputError, match="complex already"):
        write_phases(PhaseJob((tmp_path / "complex.npy",), tmp_path / "out", weights), SHORT)
    with pytest.raises(BadInputError, match="at least 1"):
        PhaseJob((magnitudes,), tmp_path / "out", weights, samples_per_image=0)
    assert not (tmp_path / "out").exists()
