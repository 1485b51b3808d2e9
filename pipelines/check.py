"""What a raw file holds, how its images would be made, and what in it contradicts itself; nothing is reconstructed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.epi.regrid import widest_gap
from nilatron.core.errors import BadInputError
from nilatron.core.words import counted
from nilatron.gadgets.encoding import calibration_mode, encoding_of, has_separate_calibration, kept_width
from nilatron.gadgets.epi.description import is_epi, readout_gradient
from nilatron.gadgets.flags import LineKind, calibrates, is_phase_correction, other_names
from nilatron.gadgets.noise.header import noise_dependencies
from nilatron.gadgets.plan.contradictions import Heads, by_image, contradictions, imaging, kinds_of
from nilatron.gadgets.plan.weighed import weigh
from nilatron.gadgets.statements import check_header
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.stream.recorded import open_scan


@dataclass(frozen=True)
class FileReport:
    """What was found.

    Attributes
    ----------
    holds
        What is in the file, a sentence each.
    plan
        What will be made of it.
    left_out
        What no image needs.
    contradictions
        Where header, heads and samples do not agree.
    unusable
        Why nothing can be reconstructed; empty if something can.
    """

    holds: tuple[str, ...]
    plan: tuple[str, ...]
    left_out: tuple[str, ...]
    contradictions: tuple[str, ...]
    unusable: str = ""


def check_file(path: Path, group: str = "dataset") -> FileReport:
    """Examine a raw file; its samples are read once, for values that are not finite and for the strongest line.

    Raises
    ------
    InputError
        When the file cannot be read at all.
    """
    with open_scan(path, group) as raw:
        heads = raw.heads()
        header, weighed = weigh(raw.header, heads)
        found = [*contradictions(raw.header, heads), *weighed]
        try:
            plan = tuple(_plan(header, heads))
            unusable = "" if plan else "no line of an image is in the file"
        except BadInputError as error:
            plan, unusable = (), str(error)
        found += _of_samples(raw, heads) if not unusable else []
        return FileReport(tuple(_holds(raw, heads)), plan, tuple(_left_out(raw.header, heads)), tuple(found), unusable)


def _holds(raw: RawScan, heads: Heads) -> Iterator[str]:
    yield f"{len(heads)} lines and {len(raw.header.encoding)} encoding spaces"
    kinds = kinds_of(heads)
    for kind in LineKind:
        lines = heads[kinds == kind]
        if len(lines):
            yield f"{len(lines)} lines: {kind.value}; {_extent(lines, 'active_channels')} channels, " + (
                f"{_extent(lines, 'number_of_samples')} samples of {_extent(lines, 'sample_time_us')} us"
            )
    for number, encoding in enumerate(raw.header.encoding):
        encoded, recon = encoding.encodedSpace, encoding.reconSpace
        trajectory = getattr(encoding.trajectory, "value", encoding.trajectory) or "not stated"
        yield (
            f"encoding {number}: trajectory {trajectory}, encoded {_size(encoded)}, reconstructed {_size(recon)}, "
            f"calibration {calibration_mode(encoding)}"
        )


def _plan(header: Any, heads: Heads) -> Iterator[str]:
    check_header(header)
    for number in range(len(header.encoding)):
        if not len(imaging(heads, number)):
            continue
        encoding = encoding_of(header, number)
        lines = _of_images(encoding, heads[heads["encoding_space_ref"] == number])
        images = by_image(lines)
        sizes = [len(own) for own in images.values()]
        matrix = encoding.encodedSpace.matrixSize
        rows = int(matrix.y) * int(matrix.z)
        each = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
        found = f"{counted(len(images), 'image')} of {each} lines"
        yield f"encoding {number}: {found}, {rows / max(min(sizes), 1):.2g}-fold undersampled"
        yield f"encoding {number}: {_readouts(encoding, lines)}"
        yield from _echo_planar(header, number, lines, heads)
        yield f"encoding {number}: {_calibrated_by(header, heads, number)}"
    noise = int(np.count_nonzero(kinds_of(heads) == LineKind.NOISE))
    depends = ", ".join(noise_dependencies(header))
    if noise and len(imaging(heads)):
        yield f"noise: of {noise} noise lines"
    elif depends and len(imaging(heads)):
        yield f"noise: of measurement {depends}, if the noise store has it (--noise-store); else from the image data"
    elif len(imaging(heads)):
        yield "noise: none measured, its level is taken from the image data"


def _of_images(encoding: Any, heads: Heads) -> Heads:
    """Lines that images are made of: those that only calibrate, too, where they belong to the scan."""
    kinds = kinds_of(heads)
    is_data = kinds == LineKind.IMAGING
    found: Heads = heads[is_data if has_separate_calibration(encoding) else is_data | (kinds == LineKind.CALIBRATION)]
    return found


def _readouts(encoding: Any, lines: Heads) -> str:
    n_x, n_kept = int(encoding.encodedSpace.matrixSize.x), kept_width(encoding)
    longest = int(lines["number_of_samples"].max())
    if longest <= n_kept < n_x:
        return f"readouts without oversampling, {longest} samples for {n_kept} columns"
    short = int(np.count_nonzero(lines["number_of_samples"] < n_x))
    echoes = f", {short} of them shorter (asymmetric echo)" if short else ""
    return f"readouts of {n_x} samples{echoes}; {n_kept} columns are kept of their field of view"


def _echo_planar(header: Any, number: int, lines: Heads, heads: Heads) -> Iterator[str]:
    encoding = header.encoding[number]
    gradient = readout_gradient(encoding, number)
    if gradient is not None:
        for n, dwell_us in np.unique(lines[["number_of_samples", "sample_time_us"]]).tolist():
            k = gradient.positions(int(n), float(dwell_us), int(encoding.encodedSpace.matrixSize.x))
            yield (
                f"encoding {number}: samples on the gradient's ramps are regridded, "
                f"{widest_gap(k):.2f} steps of the grid apart"
            )
    n_navigators = np.count_nonzero(_navigators(header, heads) & (heads["encoding_space_ref"] == number))
    if n_navigators:
        yield f"encoding {number}: lines read backwards are corrected by {n_navigators} navigators"


def _calibrated_by(header: Any, heads: Heads, number: int) -> str:
    flagged = np.array([calibrates(int(flags)) for flags in heads["flags"]], bool)
    own = np.count_nonzero(flagged & (heads["encoding_space_ref"] == number))
    other = np.count_nonzero(flagged & (heads["encoding_space_ref"] != number))
    if own and has_separate_calibration(header.encoding[number]):
        return f"calibration by {own} lines of another scan"
    if own:
        return f"calibration by {own} lines of the image itself"
    if other:
        return f"calibration by {other} lines of another encoding space"
    return "no line is flagged as calibration: the middle of k-space where it is fully sampled, or all frames together"


def _navigators(header: Any, heads: Heads) -> npt.NDArray[np.bool_]:
    """Which lines tell the phase between the directions of echo-planar readouts."""
    echo_planar = [number for number, encoding in enumerate(header.encoding) if is_epi(encoding)]
    flagged = np.array([is_phase_correction(int(flags)) for flags in heads["flags"]], bool)
    return flagged & np.isin(heads["encoding_space_ref"], echo_planar)


def _left_out(header: Any, heads: Heads) -> Iterator[str]:
    left_out = (kinds_of(heads) == LineKind.OTHER) & ~_navigators(header, heads)
    names = Counter(name for flags in heads["flags"][left_out] for name in other_names(int(flags)))
    for name, count in sorted(names.items()):
        yield f"{count} lines: {name}"


def _of_samples(raw: RawScan, heads: Heads) -> list[str]:
    """What only the samples tell: values that are not finite, and an echo or a strongest line that is not at the centre."""
    bad, energy = [], np.zeros(len(heads))
    lines = (item for item in raw.items() if isinstance(item, ismrmrd.Acquisition))
    for place, line in enumerate(lines):
        if not np.isfinite(line.data).all():
            bad.append(place)
        else:
            energy[place] = float(np.vdot(line.data, line.data).real) / max(line.data.size, 1)
    found = [f"{len(bad)} lines have values that are not finite, the first is line {bad[0]}"] if bad else []
    for number, encoding in enumerate(raw.header.encoding):
        chosen = (kinds_of(heads) == LineKind.IMAGING) & (heads["encoding_space_ref"] == number)
        if encoding.encodingLimits is None or not chosen.any():
            continue
        strongest = heads[chosen][np.argmax(energy[chosen])]["idx"]
        for step in (1, 2):
            limit = getattr(encoding.encodingLimits, f"kspace_encoding_step_{step}", None)
            index = int(strongest[f"kspace_encode_step_{step}"])
            if limit is not None and int(limit.center) > 0 and abs(index - int(limit.center)) > 2:
                found.append(
                    f"encoding {number}: the strongest line has kspace_encode_step_{step} = {index}, the centre of "
                    f"encodingLimits is {int(limit.center)}"
                )
    return found


def _extent(lines: Heads, name: str) -> str:
    low, high = lines[name].min(), lines[name].max()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _size(space: Any) -> str:
    matrix, fov = space.matrixSize, space.fieldOfView_mm
    return f"{matrix.x} x {matrix.y} x {matrix.z} on {fov.x:g} x {fov.y:g} x {fov.z:g} mm"
