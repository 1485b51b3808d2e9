"""torchvision beside a PyTorch of another build.

deepinv imports torchvision, whose compiled operators load only with the PyTorch build that they were made for: that of PyPI is
made for CUDA and refuses to be imported beside the CPU build. The samplers use none of these operators, and declaring the two
names that the import looks for is enough.
"""

from __future__ import annotations

import torch

OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a library's operators vanish with it


def import_torchvision() -> None:
    """Import it, with names in place of operators that cannot be loaded."""
    try:
        import torchvision  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in OPERATORS:
            library.define(name + SIGNATURE)  # type: ignore[no-untyped-call]
        _declared.append(library)
        import torchvision  # noqa: F401
