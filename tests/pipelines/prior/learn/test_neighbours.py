import json

import numpy as np
import pytest
from PIL import Image

from nilatron.core.phantom import phantom
from nilatron.core.prior.acquired import AcquisitionSettings
from nilatron.core.prior.neighbours.training import NeighbourTraining
from nilatron.core.prior.neighbours.weights import load_neighbours
from nilatron.core.prior.training_scans import ScanSettings
from nilatron.core.prior.weights import read_weights_file
from nilatron.core.sampling.image import ImageSettings
from nilatron.pipelines.prior.learn.neighbours import LearnNeighboursSettings, learn_neighbours

TRAINING = NeighbourTraining(
    n_scans=1, steps_per_scan=1, batch_size=1, sampler=ImageSettings(steps=1),
    scans=ScanSettings(n_coils=(2, 2), calibration_lines=(12,), acquisition=AcquisitionSettings(sides=(32, 40))),
)  # fmt: skip


@pytest.fixture
def volume(tmp_path):
    """Three slices of a volume."""
    (tmp_path / "volume").mkdir()
    for number in (4, 5, 6):
        grey = np.uint8(20 * number * np.abs(phantom((1, 40, 40))[0]))
        Image.fromarray(grey).save(tmp_path / "volume" / f"head_{number:03d}.png")
    return tmp_path / "volume"


def test_a_head_is_learnt_for_weights_that_stay_as_they_are(volume, make_weights, tmp_path):
    weights, output, told = make_weights(False), tmp_path / "out.safetensors", []
    before = weights.read_bytes()
    settings = LearnNeighboursSettings((volume,), weights, training=TRAINING, data="a drawing", licence="none")
    learn_neighbours(settings, output, told.append)
    read = load_neighbours(output)
    assert read.denoiser_sha256 == read_weights_file(weights).sha256
    assert (read.metadata["data"], read.metadata["licence"], read.metadata["n_training_images"]) == (
        "a drawing",
        "none",
        "3",
    )
    assert json.loads(read.metadata["training"])["training"]["n_scans"] == 1
    assert told[-1].startswith("scan 1 of 1")
    assert weights.read_bytes() == before
    learn_neighbours(LearnNeighboursSettings((volume,), weights, output, training=TRAINING), tmp_path / "more")
    assert (tmp_path / "more").is_file()
