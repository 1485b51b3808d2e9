"""Buckets, gridded k-space and image arrays between MRD v2 and v1: axes in reverse order, which is v1's Fortran order."""

from __future__ import annotations

from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.stock.types import (
    COUNTERS,
    AcquisitionBucket,
    AcquisitionBucketStats,
    Buffer,
    HeaderArray,
    ReconBit,
    ReconData,
    SamplingDescription,
    SamplingLimit,
    default_headers,
    header_object,
    header_record,
)
from nilatron.pipelines.mrd2.heads import Record
from nilatron.pipelines.mrd2.images import attributes_xml, image_head_of, image_head_record, meta_of
from nilatron.pipelines.mrd2.lines import head_of, head_record, line_of, line_record, waveform_of, waveform_record
from nilatron.pipelines.wire.errors import MalformedError
from nilatron.pipelines.wire.messages import ImageArray
from nilatron.pipelines.wire.structures import IMAGE_HEADER

STEPS = ("kspaceEncodingStep0", "kspaceEncodingStep1", "kspaceEncodingStep2")
_V2_COUNTERS = {name: name for name in COUNTERS} | {
    "kspace_encode_step_1": "kspaceEncodingStep1",
    "kspace_encode_step_2": "kspaceEncodingStep2",
}


def bucket_of(record: Record) -> AcquisitionBucket:
    """A bucket; its statistics are those of its lines, of which v2 has only the extremes."""
    bucket = AcquisitionBucket(waveforms=[waveform_of(waveform) for waveform in record["waveforms"]])
    for line in record["data"]:
        bucket.add_data(line_of(line))
    for line in record["ref"]:
        bucket.add_ref(line_of(line))
    return bucket


def bucket_record(bucket: Any) -> Record:
    """The record of a bucket."""
    return {
        "data": [line_record(line) for line in bucket.data],
        "ref": [line_record(line) for line in bucket.ref],
        "datastats": [_limits(stats) for stats in bucket.datastats],
        "refstats": [_limits(stats) for stats in bucket.refstats],
        "waveforms": [waveform_record(waveform) for waveform in bucket.waveforms],
    }


def recon_data_of(record: Record) -> ReconData:
    """Gridded k-space of all encoding spaces."""
    return ReconData(
        [
            ReconBit(_buffer(bit["data"]), None if bit["ref"] is None else _buffer(bit["ref"]))
            for bit in record["buffers"]
        ]
    )


def recon_data_record(recon_data: Any) -> Record:
    """The record of gridded k-space."""
    return {
        "buffers": [
            {"data": _buffer_record(bit.data), "ref": None if bit.ref is None else _buffer_record(bit.ref)}
            for bit in recon_data.bits
        ]
    }


def image_array_of(record: Record) -> ImageArray:
    """Images of one reconstruction."""
    data = np.asfortranarray(record["data"].T)
    records = record["headers"].T
    if data.ndim != 7 or records.shape != data.shape[4:] or record["meta"].T.shape != records.shape:
        raise MalformedError(f"an image array of shape {data.shape[::-1]} with headers {records.shape[::-1]}")
    headers = np.zeros(records.shape, IMAGE_HEADER, order="F")
    shape = (data.shape[3], data.shape[2], data.shape[1], data.shape[0])
    for place in np.ndindex(records.shape):
        head = image_head_of(records[place], shape, np.dtype("<c8"))
        headers[place] = np.frombuffer(bytes(head), IMAGE_HEADER)[0]
    meta = [attributes_xml(entry) for entry in record["meta"].flat]
    return ImageArray(data, headers, meta, [waveform_of(waveform) for waveform in record["waveforms"]])


