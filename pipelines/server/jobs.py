"""A slice to the worker, and its images back: a JSON head and raw arrays, each in a frame that says its length."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import to_numpy
from nilatron.core.errors import BadInputError
from nilatron.core.sense import SenseOperator
from nilatron.core.sets import SetsOperator
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.problem import Outcome, Problem

Arrays = dict[str, npt.NDArray[Any]]
DTYPES = ("complex64", "complex128", "float32", "float64")
MAX_HEAD_BYTES = 1 << 20
MAX_ARRAY_BYTES = 16 << 30


def send_frame(connection: Connection, head: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Send head and arrays.

    Raises
    ------
    OSError
        When the other end is gone.
    """
    layout = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
    connection.send_bytes(json.dumps({**head, "arrays": layout}).encode())
    for array in arrays.values():
        if array.size:
            connection.send_bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def receive_frame(connection: Connection) -> tuple[dict[str, Any], Arrays]:
    """Head and arrays.

    Raises
    ------
    BadInputError
        For anything that `send_frame` would not have sent.
    EOFError, OSError
        When the other end is gone.
    """
    try:
        head = json.loads(connection.recv_bytes(MAX_HEAD_BYTES))
        layout = [(str(name), str(dtype), tuple(map(int, shape))) for name, dtype, shape in head.pop("arrays")]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInputError(f"not the head of a frame: {error}") from error
    arrays: Arrays = {}
    for name, dtype, shape in layout:
        if dtype not in DTYPES or min(shape, default=0) < 0:
            raise BadInputError(f"array {name!r} of {dtype} {shape}: expected one of {', '.join(DTYPES)}")
        array = np.empty(shape, dtype)
        if array.nbytes > MAX_ARRAY_BYTES:
            raise BadInputError(f"array {name!r} of {array.nbytes} bytes, more than {MAX_ARRAY_BYTES}")
        if array.size:
            n_bytes = connection.recv_bytes_into(array.reshape(-1).view(np.uint8).data)
            if n_bytes != array.nbytes:
                raise BadInputError(f"array {name!r}: {n_bytes} bytes came, not {array.nbytes}")
        arrays[name] = array
    return head, arrays


def pack_problem(target: str, problem: Problem, settings: Any) -> tuple[dict[str, Any], Arrays]:
    """Head and arrays of a slice; the weights are the worker's own.

    Raises
    ------
    TypeError
        For a measurement that is not of coil maps and counts: others have no frame.
    """
    operator = problem.operator
    if not isinstance(operator, SenseOperator | SetsOperator):
        raise TypeError(
            f"expected a SenseOperator or a SetsOperator to send to the worker, got {type(operator).__name__}"
        )
    head = {
        "target": target,
        "settings": dataclasses.asdict(settings),
        "generator": problem.generator.bit_generator.state,
    }
    arrays = {
        "coil_maps": operator.coil_maps,
        "counts": operator.counts,
        "data": problem.data,
        "conventional": problem.conventional,
    }
    return head, {name: to_numpy(array) for name, array in arrays.items()}


def unpack_settings(head: Mapping[str, Any]) -> Any:
    """The settings of the method.

    Raises
    ------
    BadInputError
        For an unknown target or settings that it does not have.
    """
    if head["target"] not in METHODS:
        raise BadInputError(f"unknown target {head['target']!r}")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in head["settings"].items()}
    try:
        return METHODS[head["target"]].settings_class(**given)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"settings of {head['target']}: {error}") from error


def unpack_generator(head: Mapping[str, Any]) -> np.random.Generator:
    """The generator, in the state that it was sent in."""
    generator = np.random.default_rng()
    generator.bit_generator.state = head["generator"]
    return generator


def pack_outcome(outcome: Outcome) -> tuple[dict[str, Any], Arrays]:
    """Head and arrays of what came of a slice."""
    images = {name: to_numpy(image) for name, image in outcome.images.items()}
    return {"provenance": outcome.provenance}, images


def unpack_outcome(head: Mapping[str, Any], arrays: Arrays) -> Outcome:
    """What came of a slice.

    Raises
    ------
    RuntimeError
        When the worker could not make it; the text says why.
    """
    if "error" in head:
        raise RuntimeError(str(head["error"]))
    return Outcome(dict(arrays), dict(head["provenance"]))


def budget_of(settings: Any) -> float:
    """Seconds that a slice may take from now on."""
    names = ("slice_budget_s", "scan_budget_s")
    return min((value for name in names if (value := getattr(settings, name, 0.0))), default=math.inf)
