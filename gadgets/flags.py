"""Which acquisitions are what: the one table of flags (ISMRMRD numbers)."""

from __future__ import annotations

from enum import Enum

import ismrmrd


class LineKind(Enum):
    """What an acquisition is for."""

    IMAGING = "imaging"
    CALIBRATION = "calibration only"
    NOISE = "noise"
    OTHER = "not imaging"


NOT_IMAGING = {
    ismrmrd.ACQ_IS_NAVIGATION_DATA: "navigation",
    ismrmrd.ACQ_IS_PHASECORR_DATA: "phase correction",
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA: "HP feedback",
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA: "dummy",
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA: "real-time feedback",
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA: "surface coil correction",
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE: "phase stabilisation reference",
    ismrmrd.ACQ_IS_PHASE_STABILIZATION: "phase stabilisation",
}
_NOT_IMAGING_MASK = sum(1 << (flag - 1) for flag in NOT_IMAGING)
_NOISE_MASK = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
_CALIBRATION_MASK = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION - 1)
_BOTH_MASK = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING - 1)
_CALIBRATES_MASK = _CALIBRATION_MASK | _BOTH_MASK
_LAST_IN_SLICE_MASK = 1 << (ismrmrd.ACQ_LAST_IN_SLICE - 1)
_PHASE_CORRECTION_MASK = 1 << (ismrmrd.ACQ_IS_PHASECORR_DATA - 1)
_REVERSED_MASK = 1 << (ismrmrd.ACQ_IS_REVERSE - 1)


def kind_of(flags: int) -> LineKind:
    """Classify by the header's flag bits. A noise scan wins over all, non-imaging over calibration.

    A line that is marked for calibration and for both is for both: some writers set the one flag wherever they set the other.
    """
    if flags & _NOISE_MASK:
        return LineKind.NOISE
    if flags & _NOT_IMAGING_MASK:
        return LineKind.OTHER
    return LineKind.CALIBRATION if flags & _CALIBRATES_MASK == _CALIBRATION_MASK else LineKind.IMAGING


def other_names(flags: int) -> list[str]:
    """The non-imaging purposes among the flags, in words."""
    return [name for flag, name in NOT_IMAGING.items() if flags & (1 << (flag - 1))]


def calibrates(flags: int) -> bool:
    """Whether a line is marked for calibration, alone or beside imaging."""
    return bool(flags & _CALIBRATES_MASK)


def is_last_in_slice(flags: int) -> bool:
    """Whether the scanner marked this line as the last of its slice."""
    return bool(flags & _LAST_IN_SLICE_MASK)


def is_phase_correction(flags: int) -> bool:
    """Whether a line is a navigator for the phase of lines read in the two directions."""
    return bool(flags & _PHASE_CORRECTION_MASK)


def is_reversed(flags: int) -> bool:
    """Whether the readout was sampled backwards."""
    return bool(flags & _REVERSED_MASK)


def forwards(flags: int) -> int:
    """The flags of a line that was turned around, if it was read backwards."""
    return int(flags & ~_REVERSED_MASK)
