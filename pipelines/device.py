"""Where to compute. Imports torch alone, so that training runs where ISMRMRD is not installed."""

from __future__ import annotations

from nilatron.core.errors import BadInputError


def resolve_device(device: str) -> str:
    """`auto`, `cpu` or `cuda` to one of the latter two.

    Raises
    ------
    BadInputError
        For another word, or for cuda where there is none.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"device must be auto, cpu or cuda, got {device!r}")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise BadInputError("device cuda was asked for, but torch finds no CUDA GPU; use --device cpu or auto")
    return "cuda" if available and device != "cpu" else "cpu"
