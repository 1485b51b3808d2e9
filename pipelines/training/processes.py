"""The processes of a run and their precision, by Lightning Fabric: one, or several with equal shares of every batch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.training.settings import TrainingError, TrainSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(settings: TrainSettings) -> Fabric:
    """Start the other processes of this node, if any, with the same command line, and meet those of all nodes.

    Under SLURM or torchrun, which start all processes themselves, only the meeting is left.

    Raises
    ------
    TrainingError
        When the extra `train` is not installed.
    """
    try:
        import lightning_fabric
    except ImportError as error:
        raise TrainingError(f"training needs more packages ({error}): pip install 'nilatron[train]'") from error
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    compute = settings.compute
    fabric = lightning_fabric.Fabric(
        accelerator=resolve_device(compute.device),
        devices=compute.devices,
        num_nodes=compute.nodes,
        strategy="ddp" if compute.devices * compute.nodes > 1 else "auto",
        precision="bf16-mixed" if settings.bf16 else "32-true",
    )
    fabric.launch()
    return fabric