def image_array_record(images: Any) -> Record:
    """The record of the images of one reconstruction."""
    shape = images.headers.shape[::-1]
    headers, meta = np.empty(shape, object), np.empty(shape, object)
    entries = [entry.encode() if isinstance(entry, str) else entry for entry in images.meta]
    for place, at in enumerate(np.ndindex(shape)):
        head = ismrmrd.ImageHeader.from_buffer_copy(images.headers[at[::-1]].tobytes())
        headers[at] = image_head_record(head)
        meta[at] = meta_of(entries[place]) if place < len(entries) else {}
    return {
        "data": np.asarray(images.data, np.complex64).T,
        "headers": headers,
        "meta": meta,
        "waveforms": [waveform_record(waveform) for waveform in images.waveform or ()],
    }


def _limits(stats: AcquisitionBucketStats) -> Record:
    found = {_V2_COUNTERS[name]: getattr(stats, name) for name in COUNTERS}
    return {
        name: {"minimum": min(values), "maximum": max(values), "center": (min(values) + max(values)) // 2}
        for name, values in found.items()
        if values
    }


def _buffer(record: Record) -> Buffer:
    data = np.asfortranarray(record["data"].T)
    if data.ndim != 7 or record["headers"].T.shape != (*data.shape[1:3], *data.shape[4:]):
        raise MalformedError(f"a buffer of shape {data.shape[::-1]} with headers {record['headers'].shape}")
    density, trajectory = record.get("density"), record.get("trajectory")
    coordinates: Any = None  # which the gadgets have no use for: they stay with the buffer
    if trajectory is not None and trajectory.size:
        coordinates = np.asfortranarray(trajectory.T.swapaxes(0, 1))
    weights: Any = None if density is None else np.asfortranarray(density.T)
    return Buffer(data, _headers(record["headers"].T, data), _sampling(record["sampling"]), coordinates, weights)


def _headers(records: npt.NDArray[Any], data: npt.NDArray[np.complex64]) -> HeaderArray:
    """Heads (E1, E2, N, S, LOC); those of lines without a sample other than 0 were not acquired, which v2 does not say."""
    headers = default_headers(records.shape)
    acquired = np.abs(data).any(axis=(0, 3))
    for place in np.argwhere(acquired):
        at = tuple(place)
        headers[at] = header_record(head_of(records[at], data.shape[3], data.shape[0]))
    return headers


def _buffer_record(buffer: Any) -> Record:
    headers = np.empty(buffer.headers.shape, object)
    for place in np.ndindex(headers.shape):
        headers[place] = head_record(header_object(buffer.headers[place]))
    trajectory, density = buffer.trajectory, buffer.density
    return {
        "data": np.asarray(buffer.data, np.complex64).T,
        "headers": headers.T,
        "trajectory": np.zeros((0,) * 7, np.float32) if trajectory is None else trajectory.swapaxes(0, 1).T,
        "density": None if density is None else density.T,
        "sampling": _sampling_record(buffer.sampling),
    }


def _sampling(record: Record) -> SamplingDescription:
    limits = record["samplingLimits"]
    first, second, third = (
        SamplingLimit(*(limits[step][name] for name in ("minimum", "center", "maximum"))) for step in STEPS
    )
    return SamplingDescription(
        _axes(record["encodedFOV"]),
        _axes(record["reconFOV"]),
        _axes(record["encodedMatrix"]),
        _axes(record["reconMatrix"]),
        (first, second, third),
    )


def _sampling_record(sampling: Any) -> Record:
    limits = {
        step: {"minimum": limit.min, "center": limit.center, "maximum": limit.max}
        for step, limit in zip(STEPS, sampling.sampling_limits, strict=True)
    }
    return {
        "encodedFOV": dict(zip("xyz", sampling.encoded_FOV, strict=True)),
        "reconFOV": dict(zip("xyz", sampling.recon_FOV, strict=True)),
        "encodedMatrix": dict(zip("xyz", sampling.encoded_matrix, strict=True)),
        "reconMatrix": dict(zip("xyz", sampling.recon_matrix, strict=True)),
        "samplingLimits": limits,
    }


def _axes(record: Record) -> Any:
    return record["x"], record["y"], record["z"]
