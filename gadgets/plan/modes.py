"""What the header says about calibration, weighed against the lines that are marked for it.

    "separate", and lines marked for both; the others that calibrate lie where no line of the image does    "embedded"
    any other mode, or none, and lines that only calibrate lie where lines of the image do                  "separate"
    an encoding space of which all lines only calibrate, beside those of images                             "separate"

The header of a reference scan in an encoding space of its own is that of a scan without acceleration, as a rule, and may lack
parallelImaging.
"""

from __future__ import annotations

from typing import Any

import ismrmrd.xsd as xsd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.encoding import SEPARATE_MODES, acceleration_factors, calibration_mode
from nilatron.gadgets.flags import LineKind, calibrates
from nilatron.gadgets.plan.contradictions import Heads, kinds_of

FRAMES = ("contrast", "phase", "repetition", "set")  # counters of images that show the same slice


def weigh_modes(header: Any, heads: Heads | None) -> list[str]:
    """Change the calibration modes that the lines contradict; what was changed, in sentences.

    Parameters
    ----------
    header
        Parsed ISMRMRD header.
    heads
        Table of the heads of all lines, where they are known; without them only encoding spaces are looked at.
    """
    said = []
    for number, encoding in enumerate(header.encoding):
        text = _reference_space(header, number, heads)
        if not text and heads is not None:
            text = _weigh_mode(encoding, heads[heads["encoding_space_ref"] == number])
        said += [f"encoding {number}: {text}"] if text else []
    return said


def _reference_space(header: Any, number: int, heads: Heads | None) -> str:
    """Call an encoding separate whose lines can but calibrate another one; what was done, empty if nothing."""
    encoding = header.encoding[number]
    if calibration_mode(encoding) in SEPARATE_MODES or len(header.encoding) < 2:
        return ""
    if heads is None:
        others = [acceleration_factors(other) for other in header.encoding if other is not encoding]
        if acceleration_factors(encoding) == (1.0, 1.0) and any(max(factors) > 1 for factors in others):
            _set_mode(encoding, "separate")
            return "it is not accelerated, another one is: lines of it that only calibrate are taken as 'separate'"
        return ""
    kinds, own = kinds_of(heads), heads["encoding_space_ref"] == number
    n_own = int(np.count_nonzero(own & (kinds == LineKind.CALIBRATION)))
    is_image = kinds == LineKind.IMAGING
    if not n_own or np.any(own & is_image) or not np.any(is_image):
        return ""
    _set_mode(encoding, "separate")
    return f"its {n_own} lines only calibrate, the images are of another encoding: taken as 'separate'"


def _weigh_mode(encoding: Any, heads: Heads) -> str:
    """Change the calibration mode where it is the other one by where the lines lie; what was done, empty if nothing."""
    mode, kinds = calibration_mode(encoding), kinds_of(heads)
    only, image = heads[kinds == LineKind.CALIBRATION], heads[kinds == LineKind.IMAGING]
    if mode == "external" or not len(only):
        return ""
    counters = FRAMES if mode == "interleaved" else ()  # frames of which each has lines where another one has none
    n_doubled = int(np.isin(_places(only, counters), _places(image, counters)).sum())
    has_both = any(calibrates(int(flags)) for flags in np.unique(image["flags"]))
    if mode == "separate" and has_both and n_doubled == 0:
        new, why = "embedded", "lie between the lines of the image, of which some calibrate, too"
    elif mode != "separate" and not has_both and n_doubled > 0:
        new, why = "separate", f"only calibrate, and {n_doubled} of them lie where lines of the image do"
    else:
        return ""
    stated = repr(mode) if encoding.parallelImaging is not None else "not stated"
    _set_mode(encoding, new)
    return f"calibrationMode is {stated}, but {len(only)} lines {why}: taken as {new!r}"


def _places(heads: Heads, counters: tuple[str, ...]) -> npt.NDArray[np.void]:
    """One value for each line: its slice, its encoding steps and these counters."""
    names = ("slice", "kspace_encode_step_2", "kspace_encode_step_1", *counters)
    table = np.stack([heads["idx"][name].astype(np.uint16) for name in names], axis=1)
    found: npt.NDArray[np.void] = np.ascontiguousarray(table).view(f"V{2 * len(names)}").ravel()
    return found


def _set_mode(encoding: Any, mode: str) -> None:
    if encoding.parallelImaging is None:
        factors = xsd.accelerationFactorType(kspace_encoding_step_1=1, kspace_encoding_step_2=1)
        encoding.parallelImaging = xsd.parallelImagingType(accelerationFactor=factors)
    encoding.parallelImaging.calibrationMode = xsd.calibrationModeType(mode)
