"""Checkpoints: one safetensors file that is replaced as a whole, and believed only after its hash fits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nilatron.core.prior.weights import HASH_KEY, content_sha256
from nilatron.pipelines.files.disk import OutputError, reason_of, tensors_written
from nilatron.pipelines.training.config import merge
from nilatron.pipelines.training.settings import TrainingError, TrainSettings

FORMAT = "nilatron-checkpoint-1"
FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after `step` steps; its tensors lie on the CPU."""

    step: int
    settings: TrainSettings
    sigma_data: float
    images_sha256: str
    started_from: str  # SHA-256 of the weights file that the run began with; empty: random weights
    tensors: dict[str, Tensor]


def replace_durably(partial: Path, target: Path) -> None:
    """Put the complete file `partial` in the place of `target`, so that a crash or power cut leaves one of the two."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def replaced_durably(target: Path) -> Iterator[Path]:
    """Path for safetensors that take the place of `target` at the end of the block, and are gone after a failure.

    Raises
    ------
    OutputError
        When the disk is full, or fails otherwise.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        with tensors_written(partial):
            yield partial
        replace_durably(partial, target)
    except OSError as error:
        raise OutputError(f"{target}: {reason_of(error)}; an earlier one is as it was") from error
    finally:
        partial.unlink(missing_ok=True)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint in `folder`; the one before stays until the new one is complete on the disk."""
    metadata = {
        "format": FORMAT,
        "step": str(checkpoint.step),
        "settings": json.dumps(asdict(checkpoint.settings)),
        "sigma_data": repr(checkpoint.sigma_data),
        "images_sha256": checkpoint.images_sha256,
        "started_from": checkpoint.started_from,
    }
    metadata[HASH_KEY] = content_sha256(checkpoint.tensors, metadata)
    with replaced_durably(folder / FILE_NAME) as partial:
        safetensors.torch.save_file(checkpoint.tensors, partial, metadata=metadata)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`.

    Raises
    ------
    TrainingError
        When there is none, or the file is torn, altered, or not a checkpoint of ours.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise TrainingError(f"nothing to resume: no {path}; leave --resume out to begin")
    return read_checkpoint_file(path)


def read_checkpoint_file(path: Path) -> Checkpoint:
    """The checkpoint in a file that exists.

    Raises
    ------
    TrainingError
        When the file is torn, altered, or not a checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise TrainingError(f"{path} is torn or no safetensors file ({error}): {_ADVICE}") from error
    if metadata.get("format") != FORMAT:
        raise TrainingError(f"{path}: expected format {FORMAT!r}, found {metadata.get('format')!r}: {_ADVICE}")
    if metadata.get(HASH_KEY) != content_sha256(tensors, metadata):
        raise TrainingError(f"{path}: the content does not fit its SHA-256, the file was damaged: {_ADVICE}")
    return _from_metadata(path, metadata, tensors)


_ADVICE = "take a copy of the checkpoint if there is one, or begin a new run with --start and OUT/prior.safetensors"


def _from_metadata(path: Path, metadata: Mapping[str, str], tensors: dict[str, Tensor]) -> Checkpoint:
    try:
        return Checkpoint(
            step=int(metadata["step"]),
            settings=merge(TrainSettings(), json.loads(metadata["settings"]), f"{path}, made by another version"),
            sigma_data=float(metadata["sigma_data"]),
            images_sha256=metadata["images_sha256"],
            started_from=metadata["started_from"],
            tensors=tensors,
        )
    except KeyError as error:
        raise TrainingError(f"{path}: the metadata lack {error}: {_ADVICE}") from error
    except TrainingError:
        raise
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{path}: the metadata are not those of a checkpoint ({error}): {_ADVICE}") from error


def check_new_folder(folder: Path) -> None:
    """See that a new run in `folder` overwrites nothing.

    Raises
    ------
    TrainingError
        When a checkpoint is there.
    """
    if (folder / FILE_NAME).exists():
        raise TrainingError(f"{folder} holds a run already: --resume continues it; for a new one give another folder")
