import h5py
import pytest
import torch

from nilatron.core.prior.neighbour_head import NeighbourHead
from nilatron.core.prior.neighbour_weights import beside, save_neighbours
from nilatron.core.prior.weights import WeightsError, read_weights_file
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.sample import SampleSettings, coherence, sample, write_samples
from nilatron.pipelines.training.images import load_volumes


@pytest.fixture
def weights(make_weights):
    """Weights with a head that draws every slice like the one before it."""
    path = make_weights(False)
    torch.manual_seed(0)
    head = NeighbourHead()
    torch.nn.init.normal_(head.last.weight, std=0.05)
    save_neighbours(beside(path), head, {}, read_weights_file(path).sha256)
    return path


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


def test_every_slice_but_the_first_is_told_of_the_one_before(weights):
    with_head = drawn(weights, n_slices=2)
    save_neighbours(beside(weights), NeighbourHead(), {}, read_weights_file(weights).sha256)
    without = drawn(weights, n_slices=2)
    assert torch.equal(with_head[0], without[0])
    assert not torch.equal(with_head[1], without[1])


def test_a_single_image_needs_no_head(make_weights):
    assert drawn(make_weights(False)).shape == (1, 32, 40)


def test_a_volume_needs_the_head_of_its_weights(make_weights):
    path = make_weights(False)
    with pytest.raises(WeightsError, match="no weights file at"):
        drawn(path, n_slices=2)
    save_neighbours(beside(path), NeighbourHead(), {}, "ab" * 32)
    with pytest.raises(InputError, match="for other weights than"):
        drawn(path, n_slices=2)


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
