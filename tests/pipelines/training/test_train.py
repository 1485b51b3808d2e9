import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.pipelines.training.batches import Batches
from nilatron.pipelines.training.checkpoint import read_checkpoint
from nilatron.pipelines.training.processes import launch
from nilatron.pipelines.training.settings import ComputeSettings, MonitorSettings, TrainingError, TrainSettings
from nilatron.pipelines.training.stop import StopCondition
from nilatron.pipelines.training.train import WEIGHTS_NAME, Trainer

SMALL = TrainSettings(
    architecture="tiny",
    steps=6,
    batch_size=2,
    patch_sizes=(16, 32),
    warm_up_steps=2,
    bf16=False,
    data="squares",
    monitor=MonitorSettings(checkpoint_every=3, log_every=2, tensorboard=False, validation_patches=1, picture_every=0),
    compute=ComputeSettings(device="cpu"),
)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand((40 + n, 50), generator=generator).to(torch.float16) for n in range(3)]


@pytest.fixture
def trainer(images, tmp_path):
    def make(settings=SMALL, folder="run", **others):
        return Trainer(others.pop("images", images), settings, tmp_path / folder, launch(settings), **others)

    return make


def same_state(first, second):
    assert first.step == second.step
    assert first.tensors.keys() == second.tensors.keys()
    return all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_a_resumed_run_ends_with_the_same_bits_as_an_unbroken_one(trainer, tmp_path, monkeypatch, bf16):
    settings = replace(SMALL, bf16=bf16)
    assert trainer(settings, "whole").run()
    broken = trainer(settings, "broken")
    train_step = broken.train_step

    def die_in_step_5(batch):
        if broken.step == 4:
            raise KeyboardInterrupt
        return train_step(batch)

    monkeypatch.setattr(broken, "train_step", die_in_step_5)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    checkpoint = read_checkpoint(tmp_path / "broken")
    assert checkpoint.step == 3
    assert trainer(settings, "broken", checkpoint=checkpoint).run()
    assert same_state(read_checkpoint(tmp_path / "whole"), read_checkpoint(tmp_path / "broken"))
    first, second = (load_prior(tmp_path / name / WEIGHTS_NAME).metadata for name in ("whole", "broken"))
    assert first == second  # with the hash of the tensors


@pytest.mark.slow
def test_the_weights_say_what_they_are(trainer, tmp_path, images):
    trained = trainer(held_out=images[:1])
    trained.run()
    metadata = load_prior(tmp_path / "run" / WEIGHTS_NAME).metadata
    assert (metadata["trained_steps"], metadata["data"], metadata["n_training_images"]) == ("6", "squares", "3")
    assert '"0.02": 0.0' in metadata["rmse"]
    assert metadata["training_images_sha256"] == trained.images_sha256


@pytest.mark.slow
def test_a_run_that_is_done_is_done_again_at_no_cost(trainer, tmp_path):
    trainer().run()
    before = read_checkpoint(tmp_path / "run")
    (tmp_path / "run" / WEIGHTS_NAME).unlink()  # as if killed between the two
    assert trainer(checkpoint=read_checkpoint(tmp_path / "run")).run()
    assert same_state(read_checkpoint(tmp_path / "run"), before)
    assert load_prior(tmp_path / "run" / WEIGHTS_NAME).metadata["trained_steps"] == "6"


@pytest.mark.slow
def test_no_time_stops_after_one_step_with_a_checkpoint_to_go_on_from(trainer, tmp_path):
    assert not trainer(folder="pieces").run(StopCondition(minutes=0))
    assert read_checkpoint(tmp_path / "pieces").step == 1
    assert trainer(folder="pieces", checkpoint=read_checkpoint(tmp_path / "pieces")).run()
    trainer(folder="whole").run()
    assert same_state(read_checkpoint(tmp_path / "whole"), read_checkpoint(tmp_path / "pieces"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(trainer, tmp_path, monkeypatch, number):
    run = trainer()
    train_step = run.train_step

    def signalled_in_step_2(batch):
        if run.step == 1:
            os.kill(os.getpid(), number)
        return train_step(batch)

    monkeypatch.setattr(run, "train_step", signalled_in_step_2)
    assert not run.run()
    assert read_checkpoint(tmp_path / "run").step == 2
    assert load_prior(tmp_path / "run" / WEIGHTS_NAME).metadata["trained_steps"] == "2"


@pytest.mark.slow
def test_other_images_too_few_steps_and_other_networks_are_refused(trainer, tmp_path, images):
    trainer().run()
    checkpoint = read_checkpoint(tmp_path / "run")
    with pytest.raises(TrainingError, match="the images are not those"):
        trainer(images=images[:2], checkpoint=checkpoint)
    with pytest.raises(TrainingError, match="checkpoint is of step 6, the run would end at 4"):
        trainer(replace(SMALL, steps=4), checkpoint=checkpoint)
    with pytest.raises(TrainingError, match="do not fit 'default'"):
        trainer(replace(SMALL, architecture="default"), checkpoint=checkpoint)


@pytest.mark.slow
def test_more_steps_go_on_where_the_run_ended(trainer, tmp_path):
    trainer().run()
    assert trainer(replace(SMALL, steps=8), checkpoint=read_checkpoint(tmp_path / "run")).run()
    assert read_checkpoint(tmp_path / "run").settings.steps == 8


@pytest.mark.slow
def test_a_run_starts_from_given_weights(trainer, tmp_path):
    trainer().run()
    weights = tmp_path / "run" / WEIGHTS_NAME
    prior = load_prior(weights)
    second = trainer(replace(SMALL, start=str(weights)), "second")
    assert second.model.sigma_data == prior.denoiser.sigma_data
    expected = prior.denoiser.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.model.state_dict().items())
    second.run()
    trained = load_prior(tmp_path / "second" / WEIGHTS_NAME)
    assert trained.metadata["started_from_sha256"] == prior.sha256
    assert any(not torch.equal(value, expected[name]) for name, value in trained.denoiser.state_dict().items())
    weights.unlink()  # not needed any more
    assert trainer(replace(SMALL, start=str(weights)), checkpoint=read_checkpoint(tmp_path / "second")).step == 6


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint(trainer, tmp_path, monkeypatch):
    broken = trainer()
    monkeypatch.setattr(broken, "train_step", lambda _: (torch.tensor(float("nan")), torch.ones(())))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        broken.run()
    assert read_checkpoint(tmp_path / "run").step == 0


@pytest.mark.slow
def test_training_lowers_the_loss(trainer):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    discs = [(y**2 + x**2 < radius).float() for radius in (0.3, 0.6, 0.9)]
    settings = replace(SMALL, steps=40, patch_sizes=(16,), batch_size=8, learning_rate=3e-3, warm_up_steps=5)
    run, batches = trainer(settings, images=discs), Batches(discs, settings)
    losses = [float(run.train_step(batches[step])[0]) for step in range(settings.steps)]
    assert np.mean(losses[-15:]) < 0.85 * np.mean(losses[:15])
