"""Noise covariances as other tools of MRD v2 keep them: a stream of the protocol MrdNoiseCovariance, one record.

    matrix = E[n n^H] of a sample of the dwell time of the noise scan, (coil, coil)

Readers of that protocol demand the schema of their own version, byte for byte. It is short, and versions differ in the
unit of the dwell time only; so streams are written with the schema that has the unit of the scan's own stream.
"""

from __future__ import annotations

from io import BufferedIOBase
from typing import Any, BinaryIO

import numpy as np

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.pipelines.mrd2.protocol import Reader, Writer
from nilatron.pipelines.mrd2.schema import Model, parse_model
from nilatron.pipelines.wire.errors import MalformedError, UnsupportedError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Limits

PROTOCOL, STEP = "MrdNoiseCovariance", "noiseCovariance"
_SCHEMA = (
    '{"protocol":{"name":"MrdNoiseCovariance","sequence":[{"name":"noiseCovariance","type":"Mrd.NoiseCovariance"}]},'
    '"types":[{"name":"CoilLabelType","fields":[{"name":"coilNumber","type":"uint32"},{"name":"coilName","type":"string"}]},'
    '{"name":"NoiseCovariance","fields":[{"name":"coilLabels","type":{"vector":{"items":"Mrd.CoilLabelType"}}},'
    '{"name":"receiverNoiseBandwidth","type":"float32"},%s,{"name":"sampleCount","type":"size"},'
    '{"name":"matrix","type":{"array":{"items":"complexfloat32","dimensions":2}}}]}]}'
)
IN_MICROSECONDS = '{"name":"noiseDwellTimeUs","type":"float32"}'
IN_NANOSECONDS = '{"name":"noiseDwellTimeNs","type":"uint64"}'


def noise_model(of_scan: Model | None) -> Model:
    """The model for the noise of a scan that came in a stream of this model; None: of MRD v1."""
    in_microseconds = of_scan is not None and "sampleTimeUs" in of_scan.text
    return parse_model(_SCHEMA % (IN_MICROSECONDS if in_microseconds else IN_NANOSECONDS))


def read_noise(file: BufferedIOBase, limits: Limits = DEFAULT_LIMITS) -> NoiseCovariance:
    """The noise covariance of a stream.

    Raises
    ------
    WireError
        When it is no such stream, or holds no covariance.
    """
    reader = Reader(file, limits)
    if reader.model.protocol != PROTOCOL:
        raise UnsupportedError(f"a stream of {reader.model.protocol!r}; expected {PROTOCOL!r}")
    record = reader.value(STEP)
    try:
        return _covariance(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedError(f"a noise covariance that cannot be understood: {error}") from None


def write_noise(file: BinaryIO, noise: NoiseCovariance, model: Model) -> None:
    """Write a noise covariance with a model of `noise_model`."""
    names = noise.coil_names or tuple(str(number) for number in range(noise.n_coils))
    record = {
        "coilLabels": [{"coilNumber": number, "coilName": name} for number, name in enumerate(names)],
        "receiverNoiseBandwidth": noise.origin.bandwidth_ratio or 0.0,
        "noiseDwellTimeUs": noise.dwell_us,
        "noiseDwellTimeNs": round(noise.dwell_us * 1000),
        "sampleCount": noise.n_samples,
        "matrix": np.asarray(noise.covariance, np.complex64),
    }
    Writer(file, model).value(STEP, record)


def _covariance(record: dict[str, Any]) -> NoiseCovariance:
    matrix: Any = np.asarray(record["matrix"], np.complex128)
    n_coils = len(matrix)
    if matrix.shape != (n_coils, n_coils) or not n_coils or not np.isfinite(matrix).all():
        raise MalformedError(f"a noise covariance of shape {matrix.shape}, or with values that are not finite")
    labels = sorted(record["coilLabels"], key=lambda label: int(label["coilNumber"]))
    names = tuple(str(label["coilName"]).strip() for label in labels)
    nanoseconds = record.get("noiseDwellTimeNs")
    dwell_us = float(record["noiseDwellTimeUs"]) if nanoseconds is None else nanoseconds / 1000
    ratio = float(record["receiverNoiseBandwidth"])
    return NoiseCovariance(
        covariance=(matrix + matrix.conj().T) / 2,
        n_samples=int(record["sampleCount"]),
        dwell_us=dwell_us,
        origin=NoiseOrigin("noise file", "", ratio if ratio > 0 else None),
        coil_names=names if len(set(names)) == n_coils else None,
    )
