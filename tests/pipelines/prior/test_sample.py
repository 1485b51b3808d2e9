import math

import h5py
import pytest
import torch

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.sample import (
    LENGTH_MM,
    SampleSettings,
    coherence,
    next_noise,
    sample,
    write_samples,
)
from nilatron.pipelines.training.images import load_volumes


@pytest.fixture
def weights(make_weights):
    return make_weights(False)


def drawn(weights, **changes):
    return sample(SampleSettings(weights, matrix=(32, 40), n_steps=3, **changes))


def test_a_volume_has_its_size_and_repeats_with_its_seed(weights):
    told = []
    settings = SampleSettings(weights, n_slices=3, matrix=(32, 40), n_steps=3, seed=1)
    volume = sample(settings, lambda *done: told.append(done))
    assert (volume.shape, volume.dtype) == ((3, 32, 40), torch.complex64)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert torch.equal(volume, drawn(weights, n_slices=3, seed=1))
    assert not torch.equal(volume, drawn(weights, n_slices=3, seed=2))


def test_the_first_slice_is_the_single_image_and_neighbours_are_alike(weights):
    volume = drawn(weights, n_slices=3, spacing_mm=1.0)
    assert torch.equal(volume[:1], drawn(weights))
    near, far = (float((volume[0] - volume[n]).abs().square().mean()) for n in (1, 2))
    assert 0 < near < far


def test_equal_slices_are_coherent_and_others_less():
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    other = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    same, less = coherence(torch.cat((image, 2 * image, other)).to(torch.complex64))
    assert same == pytest.approx(1)
    assert abs(less) < 0.5


def test_what_is_written_is_a_volume_for_training_and_pictures(weights, tmp_path):
    settings = SampleSettings(weights, n_slices=2, matrix=(32, 40), n_steps=2)
    volume = sample(settings)
    write_samples(tmp_path / "volume.h5", volume, settings, tmp_path / "pictures", overwrite=False)
    with h5py.File(tmp_path / "volume.h5") as file:
        assert file["image"].attrs["spacing_mm"] == 3.0
        assert torch.equal(torch.as_tensor(file["image"][:]), volume)
    images, places = load_volumes([tmp_path / "volume.h5"])
    assert len(images) == len(places) == 2
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["slice_000.png", "slice_001.png", "volume.png"]
    with pytest.raises(InputError, match="--overwrite"):
        write_samples(tmp_path / "volume.h5", volume, settings, None, overwrite=False)


@pytest.mark.parametrize("wrong", [{"n_slices": 0}, {"matrix": (16, 64)}, {"spacing_mm": 0.0}, {"n_steps": 1}])
def test_what_cannot_be_drawn_is_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=r"expected|a matrix has"):
        SampleSettings(tmp_path / "w.safetensors", **wrong)


def test_the_first_noise_is_white_in_every_slice_and_much_like_that_of_the_slice_before(tmp_path):
    settings = SampleSettings(tmp_path / "w.safetensors", matrix=(128, 128), spacing_mm=6.0)
    generator = torch.Generator().manual_seed(0)
    noises = [next_noise(None, settings, generator)]
    for _ in range(20):
        noises.append(next_noise(noises[-1], settings, generator))
    assert float(noises[-1].abs().square().mean()) == pytest.approx(1, abs=0.03)
    alike = (noises[5] * noises[6].conj()).mean().real
    assert float(alike) == pytest.approx(math.exp(-6.0 / LENGTH_MM), abs=0.03)
