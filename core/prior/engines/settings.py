"""Settings of an engine: its name and its precision, as in XML properties and on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.core.prior.engines.packages import EXTRAS, is_installed

ENGINES = ("torch", "onnx", "openvino", "tensorrt")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
PACKAGES = {"torch": (), "onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino"), "tensorrt": ()}


@dataclass(frozen=True)
class EngineSettings:
    """Engine and precision that compute the network.

    Attributes
    ----------
    engine
        One of `ENGINES`. Torch never computes an ONNX file: for such a file the default "torch" means ONNX Runtime.
    precision
        Precision of the convolutions: "auto", "fp32", "bf16" or "fp16". An ONNX file has a fixed precision, for which only
        "auto" or its name are accepted.
    """

    engine: str = "torch"
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse unknown words and engines that are not installed, except TensorRT, which has a fallback."""
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        absent = [package for package in PACKAGES[self.engine] if not is_installed(package)]
        if absent:
            raise ValueError(
                f"engine {self.engine} needs {' and '.join(absent)}, which this installation lacks: "
                f"pip install 'nilatron[{EXTRAS[absent[-1]]}]', or use engine torch"
            )
