"""What a batch does with which file, and within which limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nilatron.pipelines.replay.settings import ReplaySettings

GROUP = "images"  # of the images in every output; a date would make two runs differ


@dataclass(frozen=True)
class Job:
    """One file to reconstruct.

    Attributes
    ----------
    name
        Of the output, without ending; no other job of the batch has it.
    settings
        What `nilatron replay` would be told; `output` is where the images go.
    overwrite
        Whether an output that was made otherwise may be replaced.
    """

    name: str
    settings: ReplaySettings
    overwrite: bool = False

    @property
    def output(self) -> Path:
        """The image file."""
        if self.settings.output is None:
            raise ValueError(f"the job {self.name} has no output")
        return self.settings.output


@dataclass(frozen=True)
class Limits:
    """How many workers, and what one file may cost.

    Attributes
    ----------
    n_workers
        Workers; None takes as many as processors and GPUs allow.
    cpus_per_worker, gpus_per_worker
        Share of each worker; its threads are as many as its processors. Half a GPU has two workers share one; None takes a
        whole one where the device is a GPU.
    retries
        How often a file is tried again whose worker died, that ran too long or that failed unexpectedly.
    time_limit_s
        For one try of one file.
    memory_bytes
        For the files that a machine works on at once, beyond what its idle workers hold; None takes what is free.
    """

    n_workers: int | None = None
    cpus_per_worker: int = 1
    gpus_per_worker: float | None = None
    retries: int = 1
    time_limit_s: float = 3600.0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class BatchSettings:
    """A batch.

    Attributes
    ----------
    inputs
        Files, folders, patterns, and tables of files (`.csv`).
    folder
        Where the images, the table and the page go.
    base
        What holds for every file, as for `nilatron replay`; `raw` and `output` are those of each file.
    ray
        "off" for processes of this machine, "auto" for Ray here or where RAY_ADDRESS says, else the address of a cluster.
    """

    inputs: tuple[str, ...]
    folder: Path
    base: ReplaySettings
    limits: Limits = field(default_factory=Limits)
    ray: str = "auto"
    overwrite: bool = False

    @property
    def images(self) -> Path:
        """Folder of the image files."""
        return self.folder / "images"
