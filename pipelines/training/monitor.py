"""What a run shows of itself: lines in the log, a progress bar on a terminal, a table and pictures, TensorBoard logs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nilatron.pipelines.progress import duration
from nilatron.pipelines.training.record import ERROR, Record
from nilatron.pipelines.training.settings import TrainingError, TrainSettings
from nilatron.pipelines.training.validation import Picture

log = logging.getLogger(__name__)


class Monitor:
    """Open it around the run; one process of all has one.

    Raises
    ------
    TrainingError
        When TensorBoard logs are wanted and tensorboardX is not installed.
    """

    def __init__(self, folder: Path, settings: TrainSettings, first_step: int) -> None:
        self._folder, self._n_steps, self._first_step = folder, settings.steps, first_step
        # what a broken run wrote after its checkpoint is hidden: it happens again
        self._writer = _writer(folder / "logs", first_step) if settings.monitor.tensorboard else None
        self._record = Record(folder, first_step)
        self._since, self._told_step = time.monotonic(), first_step
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        console = Console(stderr=True)
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, console=console)
            self._task = self._progress.add_task("training", total=self._n_steps, completed=self._first_step)
            self._progress.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self._progress:
            self._progress.stop()
        if self._writer:
            self._writer.close()

    def advance(self, step: int) -> None:
        """Move the bar."""
        if self._progress:
            self._progress.update(self._task, completed=step)

    def write_step(self, step: int, loss: float, gradient_norm: float, learning_rate: float, n_images: int) -> None:
        """Write means since the last call, over `n_images` patches."""
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        rate = n_images / max(seconds, 1e-9)
        left = duration((self._n_steps - step) / max(step - self._told_step, 1) * max(seconds, 1e-9))
        self._told_step = step
        words = "step %d of %d, loss %.4f, gradient norm %.3g, learning rate %.3g, %.1f images/s, %s left"
        log.info(words, step, self._n_steps, loss, gradient_norm, learning_rate, rate, left)
        if self._progress:
            self._progress.update(self._task, description=f"loss {loss:.4f}, {rate:.0f} images/s")
        values = {"loss": loss, "gradient_norm": gradient_norm, "learning_rate": learning_rate, "images_per_s": rate}
        self._record.add(step, values)
        self._scalars(step, {f"training/{name}": value for name, value in values.items()})

    def write_errors(self, step: int, errors: Mapping[float, float]) -> None:
        """Write root mean square errors by complex noise level."""
        log.info("step %d, error by sigma: %s", step, ", ".join(f"{s:g}: {e:.5f}" for s, e in errors.items()))
        self._record.add(step, {f"{ERROR}{sigma:g}": error for sigma, error in errors.items()})
        self._scalars(step, {f"validation/rmse_sigma_{sigma:g}": error for sigma, error in errors.items()})

    def write_picture(self, step: int, name: str, picture: Picture) -> None:
        """Write a grey picture (y, x), as PNG too."""
        from PIL import Image

        path = self._folder / "pictures" / f"{name}_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture).save(path)
        if self._writer:
            self._writer.add_image(name, picture, step, dataformats="HW")

    def restart_clock(self) -> None:
        """Leave what has just been done out of the images per second."""
        self._since = time.monotonic()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()


def _writer(folder: Path, first_step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]
    except ImportError as error:
        raise TrainingError(
            f"TensorBoard logs need tensorboardX ({error}): pip install 'nilatron[train]', "
            "or go without them: --set monitor.tensorboard=false"
        ) from error
    return SummaryWriter(str(folder), purge_step=first_step or None)
