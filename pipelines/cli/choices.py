"""Options that take one of a few words, which help and completion show.

The words are those of the modules that compute, written down again so that help imports none of them; a test compares.
"""

from __future__ import annotations

from enum import StrEnum


class Device(StrEnum):
    """Where to compute; auto takes a GPU if there is one that can be used."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Engine(StrEnum):
    """What computes the network."""

    TORCH = "torch"
    ONNX = "onnx"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"


class ExportPrecision(StrEnum):
    """Precision of an exported network."""

    FP32 = "fp32"
    FP16 = "fp16"


class Architecture(StrEnum):
    """Architecture of our network."""

    TINY = "tiny"
    DEFAULT = "default"
    LARGE = "large"


class Series(StrEnum):
    """Series of images that a chain sends."""

    NILA = "nila"
    CONVENTIONAL = "conventional"
    UNCERTAINTY = "uncertainty"
    MEAN = "mean"
    MAP = "map"
    SAMPLE = "sample"
    STD = "std"


class PixelType(StrEnum):
    """Type of the pixels of images."""

    FLOAT32 = "float32"
    COMPLEX64 = "complex64"
    UINT16 = "uint16"
    INT16 = "int16"


class Calibration(StrEnum):
    """Calibration lines of a simulated scan."""

    EMBEDDED = "embedded"
    SEPARATE = "separate"
    NONE = "none"


class LogFormat(StrEnum):
    """Format of a server's log; auto is text on a terminal, else JSON."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Convention(StrEnum):
    """Noise convention that a network was trained with."""

    EDM = "edm"
    VE = "ve"
    VP = "vp"


class NoiseNumber(StrEnum):
    """What a network's noise number is the standard deviation of."""

    COMPONENT = "component"
    COMPLEX = "complex"
