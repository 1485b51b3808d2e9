"""Lines and waveforms between MRD v2 and v1."""

from __future__ import annotations

from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.mrd2.heads import (
    MAX_UINT16,
    MAX_UINT32,
    Record,
    dwell_fields,
    dwell_us_of,
    fill,
    small,
    stamp_fields,
    stamp_of,
    stamps_of,
    vector,
)
from nilatron.pipelines.wire.errors import MalformedError, UnsupportedError

COUNTERS = (
    ("kspaceEncodeStep1", "kspace_encode_step_1"),
    ("kspaceEncodeStep2", "kspace_encode_step_2"),
    ("average", "average"),
    ("slice", "slice"),
    ("contrast", "contrast"),
    ("phase", "phase"),
    ("repetition", "repetition"),
    ("set", "set"),
    ("segment", "segment"),
)
VECTORS = (
    ("position", "position"),
    ("readDir", "read_dir"),
    ("phaseDir", "phase_dir"),
    ("sliceDir", "slice_dir"),
    ("patientTablePosition", "patient_table_position"),
)
SMALL = (
    ("discardPre", "discard_pre"),
    ("discardPost", "discard_post"),
    ("centerSample", "center_sample"),
    ("encodingSpaceRef", "encoding_space_ref"),
)
MASK_BITS, MASK_WORDS = 64, 16


def head_of(record: Record, n_channels: int, n_samples: int) -> ismrmrd.AcquisitionHeader:
    """The head of a line of so many channels and samples.

    Raises
    ------
    UnsupportedError
        When v1 has no room for a number.
    """
    for what, size in (("channels", n_channels), ("samples", n_samples)):
        if size > MAX_UINT16:
            raise UnsupportedError(f"a line of {size} {what}, and ISMRMRD v1 has room for {MAX_UINT16} at most")
    head = ismrmrd.AcquisitionHeader()
    head.version, head.flags = 1, int(record["flags"])
    head.active_channels = head.available_channels = n_channels
    head.number_of_samples = n_samples
    head.measurement_uid = int(record["measurementUid"])
    head.scan_counter = small(record, "scanCounter", MAX_UINT32)
    head.acquisition_time_stamp = stamp_of(record, "acquisitionTimeStamp")
    head.physiology_time_stamp[:] = stamps_of(record, "physiologyTimeStamp")
    head.sample_time_us = dwell_us_of(record)
    for name, own in SMALL:
        setattr(head, own, small(record, name))
    for name, own in VECTORS:
        getattr(head, own)[:] = record[name].tolist()
    counters = record["idx"]
    for name, own in COUNTERS:
        setattr(head.idx, own, small(counters, name))
    fill(head.idx.user, counters["user"])
    fill(head.user_int, record["userInt"])
    fill(head.user_float, record["userFloat"])
    _set_mask(head, record["channelOrder"])
    return head


def head_record(head: Any) -> Record:
    """The record of a line's head."""
    counters: Record = {name: int(getattr(head.idx, own)) for name, own in COUNTERS}
    return {
        "flags": int(head.flags),
        "idx": counters | {"user": list(head.idx.user)},
        "measurementUid": head.measurement_uid,
        "scanCounter": head.scan_counter,
        **stamp_fields("acquisitionTimeStamp", int(head.acquisition_time_stamp)),
        **stamp_fields("physiologyTimeStamp", list(head.physiology_time_stamp)),
        **dwell_fields(head.sample_time_us),
        **{name: int(getattr(head, own)) for name, own in SMALL},
        **{name: vector(getattr(head, own)) for name, own in VECTORS},
        "channelOrder": _masked(head),
        "userInt": list(head.user_int),
        "userFloat": list(head.user_float),
    }


def line_of(record: Record) -> ismrmrd.Acquisition:
    """A line; v2 has the coordinates of its samples (axis, sample), v1 (sample, axis).

    Raises
    ------
    MalformedError
        When samples and coordinates do not fit.
    UnsupportedError
        When v1 has no room for a number.
    """
    samples = record["data"]
    if samples.ndim != 2:
        raise MalformedError(f"samples of shape {samples.shape}; expected (coil, sample)")
    head = head_of(record["head"], *samples.shape)
    trajectory = _trajectory_of(record.get("trajectory"), samples.shape[1])
    head.trajectory_dimensions = trajectory.shape[1]
    return ismrmrd.Acquisition(head, samples, trajectory)


def line_record(line: ismrmrd.Acquisition) -> Record:
    """The record of a line."""
    trajectory = np.ascontiguousarray(line.traj.T, np.float32) if line.traj.size else np.zeros((0, 0), np.float32)
    return {"head": head_record(line._head), "data": np.asarray(line.data, np.complex64), "trajectory": trajectory}


def waveform_of(record: Record) -> ismrmrd.Waveform:
    """A waveform.

    Raises
    ------
    UnsupportedError
        When v1 has no room for a number.
    """
    samples = record["data"]
    head = ismrmrd.WaveformHeader()
    head.version, head.flags = 1, int(record["flags"])
    head.measurement_uid, head.scan_counter = int(record["measurementUid"]), int(record["scanCounter"])
    head.time_stamp, head.sample_time_us = stamp_of(record, "timeStamp"), dwell_us_of(record)
    head.waveform_id = small(record, "waveformId")
    if max(samples.shape) > MAX_UINT16:
        raise UnsupportedError(
            f"a waveform of shape {samples.shape}, and ISMRMRD v1 has room for {MAX_UINT16} along an axis"
        )
    head.channels, head.number_of_samples = samples.shape
    waveform = ismrmrd.Waveform(head)
    waveform.data[:] = samples
    return waveform


def waveform_record(waveform: ismrmrd.Waveform) -> Record:
    """The record of a waveform."""
    head = waveform._head
    return {
        "flags": int(head.flags),
        "measurementUid": head.measurement_uid,
        "scanCounter": head.scan_counter,
        **stamp_fields("timeStamp", int(head.time_stamp)),
        **dwell_fields(head.sample_time_us),
        "waveformId": head.waveform_id,
        "data": np.asarray(waveform.data, np.uint32),
    }


def _trajectory_of(found: npt.NDArray[Any] | None, n_samples: int) -> npt.NDArray[np.float32]:
    if found is None or not found.size:
        return np.zeros((n_samples, 0), np.float32)
    if found.ndim != 2 or n_samples not in found.shape:
        raise MalformedError(f"coordinates of shape {found.shape} for {n_samples} samples; expected (axis, sample)")
    if found.shape[1] != n_samples:  # of writers that copied it from v1 as it was
        return np.ascontiguousarray(found, np.float32)
    return np.ascontiguousarray(found.T, np.float32)


def _set_mask(head: ismrmrd.AcquisitionHeader, channels: list[int]) -> None:
    for channel in channels:
        word, bit = divmod(channel, MASK_BITS)
        if word < MASK_WORDS:
            head.channel_mask[word] |= 1 << bit


def _masked(head: Any) -> list[int]:
    """The channels of the mask, in ascending order."""
    return [
        MASK_BITS * place + bit
        for place, word in enumerate(head.channel_mask)
        if word
        for bit in range(word.bit_length())
        if word >> bit & 1
    ]
