"""Torch's ONNX exporter with the options that all our graphs share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nilatron.core.prior.engines.packages import import_package
from nilatron.core.prior.weights import WeightsError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # the lowest opset that the exporter writes without conversion, so every runtime knows it


class ExporterError(WeightsError):
    """A network that torch cannot write as ONNX."""


def example_inputs(multiple: int, n_inputs: int = 2) -> tuple[Tensor, Tensor]:
    """Example images and noise levels whose sizes differ from each other, from the number of channels and from 1."""
    return torch.zeros(3, n_inputs, 4 * multiple, 5 * multiple), torch.full((3,), 0.1)


def export_module(
    module: nn.Module, example: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str]
) -> ModelProto:
    """The module as an ONNX graph.

    Parameters
    ----------
    module
        Module to export; it is put into evaluation mode.
    example
        Example inputs. The sizes n, y and x of inputs (n, channels, y, x) become dynamic, and n of inputs (n,).
    inputs, outputs
        Names of inputs and outputs.

    Raises
    ------
    EngineError
        When onnx or onnxscript is not installed.
    ExporterError
        When torch cannot export the module.
    """
    import_package("onnx")
    import_package("onnxscript")
    dynamic: Any = torch.export.Dim.DYNAMIC
    sizes = tuple(dict.fromkeys((0, 2, 3)[: max(1, tensor.ndim - 1)], dynamic) for tensor in example)
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                module.eval(),
                example,
                input_names=inputs,
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=sizes,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExporterError(f"torch {torch.__version__} cannot export the network to ONNX: {error}") from error
    if program is None:
        raise ExporterError(f"torch {torch.__version__} exported nothing")
    model: ModelProto = program.model_proto
    return model


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silence messages of torch's exporter that concern only its developers, e.g. on future changes of torch."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
