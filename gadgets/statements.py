"""What header and lines state about the measurement and is not modelled: refused by name, before an image is made of it.

Refused
    parallelImaging/multiband, and multiband or SMS factors above 1 among the user parameters: slices lie on each other
    sequenceParameters/diffusionDimension average or segment: lines of other diffusion weighting would be put together
    trajectories radial, goldenangle, spiral, other (`encoding_of`), and lines of a Cartesian encoding whose own trajectory
    is a smooth path off the grid
    ramp sampling in a trajectoryDescription of an unknown identifier (`epi.description`), and descriptions of spirals
Modelled
    trajectoryDescription ConventionalEPI; accelerationFactor, calibrationMode; encodingLimits; the two encoding spaces
Harmless, since nothing of an image depends on it
    echoTrainLength, echo_spacing, TR, TE, TI, flip angle, sequence_type; the other diffusion dimensions, whose images are
    told apart by their counters; interleavingDimension (frames calibrate each other where they have to);
    waveformInformation; user parameters of other names
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ismrmrd

from nilatron.core.trajectory import leaves_the_grid
from nilatron.gadgets.epi.description import readout_gradient, stated_numbers
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, ScanError

N_CHECKED = 32  # first lines of an encoding whose trajectory is looked at: a first spoke may lie along the readout
EVERY = 8  # of those after them: a first blade may have more
_SPIRAL = re.compile(r"vds|spiral")
_MULTIBAND = re.compile(r"(multiband|sms|sliceacceleration|simultaneousslices?)(factor)?$|^mb(factor)?$")
MERGED = ("average", "segment")  # counters whose lines are put together


def _multiband_element(header: Any) -> str | None:
    for number, encoding in enumerate(header.encoding):
        found = getattr(getattr(encoding, "parallelImaging", None), "multiband", None)
        if found is not None and (found.multiband_factor is None or int(found.multiband_factor) > 1):
            return f"encoding {number} has parallelImaging/multiband of factor {found.multiband_factor}"
    return None


def _multiband_parameter(header: Any) -> str | None:
    groups = [("userParameters", getattr(header, "userParameters", None))]
    groups += [
        ("trajectoryDescription", getattr(encoding, "trajectoryDescription", None)) for encoding in header.encoding
    ]
    for group, parameters in groups:
        for name, value in stated_numbers(parameters).items():
            if value > 1 and _MULTIBAND.search(re.sub(r"[^a-z]", "", name.lower())):
                return f"{group} says {name} = {value:g}"
    return None


def _spiral_description(header: Any) -> str | None:
    for number, encoding in enumerate(header.encoding):
        identifier = str(getattr(getattr(encoding, "trajectoryDescription", None), "identifier", None) or "")
        if _SPIRAL.search(identifier.lower()):
            return f"encoding {number} has a trajectoryDescription {identifier!r}"
    return None


def _merged_diffusion(header: Any) -> str | None:
    for parameters in _as_list(getattr(header, "sequenceParameters", None)):
        dimension = getattr(parameters, "diffusionDimension", None)
        if getattr(dimension, "value", dimension) in MERGED:
            return f"sequenceParameters/diffusionDimension is {getattr(dimension, 'value', dimension)!r}"
    return None


@dataclass(frozen=True)
class Statement:
    """Something that is not modelled: how it is found (in words, or None), and what is missing."""

    found: Callable[[Any], str | None]
    missing: str


NOT_MODELLED = (
    Statement(_multiband_element, "simultaneous slices cannot be separated: slice unaliasing is missing"),
    Statement(_multiband_parameter, "simultaneous slices cannot be separated: slice unaliasing is missing"),
    Statement(_spiral_description, "spirals are not on a grid: gridding is missing"),
    Statement(_merged_diffusion, "its lines would be put together in one image: images by this counter are missing"),
)


def check_header(header: Any) -> None:
    """Refuse a scan whose header states what is not modelled.

    Raises
    ------
    ScanError
        That names the element.
    """
    for statement in NOT_MODELLED:
        found = statement.found(header)
        if found is not None:
            raise ScanError(f"the header states a measurement that is not modelled: {found}; {statement.missing}")


@dataclass
class StatementCheck:
    """The gadget of one scan: lets everything pass, or refuses the scan at the first line that would become an image."""

    _is_checked: bool = False
    _n_seen: Counter[int] = field(default_factory=Counter)  # lines with a trajectory, by encoding space
    _axes: dict[int, int] = field(default_factory=dict)  # of the readout in the trajectories, by encoding space

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Items in, the same items out."""
        for item in items:
            if isinstance(item, ismrmrd.Acquisition):
                is_plain = self._is_checked and not item.trajectory_dimensions
                if not is_plain and kind_of(item.flags) in (LineKind.IMAGING, LineKind.CALIBRATION):
                    self._check(context.header)
                    self._check_path(item, context.header)
            elif not isinstance(item, ismrmrd.Waveform):
                self._check(context.header)
            yield item

    def _check(self, header: Any) -> None:
        if not self._is_checked:
            check_header(header)
            self._is_checked = True

    def _check_path(self, line: ismrmrd.Acquisition, header: Any) -> None:
        """A line with a trajectory has to run along the grid; one that makes no sense does not speak against the header.

        Ramps that the header describes are regridded as it describes them.
        """
        number = int(line.encoding_space_ref)
        if not line.trajectory_dimensions or number >= len(header.encoding):
            return
        self._n_seen[number] += 1
        if self._n_seen[number] > N_CHECKED and self._n_seen[number] % EVERY:
            return
        if readout_gradient(header.encoding[number], number) is not None:
            return
        problem, axis = leaves_the_grid(line.traj)
        if problem is None and axis is not None and self._axes.setdefault(number, axis) != axis:
            problem = f"runs along axis {axis}, earlier ones along axis {self._axes[number]}"
        if problem is not None:
            raise ScanError(
                f"line {line.scan_counter} brings a trajectory that {problem}, though encoding {number} is Cartesian by the "
                "header: sampling off the grid cannot be reconstructed yet"
            )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
