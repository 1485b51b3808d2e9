"""What header and heads of a scan say against each other, in the words of whoever programmed the sequence.

Each check takes the header and the table of all heads (structured, ISMRMRD's names) and gives sentences; none of them reads
a sample. A contradiction does not say that the scan cannot be reconstructed: the plan weighs the evidence. It says where the
file is to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.encoding import Limit, calibration_mode, encoding_limit, has_separate_calibration
from nilatron.gadgets.flags import LineKind, calibrates, is_last_in_slice, kind_of
from nilatron.gadgets.placement import ImageKey

Heads: TypeAlias = npt.NDArray[Any]
Check: TypeAlias = Callable[[Any, Heads], Iterator[str]]
COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set", "segment")
MAX_TILT = 1e-2  # of the scalar product of two directions, and of their lengths from 1


def contradictions(header: Any, heads: Heads) -> list[str]:
    """Everything that the checks find, in their order."""
    return [sentence for check in CHECKS for sentence in check(header, heads)]


def kinds_of(heads: Heads) -> npt.NDArray[np.object_]:
    """What each line is for, a `LineKind`."""
    flags, inverse = np.unique(heads["flags"], return_inverse=True)
    kinds = np.empty(len(flags), object)
    kinds[:] = [kind_of(int(value)) for value in flags]
    found: npt.NDArray[np.object_] = kinds[inverse]
    return found


def imaging(heads: Heads, encoding: int | None = None) -> Heads:
    """Lines of images, of one encoding space or of all."""
    found: Heads = heads[kinds_of(heads) == LineKind.IMAGING]
    return found if encoding is None else found[found["encoding_space_ref"] == encoding]


def by_image(heads: Heads) -> dict[ImageKey, Heads]:
    """Lines by the image that they belong to, in the order of the file."""
    if not len(heads):
        return {}
    columns = [heads["encoding_space_ref"], *(heads["idx"][name] for name in ImageKey._fields[1:])]
    keys, inverse = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return {ImageKey(*map(int, key)): heads[inverse.ravel() == place] for place, key in enumerate(keys)}


def _spaces(header: Any, heads: Heads) -> Iterator[str]:
    referred = np.unique(heads["encoding_space_ref"][kinds_of(heads) != LineKind.NOISE])
    for number in referred.tolist():
        if number >= len(header.encoding):
            n = int(np.count_nonzero(heads["encoding_space_ref"] == number))
            yield f"{n} lines refer to encoding space {number}; the header describes {len(header.encoding)}"
    for number in range(len(header.encoding)):
        if number not in referred:
            yield f"encoding space {number} is described in the header, no line refers to it"


def _steps(header: Any, heads: Heads) -> Iterator[str]:
    for number, encoding in enumerate(header.encoding):
        lines, matrix = imaging(heads, number), encoding.encodedSpace.matrixSize
        if not len(lines):
            continue
        for step, axis, size in ((1, "y", int(matrix.y)), (2, "z", int(matrix.z))):
            seen = lines["idx"][f"kspace_encode_step_{step}"]
            yield from _against_limit(
                f"encoding {number}: kspace_encode_step_{step}", seen, encoding_limit(encoding, step, size)
            )
            extent = int(seen.max()) - int(seen.min()) + 1
            if extent > size:
                yield f"encoding {number}: lines cover {extent} steps along {axis}, encodedSpace has {size}"


def _against_limit(what: str, seen: npt.NDArray[Any], limit: Limit | None) -> Iterator[str]:
    low, high = int(seen.min()), int(seen.max())
    if limit is None:
        if high > 0:
            yield f"{what} goes from {low} to {high}, encodingLimits do not mention it"
        return
    if low < limit.minimum or high > limit.maximum:
        yield f"{what} goes from {low} to {high}, encodingLimits say {limit.minimum} to {limit.maximum}"
    steps = np.unique(seen)
    step = int(np.diff(steps).max()) if len(steps) > 1 else 1
    if high + step <= limit.maximum:
        yield f"{what} ends at {high}, encodingLimits announce lines up to {limit.maximum}"
    if not low <= limit.centre <= high:
        yield f"{what} goes from {low} to {high}, the centre {limit.centre} of encodingLimits is not among them"


def _counters(header: Any, heads: Heads) -> Iterator[str]:
    for number, encoding in enumerate(header.encoding):
        lines = imaging(heads, number)
        for name in COUNTERS if len(lines) else ():
            found = getattr(encoding.encodingLimits, name, None) if encoding.encodingLimits is not None else None
            high = int(lines["idx"][name].max())
            if found is None and high > 0:
                yield f"encoding {number}: {name} goes up to {high}, encodingLimits do not mention it"
            elif found is not None and int(found.maximum) != high:
                yield f"encoding {number}: {name} goes up to {high}, encodingLimits say {int(found.maximum)}"


def _channels(header: Any, heads: Heads) -> Iterator[str]:
    channels, counts = np.unique(imaging(heads)["active_channels"], return_counts=True)
    if len(channels) > 1:
        each = ", ".join(f"{count} of {n}" for n, count in zip(channels.tolist(), counts.tolist(), strict=True))
        yield f"lines of images have unlike numbers of channels: {each}"
    system = header.acquisitionSystemInformation
    stated = None if system is None else system.receiverChannels
    if stated is not None and len(channels) and int(stated) not in channels:
        yield f"the header has {int(stated)} receiver channels, the lines of images have {channels.tolist()}"
    noise = np.unique(heads["active_channels"][kinds_of(heads) == LineKind.NOISE])
    if len(noise) and len(channels) and set(noise.tolist()) != set(channels.tolist()):
        yield f"noise lines have {noise.tolist()} channels, the lines of images {channels.tolist()}"


def _readouts(header: Any, heads: Heads) -> Iterator[str]:
    for number, encoding in enumerate(header.encoding):
        lines, n_x = imaging(heads, number), int(encoding.encodedSpace.matrixSize.x)
        if not len(lines):
            continue
        lengths = np.unique(lines["number_of_samples"])
        if len(lengths) > 1:
            yield f"encoding {number}: lines of images have unlike lengths: {lengths.tolist()} samples"
        used = lines["number_of_samples"].astype(int) - lines["discard_pre"] - lines["discard_post"]
        if int(used.max()) > n_x:
            yield f"encoding {number}: lines have {int(used.max())} samples that count, encodedSpace has {n_x}"
        dwells = np.unique(lines["sample_time_us"])
        if len(dwells) > 1:
            yield f"encoding {number}: lines of images have unlike dwell times: {dwells.tolist()} us"


def _calibration(header: Any, heads: Heads) -> Iterator[str]:
    flags = {int(value) for value in np.unique(heads["flags"])}
    has_lines = any(calibrates(value) for value in flags)
    for number, encoding in enumerate(header.encoding):
        mode, own = calibration_mode(encoding), imaging(heads, number)
        if encoding.parallelImaging is None:
            if has_lines and len(own):
                yield f"encoding {number}: lines are flagged as calibration, the header has no parallelImaging"
            continue
        factors = encoding.parallelImaging.accelerationFactor
        factor = 1.0 if factors is None else float(factors.kspace_encoding_step_1 or 1)
        if has_separate_calibration(encoding) and len(own) and not has_lines and mode != "external":
            yield f"encoding {number}: calibrationMode is {mode}, no line is flagged as calibration"
        steps = np.unique(own["idx"]["kspace_encode_step_1"]) if len(own) else np.empty(0)
        if len(steps) > 2 and factor > 1 and len(steps) == int(steps[-1] - steps[0]) + 1 and mode != "interleaved":
            yield f"encoding {number}: acceleration along y is {factor:g} in the header, every step was acquired"


def _ends(header: Any, heads: Heads) -> Iterator[str]:
    del header
    images = by_image(imaging(heads))
    marks = {key: sum(is_last_in_slice(int(f)) for f in lines["flags"]) for key, lines in images.items()}
    several = [key for key, n in marks.items() if n > 1]
    without = [key for key, n in marks.items() if n == 0]
    if several:
        n = marks[several[0]]
        yield f"{len(several)} of {len(images)} images have several lines marked LAST_IN_SLICE ({n} in the first of them)"
    if without and len(without) < len(images):
        yield f"{len(without)} of {len(images)} images have no line marked LAST_IN_SLICE, the others have"
    early = [key for key, lines in images.items() if marks[key] == 1 and not is_last_in_slice(int(lines["flags"][-1]))]
    if early:
        yield f"{len(early)} of {len(images)} images have lines after the one marked LAST_IN_SLICE"


def _sizes(header: Any, heads: Heads) -> Iterator[str]:
    for number in range(len(header.encoding)):
        sizes = {key: len(lines) for key, lines in by_image(imaging(heads, number)).items()}
        if len(set(sizes.values())) > 1:
            least = min(sizes, key=lambda key: sizes[key])
            yield (
                f"encoding {number}: images have from {sizes[least]} to {max(sizes.values())} lines; "
                f"the one with the fewest is {least._asdict()}"
            )


def _geometry(header: Any, heads: Heads) -> Iterator[str]:
    del header
    lines = imaging(heads)
    if not len(lines):
        return
    directions = np.stack([lines[name] for name in ("read_dir", "phase_dir", "slice_dir")], axis=1).astype(float)
    products = directions @ directions.transpose(0, 2, 1)
    wrong = np.abs(products - np.eye(3)).max(axis=(1, 2)) > MAX_TILT
    if wrong.any():
        first = directions[wrong][0].round(4).tolist()
        yield f"{int(wrong.sum())} lines have directions that are no orthogonal unit vectors: read, phase, slice {first}"


def _names(header: Any, heads: Heads) -> Iterator[str]:
    del header
    noise_dwells = np.unique(heads["sample_time_us"][kinds_of(heads) == LineKind.NOISE])
    if len(noise_dwells) and float(noise_dwells.min()) == 0:
        yield "noise lines have no dwell time (sample_time_us is 0): their level is taken as that of the scan"
    stamps = heads["acquisition_time_stamp"]
    if len(stamps) and not stamps.any():
        yield "no line has an acquisition_time_stamp"
    if bool(np.any(heads["flags"] & np.uint64(1 << (ismrmrd.ACQ_IS_REVERSE - 1)))) and not bool(
        np.any(heads["flags"] & np.uint64(1 << (ismrmrd.ACQ_IS_PHASECORR_DATA - 1)))
    ):
        yield "lines were read backwards, and no line is flagged as phase correction"


CHECKS: tuple[Check, ...] = (
    _spaces,
    _steps,
    _counters,
    _channels,
    _readouts,
    _calibration,
    _ends,
    _sizes,
    _geometry,
    _names,
)
