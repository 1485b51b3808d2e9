"""What the header says about an encoding, with what it leaves out filled in; asked by every gadget that grids lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nilatron.gadgets.items import ScanError

ON_A_GRID = ("cartesian", "epi")
SEPARATE_MODES = ("separate", "external")  # calibration lines are another scan, not data of this one


@dataclass(frozen=True)
class Limit:
    """Smallest, central and largest index of an encoding counter."""

    minimum: int
    centre: int
    maximum: int


def encoding_of(header: Any, encoding_space_ref: int) -> Any:
    """The header's encoding that a line belongs to.

    Raises
    ------
    ScanError
        When the header has none of this number, or its trajectory is not Cartesian.
    """
    if encoding_space_ref >= len(header.encoding):
        raise ScanError(
            f"a line refers to encoding space {encoding_space_ref}, but the header describes {len(header.encoding)}"
        )
    encoding = header.encoding[encoding_space_ref]
    kind = trajectory_of(encoding)
    if kind not in ON_A_GRID:
        raise ScanError(
            f"trajectory {kind!r} of encoding {encoding_space_ref} is not on a grid; expected one of {ON_A_GRID}"
        )
    return encoding


def trajectory_of(encoding: Any) -> str:
    """Trajectory of an encoding in lower case; "cartesian" if the header does not name one."""
    return str(getattr(encoding.trajectory, "value", encoding.trajectory) or "cartesian").lower()


def calibration_mode(encoding: Any) -> str:
    """The header's calibration mode in lower case; "embedded" where it does not say."""
    imaging = encoding.parallelImaging
    mode = imaging.calibrationMode if imaging is not None else None
    return str(getattr(mode, "value", mode) or "embedded").lower()


def encoding_limit(encoding: Any, step: int, size: int) -> Limit | None:
    """Limits of kspace_encoding_step_`step`; None where the header has none.

    A centre of 0 in limits that reach beyond half the matrix of `size` was not set: it is half the matrix then.
    """
    limits = encoding.encodingLimits
    found = getattr(limits, f"kspace_encoding_step_{step}", None) if limits is not None else None
    if found is None:
        return None
    is_unset = int(found.center) == 0 and int(found.maximum) >= size // 2 > 0
    return Limit(int(found.minimum), size // 2 if is_unset else int(found.center), int(found.maximum))


def has_separate_calibration(encoding: Any) -> bool:
    """Whether lines flagged as calibration only are another scan, and no data of this one."""
    return calibration_mode(encoding) in SEPARATE_MODES


def kept_width(encoding: Any) -> int:
    """Readout samples after removal of oversampling: the encoded matrix times recon FOV / encoded FOV."""
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    n_x, fov, kept = int(encoded.matrixSize.x), float(encoded.fieldOfView_mm.x), float(recon.fieldOfView_mm.x)
    return max(1, round(n_x * kept / fov)) if 0 < kept < fov else n_x


def last_average(encoding: Any) -> int:
    """Largest average index that the header announces."""
    limits = encoding.encodingLimits.average if encoding.encodingLimits is not None else None
    return int(limits.maximum) if limits is not None else 0


def acceleration_factors(encoding: Any) -> tuple[float, float]:
    """Acceleration along y and z, as the header has it; 1 where it does not say."""
    imaging = encoding.parallelImaging
    factors = imaging.accelerationFactor if imaging is not None else None
    if factors is None:
        return 1.0, 1.0
    y, z = (max(1.0, float(value or 1)) for value in (factors.kspace_encoding_step_1, factors.kspace_encoding_step_2))
    return y, z
