import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from nilatron.core.prior.weights import load_prior
from nilatron.pipelines.train import (
    Trainer,
    TrainingError,
    TrainSettings,
    learning_rate,
    load_magnitudes,
    measure_sigma_data,
    validate,
)

SMALL = TrainSettings(
    architecture="tiny", steps=6, batch_size=2, patch_sizes=(16, 32), warm_up_steps=2, checkpoint_every=3, bf16=False
)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images" / "nested"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(3):
        Image.fromarray(rng.integers(0, 256, (40 + n, 50), dtype=np.uint8)).save(folder / f"{n}.png")
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(folder / "empty.png")
    return tmp_path / "images"


def test_images_come_at_scale_one_and_empty_ones_are_left_out(images):
    loaded = load_magnitudes(images)
    assert len(loaded) == 3
    assert all(0.9 < float(torch.quantile(image.float().flatten(), 0.995)) < 1.1 for image in loaded)
    assert 0.2 < measure_sigma_data(loaded) < 0.6


def test_the_command_runs_where_ismrmrd_and_gadgetron_are_absent(images, tmp_path):
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in ("ismrmrd", "gadgetron", "h5py"))
    words = ["nilatron", "train", str(images), str(tmp_path / "run"), "--architecture", "tiny", "--steps", "1"]
    program = f"import sys; {blocked}; sys.argv = {words!r}; from nilatron.pipelines.cli import main; main()"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert load_prior(tmp_path / "run" / "prior.safetensors").metadata["trained_steps"] == "1"


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="no PNG images"):
        load_magnitudes(tmp_path)


def test_an_unknown_architecture_is_refused(images, tmp_path):
    with pytest.raises(TrainingError, match="unknown architecture 'huge'"):
        Trainer(load_magnitudes(images), replace(SMALL, architecture="huge"), tmp_path)


def test_the_rate_warms_up_stays_and_decays():
    settings = TrainSettings(steps=1000, warm_up_steps=100, decay_fraction=0.5)
    assert learning_rate(0, settings) == pytest.approx(1e-5)
    assert learning_rate(300, settings) == pytest.approx(1e-3)
    assert learning_rate(750, settings) == pytest.approx(5.05e-4)
    assert learning_rate(1000, settings) == pytest.approx(1e-5)


def test_a_resumed_run_ends_with_the_same_bytes_as_an_unbroken_one(images, tmp_path):
    magnitudes = load_magnitudes(images)
    Trainer(magnitudes, SMALL, tmp_path / "whole").run()
    broken = Trainer(magnitudes, SMALL, tmp_path / "broken")
    for _ in range(3):
        broken.train_step()
    broken.folder.mkdir()
    broken.save()
    broken.train_step()  # lost with the process
    resumed = Trainer(magnitudes, SMALL, tmp_path / "broken")
    resumed.resume()
    assert resumed.step == 3
    resumed.run()
    first, second = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    weights = [(tmp_path / name / "prior.safetensors") for name in ("whole", "broken")]
    assert load_file(weights[0]).keys() == load_file(weights[1]).keys()
    assert load_prior(weights[0]).metadata["trained_steps"] == "6"


def test_resuming_needs_a_checkpoint_of_the_same_architecture(images, tmp_path):
    magnitudes = load_magnitudes(images)
    with pytest.raises(TrainingError, match="nothing to resume"):
        Trainer(magnitudes, SMALL, tmp_path / "none").resume()
    trainer = Trainer(magnitudes, SMALL, tmp_path / "tiny")
    trainer.folder.mkdir()
    trainer.save()
    with pytest.raises(TrainingError, match="holds a 'tiny' network, not 'default'"):
        Trainer(magnitudes, replace(SMALL, architecture="default"), tmp_path / "tiny").resume()


def test_training_lowers_the_loss(tmp_path):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    discs = [(y**2 + x**2 < radius).float() for radius in (0.3, 0.6, 0.9)]
    settings = replace(SMALL, steps=150, patch_sizes=(32,), batch_size=4, learning_rate=3e-3, warm_up_steps=5)
    trainer = Trainer(discs, settings, tmp_path)
    losses = [trainer.train_step() for _ in range(settings.steps)]
    assert np.mean(losses[-20:]) < 0.93 * np.mean(losses[:20])


def test_validation_is_the_error_of_the_wiener_filter_for_an_untrained_network(images, tmp_path):
    magnitudes = load_magnitudes(images)
    trainer = Trainer(magnitudes, SMALL, tmp_path)
    errors = validate(trainer.averaged(), magnitudes, (0.05, 0.2))
    assert errors == validate(trainer.averaged(), magnitudes, (0.05, 0.2))
    per_component = 0.05 / 2**0.5
    assert errors[0.05] == pytest.approx(per_component, rel=0.1)
    assert errors[0.05] < errors[0.2] < 0.2 / 2**0.5
