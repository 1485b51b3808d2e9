"""Train a prior. Needs torch, numpy, pillow, safetensors and the extra `train`; neither ISMRMRD nor Gadgetron."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.loss import denoising_loss
from nilatron.pipelines.training.batches import Batch, Batches, batch_loader, n_loader_workers
from nilatron.pipelines.training.checkpoint import Checkpoint, replaced_durably, write_checkpoint
from nilatron.pipelines.training.images import fingerprint
from nilatron.pipelines.training.monitor import Monitor
from nilatron.pipelines.training.scans import scan_loss
from nilatron.pipelines.training.schedule import ema_decay, learning_rate
from nilatron.pipelines.training.settings import TrainingError, TrainSettings
from nilatron.pipelines.training.start import start_network
from nilatron.pipelines.training.stop import StopCondition
from nilatron.pipelines.training.validation import pictures, validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

WEIGHTS_NAME = "prior.safetensors"


class Trainer:
    """Model, optimiser and moving average of one run, with checkpoint, weights and logs in `folder`.

    Parameters
    ----------
    images
        Magnitude or complex images (y, x) of image scale 1.
    held_out
        Images for validation; without them no errors are measured.
    fabric
        From `training.processes.launch`.
    checkpoint
        To continue from; None begins anew.

    Raises
    ------
    TrainingError
        When the checkpoint is not one of a run with these images and this architecture.
    """

    def __init__(
        self,
        images: Sequence[Tensor],
        settings: TrainSettings,
        folder: Path,
        fabric: Fabric,
        *,
        held_out: Sequence[Tensor] = (),
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.images, self.settings, self.folder, self.fabric = images, settings, folder, fabric
        self.held_out = held_out
        self.images_sha256 = fingerprint(images)
        if checkpoint:
            self.model = EDMDenoiser(settings.network_config, checkpoint.sigma_data)
            self.started_from = checkpoint.started_from
        else:
            self.model, self.started_from = start_network(settings, images)
        self.model.to(fabric.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.step = 0
        if checkpoint:
            self._restore(checkpoint)
        shared, self._optimizer = fabric.setup(self.model, self.optimizer)
        self._fabric_module, self._shared_model = shared, cast("EDMDenoiser", shared)
        self.errors: dict[float, float] = {}  # of the weights after `_errors_step` steps
        self._errors_step = -1

    def train_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Update the weights and their average; loss of this process's share and norm of the whole gradient."""
        clean, s, noise = (tensor.to(self.fabric.device, non_blocking=True) for tensor in batch[:3])
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.settings)
        clean = clean.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        of_scans = self._learn_from_scans(batch)
        loss = batch.loss_weight * denoising_loss(self._shared_model, clean, s, noise)
        self.fabric.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self._optimizer.step()
        self.step += 1
        keep = ema_decay(self.step, self.settings)
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)
        return loss.detach() + of_scans, norm

    def _learn_from_scans(self, batch: Batch) -> Tensor:
        """Add the gradients of this process's scans, one at a time for memory's sake; the sum of their weighted losses."""
        total = torch.zeros((), device=self.fabric.device)
        for index, scan in enumerate(batch.scans):
            number = self.fabric.global_rank + index * self.fabric.world_size
            generator = np.random.default_rng((self.settings.seed, self.step, number))
            # the processes exchange these gradients with those of the patches, which come last
            with self.fabric.no_backward_sync(self._fabric_module):
                loss = batch.scan_loss_weight * scan_loss(self._shared_model, scan, generator, self.fabric.device)
                self.fabric.backward(loss)
            total += loss.detach()
        return total

    def run(self, watch: StopCondition | None = None) -> bool:
        """Train to the last step, or until `watch` or a signal asks for a stop; checkpoints and weights on the way.

        Returns
        -------
        Whether the last step is done.

        Raises
        ------
        TrainingError
            When the loss is no longer finite; the last checkpoint is from before.
        """
        if self.fabric.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
        with watch or StopCondition() as watch:
            if not self.fabric.is_global_zero:
                self._loop(watch, None)
            else:
                with Monitor(self.folder, self.settings, self.step) as monitor:
                    self._loop(watch, monitor)
        return self.step == self.settings.steps

    def _loop(self, watch: StopCondition, monitor: Monitor | None) -> None:
        steps, every = self.settings.steps, self.settings.monitor
        if self.step == 0:
            self.save()  # so that a run can be resumed from its first step on
        batches = Batches(self.images, self.settings, self.fabric.global_rank, self.fabric.world_size)
        device = self.fabric.device.type
        loader = batch_loader(batches, self.step, n_loader_workers(self.settings.compute, device), device == "cuda")
        sums, n_images, n_steps = torch.zeros(2, device=self.fabric.device), 0, 0
        for batch in loader:
            sums += torch.stack(self.train_step(batch))
            n_images, n_steps = n_images + batch.n_patches, n_steps + 1
            stop = self._agreed(watch)
            due = stop or self.step == steps
            if due or not self.step % every.log_every or not self.step % every.checkpoint_every:
                loss, norm = self._means(sums / n_steps)
                if monitor:
                    monitor.write_step(self.step, loss, norm, learning_rate(self.step - 1, self.settings), n_images)
                sums.zero_()
                n_images = n_steps = 0
            if monitor:
                monitor.advance(self.step)
                self._look(monitor)
            if due or not self.step % every.checkpoint_every:
                self.save()
            if stop:
                log.warning("stopped after step %d of %d (%s)", self.step, steps, watch.reason or "another process")
                return
        if monitor and self._errors_step != self.step:
            self._measure(monitor)
        self.save()

    def _agreed(self, watch: StopCondition) -> bool:
        """Whether any process has to stop: all leave after the same step."""
        if self.fabric.world_size == 1:
            return watch.reason is not None
        wish = torch.tensor(float(watch.reason is not None), device=self.fabric.device)
        return bool(cast("Tensor", self.fabric.all_reduce(wish, reduce_op="sum")) > 0)

    def _means(self, means: Tensor) -> tuple[float, float]:
        """Loss and gradient norm over all processes, which must be finite."""
        loss, norm = cast("Tensor", self.fabric.all_reduce(means, reduce_op="mean")).tolist()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingError(
                f"loss {loss} and gradient norm {norm} by step {self.step}: lower the learning rate in a new run"
            )
        return loss, norm

    def _look(self, monitor: Monitor) -> None:
        """Errors and pictures, when they are due."""
        every = self.settings.monitor
        if every.validate_every and not self.step % every.validate_every:
            self._measure(monitor)
        if every.picture_every and not self.step % every.picture_every:
            for name, picture in pictures(self.averaged(), self.held_out):
                monitor.write_picture(self.step, name, picture)
            monitor.restart_clock()

    def _measure(self, monitor: Monitor) -> None:
        if not self.held_out:
            return
        self.errors = validate(self.averaged(), self.held_out, n_patches=self.settings.monitor.validation_patches)
        self._errors_step = self.step
        monitor.write_errors(self.step, self.errors)
        monitor.restart_clock()

    def averaged(self) -> EDMDenoiser:
        """The denoiser with the moving average of the weights."""
        model = EDMDenoiser(self.settings.network_config, self.model.sigma_data)
        model.load_state_dict(self.average)
        return model.to(self.fabric.device).eval().requires_grad_(False)

    def save(self) -> None:
        """Replace the checkpoint and the exported weights, each as a whole."""
        if self.fabric.is_global_zero:
            checkpoint = Checkpoint(
                self.step, self.settings, self.model.sigma_data, self.images_sha256, self.started_from, self._tensors()
            )
            write_checkpoint(self.folder, checkpoint)
            with replaced_durably(self.folder / WEIGHTS_NAME) as partial:
                save_prior(partial, self.averaged(), self._metadata())
        self.fabric.barrier()

    def _metadata(self) -> dict[str, str]:
        described = asdict(self.settings)
        described = {
            name: described[name] for name in described if name not in ("data", "licence", "compute", "monitor")
        }
        metadata = {
            "data": self.settings.data,
            "licence": self.settings.licence,
            "trained_steps": str(self.step),
            "training": json.dumps(described),
            "n_training_images": str(len(self.images)),
            "training_images_sha256": self.images_sha256,
            "scale_convention": "99.5th percentile of the image magnitude is 1",
        }
        if self.started_from:
            metadata["started_from_sha256"] = self.started_from
        if self._errors_step == self.step:
            metadata["rmse"] = json.dumps({f"{sigma:g}": round(error, 5) for sigma, error in self.errors.items()})
        return metadata

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def _restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.images_sha256 != self.images_sha256:
            raise TrainingError(
                "the images are not those that the run began with: give the same, or begin a new run with --start"
            )
        if not 0 <= checkpoint.step <= self.settings.steps:
            raise TrainingError(
                f"the checkpoint is of step {checkpoint.step}, the run would end at {self.settings.steps}: give more steps"
            )
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in checkpoint.tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
        try:
            self.model.load_state_dict(_part(checkpoint, "model."))
            self.average = {name: value.to(self.fabric.device) for name, value in _part(checkpoint, "average.").items()}
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainingError(
                f"the tensors of the checkpoint do not fit {self.settings.architecture!r}: {error}"
            ) from error
        self.step = checkpoint.step


def _part(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in checkpoint.tensors.items() if name.startswith(prefix)}
