"""When an image is whole: flags, limits, counters and the lines still to come, weighed against each other.

Where the heads of all lines are known (a file) an image is whole when its last line is in. A stream learns: a flag is
believed where the limits or an earlier image agree with it, an image without flags ends when the next one has as many lines
while it has been quiet, and all end with the scan.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from nilatron.gadgets.encoding import Limit, acceleration_factors, calibration_mode, encoding_limit, last_average
from nilatron.gadgets.placement import ImageKey
from nilatron.gadgets.plan.progress import Progress, missing_end, reaches
from nilatron.gadgets.plan.upcoming import Upcoming, upcoming_of

FRAMES = ("phase", "repetition")  # images that show the same object again, so that their lines calibrate each other
_LIKELY = 0.5  # of the lines that the header lets expect: fewer are no image that another one could have outrun


@dataclass
class ScanPlan:
    """The plan of one scan, revised as its lines come.

    Parameters
    ----------
    header
        Parsed ISMRMRD header.
    heads
        Table of the heads of all lines, where they are known.
    """

    header: Any
    heads: npt.NDArray[Any] | None = None
    images: dict[ImageKey, Progress] = field(default_factory=dict)  # not whole yet
    sizes: dict[ImageKey, int] = field(default_factory=dict)  # lines of those that were whole
    late: Counter[ImageKey] = field(default_factory=Counter)  # lines that came after that
    n_lines: int = 0

    def __post_init__(self) -> None:
        """Count what is still to come."""
        self.upcoming: Upcoming | None = None if self.heads is None else upcoming_of(self.header, self.heads)
        self.announced = Counter(
            {} if self.upcoming is None else self.upcoming.imaging
        )  # lines of each image, if known

    def take_calibration(self, slice_number: int) -> None:
        """A line that only calibrates has come."""
        if self.upcoming is not None:
            self.upcoming.calibration[slice_number] -= 1

    def take(self, key: ImageKey, step: tuple[int, int], *, is_last: bool, average: int) -> bool:
        """A line of an image has come; False where the image has left already.

        Parameters
        ----------
        key, step
            Image and encoding steps (y, z) of the line.
        is_last
            Whether it is marked as the last of its slice.
        average
            Its number among the averages: a mark in front of the last one does not count.
        """
        self.n_lines += 1
        if self.upcoming is not None:
            self.upcoming.imaging[key] -= 1
        if key in self.sizes:
            self.late[key] += 1
            return False
        progress = self.images.setdefault(key, Progress())
        marked = is_last and average >= last_average(self.header.encoding[key.encoding])
        progress.add(step, self.n_lines, is_last=marked)
        return True

    def skip(self, key: ImageKey, *, only_calibrates: bool) -> bool:
        """A line without samples has come: nobody waits for it; whether the image is whole without it."""
        if self.upcoming is None:
            return False
        if only_calibrates:
            self.take_calibration(key.slice)
            return False
        self.upcoming.imaging[key] -= 1
        self.announced[key] -= 1
        return key in self.images and self.upcoming.imaging[key] <= 0

    def has_channels(self, key: ImageKey, n_channels: int) -> bool:
        """Whether a line has as many channels as most lines of its image, where these are known."""
        most = None if self.upcoming is None else self.upcoming.channels.get(key)
        return not most or most == n_channels

    def whole_after(self, key: ImageKey) -> list[ImageKey]:
        """Images that are whole now that a line of `key` has come, the oldest first."""
        if self.upcoming is not None:
            return [] if self.upcoming.imaging[key] > 0 else [key]
        outrun = [other for other in self.images if other != key and self._is_outrun(other, key)]
        return [*outrun, key] if self.images[key].is_flagged and self._agrees(key) else outrun

    def close(self, key: ImageKey) -> str:
        """The image leaves; what of it is missing, in words, empty if nothing is known to."""
        progress = self.images.pop(key)
        self.sizes[key] = progress.n_lines
        return self._missing(key, progress)

    def _agrees(self, key: ImageKey) -> bool:
        """Whether limits or an earlier image agree with a flag; none of them does once a flag has been wrong."""
        if any(other.encoding == key.encoding for other in self.late):
            return False
        if self.images[key].n_lines in {n for other, n in self.sizes.items() if other.encoding == key.encoding}:
            return True
        return all(
            limit is None or reaches(steps, limit)
            for steps, limit in zip(self.images[key].steps, self._limits(key), strict=True)
        )

    def _is_outrun(self, key: ImageKey, by: ImageKey) -> bool:
        """Whether an image has been quiet since another one of its slice and encoding began, which has as many lines."""
        if (key.encoding, key.slice) != (by.encoding, by.slice):
            return False
        own, other = self.images[key], self.images[by]
        return own.last_at < other.first_at and other.n_lines >= own.n_lines >= self._likely_lines(key)

    def _likely_lines(self, key: ImageKey) -> float:
        encoding = self.header.encoding[key.encoding]
        expected = 1.0
        for limit, factor in zip(self._limits(key), acceleration_factors(encoding), strict=True):
            expected *= 1 if limit is None else (limit.maximum - limit.minimum + 1) / factor
        return _LIKELY * expected

    def _limits(self, key: ImageKey) -> tuple[Limit | None, Limit | None]:
        """Limits of the encoding steps along y and z; None where the header has none."""
        encoding = self.header.encoding[key.encoding]
        matrix = encoding.encodedSpace.matrixSize
        return encoding_limit(encoding, 1, int(matrix.y)), encoding_limit(encoding, 2, int(matrix.z))

    def _missing(self, key: ImageKey, progress: Progress) -> str:
        if short := self._short_of(key, progress):
            return short
        if progress.is_flagged:
            return ""
        for name, steps, last, limit in zip("yz", progress.steps, progress.last_step, self._limits(key), strict=True):
            missing = None if limit is None else missing_end(steps, last, limit)
            if missing is not None and limit is not None:
                return (
                    f"lines {missing[0]} to {missing[1]} along {name} did not come, which the header's limits "
                    f"({limit.minimum} to {limit.maximum}) announce"
                )
        return ""

    def _short_of(self, key: ImageKey, progress: Progress) -> str:
        """Whether an image has fewer lines than the others, in words; an echo may have fewer in every slice."""
        own = [n for other, n in self.announced.items() if alike(key, other)]
        if len(own) > 1 and set(own) == {progress.n_lines}:
            return ""
        every = [n for other, n in self.announced.items() if other.encoding == key.encoding]
        most, n_most = Counter(every).most_common(1)[0] if every else (0, 0)
        if progress.n_lines < most and n_most > len(every) / 2:  # flags or not: lines that were lost say nothing
            return f"{progress.n_lines} lines came, {n_most} of {len(every)} images have {most}"
        likes = Counter(n for other, n in self.sizes.items() if other.encoding == key.encoding and other != key)
        usual = max(likes, key=lambda n: (likes[n], n), default=0)
        if progress.n_lines < usual and likes[usual] > 1 and not progress.is_flagged:
            return f"{progress.n_lines} lines came, other images have {usual}"
        return ""

    def waits_for_calibration(self, key: ImageKey) -> bool:
        """Whether lines that only calibrate may still come for the slice of an image."""
        if self.upcoming is not None:
            return self.upcoming.calibration[key.slice] > 0
        return calibration_mode(self.header.encoding[key.encoding]) == "separate"

    def waits_for_frames(self, key: ImageKey) -> bool:
        """Whether more images of the same object may come, whose lines would calibrate this one."""
        if self.upcoming is not None:
            return any(n > 0 and same_object(key, other) for other, n in self.upcoming.imaging.items())
        if any(same_object(key, other) for other in self.images):
            return True
        limits = self.header.encoding[key.encoding].encodingLimits
        found = [getattr(limits, name, None) for name in FRAMES]
        return any(
            limit is not None and getattr(key, name) < int(limit.maximum)
            for name, limit in zip(FRAMES, found, strict=True)
        )


def alike(one: ImageKey, other: ImageKey) -> bool:
    """Whether two images were measured with the same lines, as far as counters tell: echoes may be of unlike resolution."""
    return (one.encoding, one.contrast, one.set) == (other.encoding, other.contrast, other.set)


def same_object(one: ImageKey, other: ImageKey) -> bool:
    """Whether two images differ in their frame alone."""
    return one.without_frame() == other.without_frame()
