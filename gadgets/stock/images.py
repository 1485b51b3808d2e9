"""Gadgets that change the pixels of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.bounds import bounded, check_bounds
from nilatron.gadgets.items import Context, ScanError

_Pixels = npt.NDArray[Any]
_PARTS: dict[int, Callable[[_Pixels], _Pixels]] = {
    ismrmrd.IMTYPE_MAGNITUDE: np.abs,
    ismrmrd.IMTYPE_PHASE: np.angle,
    ismrmrd.IMTYPE_REAL: np.real,
    ismrmrd.IMTYPE_IMAG: np.imag,
}
_WINDOW_CENTRE = "GADGETRON_WindowCenter"
_PI = np.float32(np.pi)


def _is_image(item: object, kind: str) -> bool:
    return isinstance(item, ismrmrd.Image) and item.data.dtype.kind == kind


def _with_pixels(image: ismrmrd.Image, pixels: _Pixels, image_type: int) -> ismrmrd.Image:
    meta = ismrmrd.Meta(image.meta)
    made = ismrmrd.Image(head=image.getHead(), meta=meta, data=np.ascontiguousarray(pixels))
    made.image_type = image_type
    return made


@dataclass(frozen=True)
class ComplexToFloatGadget:
    """Complex images to float32: magnitude, phase, real or imaginary part, as the image type says (else magnitude)."""

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:  # noqa: ARG002
        """Complex images in, float images out; anything else passes."""
        for item in items:
            if not _is_image(item, "c"):
                yield item
                continue
            image_type = item.image_type if item.image_type in _PARTS else ismrmrd.IMTYPE_MAGNITUDE
            yield _with_pixels(item, _PARTS[image_type](item.data).astype(np.float32), image_type)


@dataclass(frozen=True)
class ExtractGadget:
    """One float32 image per wanted part, in the order magnitude, phase, real, imaginary.

    phase = arg + pi,  from 0 to 2 pi; real and imaginary parts are shifted by `real_imag_offset`. The series of a real,
    imaginary or phase image is that of the complex image + 1000, + 2000 or + 3000. `extract_mask` is the older bit mask
    (1 magnitude, 2 real, 4 imaginary, 8 phase); its parts are added to those of the other switches.
    """

    extract_mask: int = 0
    extract_magnitude: bool = True
    extract_real: bool = False
    extract_imag: bool = False
    extract_phase: bool = False
    real_imag_offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.extract_mask < 16:
            raise ValueError(f"property 'extract_mask': expected 0 to 15, not {self.extract_mask}")
        if not self._parts():
            raise ValueError("no part is wanted; set extract_magnitude, extract_real, extract_imag or extract_phase")

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:  # noqa: ARG002
        """Complex images in, float images out; anything else passes."""
        for item in items:
            if not _is_image(item, "c"):
                yield item
                continue
            for image_type, series_offset in self._parts():
                pixels = _PARTS[image_type](item.data).astype(np.float32) + self._shift(image_type)
                image = _with_pixels(item, pixels, image_type)
                image.image_series_index = item.image_series_index + series_offset
                yield image

    def _shift(self, image_type: int) -> np.float32:
        if image_type == ismrmrd.IMTYPE_MAGNITUDE:
            return np.float32(0)
        return _PI if image_type == ismrmrd.IMTYPE_PHASE else np.float32(self.real_imag_offset)

    def _parts(self) -> list[tuple[int, int]]:
        parts = (
            (self.extract_magnitude, 1, ismrmrd.IMTYPE_MAGNITUDE, 0),
            (self.extract_phase, 8, ismrmrd.IMTYPE_PHASE, 3000),
            (self.extract_real, 2, ismrmrd.IMTYPE_REAL, 1000),
            (self.extract_imag, 4, ismrmrd.IMTYPE_IMAG, 2000),
        )
        return [(image_type, offset) for switch, bit, image_type, offset in parts if switch or self.extract_mask & bit]


@dataclass(frozen=True)
class AutoScaleGadget:
    """Scale float magnitude images so that the 99th percentile of their histogram becomes `max_value`.

    The percentile is the upper edge of a histogram bin from 0 to the maximum. An image of zeros stays as it is.
    """

    max_value: float = 2048.0
    histogram_bins: int = bounded(100, 1, 65536)

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.max_value > 0:
            raise ValueError(f"max_value must be positive, got {self.max_value}")

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:  # noqa: ARG002
        """Float images in, scaled ones out; anything else passes."""
        for item in items:
            if not _is_image(item, "f") or item.image_type != ismrmrd.IMTYPE_MAGNITUDE or not item.data.any():
                yield item
                continue
            scale = self.max_value / self._percentile(item.data)
            yield _with_pixels(item, (item.data * scale).astype(item.data.dtype), item.image_type)

    def _percentile(self, pixels: _Pixels) -> float:
        largest = float(pixels.max())
        counts, edges = np.histogram(pixels, bins=self.histogram_bins, range=(0.0, largest))
        below = int(np.searchsorted(np.cumsum(counts), 0.99 * pixels.size))
        return float(edges[min(below + 2, self.histogram_bins)])


@dataclass(frozen=True)
class FloatToUShortGadget:
    """Float images to uint16, clipped to `min_intensity` … `max_intensity` and rounded, halves away from zero.

    Magnitudes lose their sign; real and imaginary parts become  value + offset,  phases  phase * offset / pi + offset.
    Clipped pixels are counted in the scan's log.

    Raises
    ------
    ScanError
        For an image of another type, unset among them, which Gadgetron refuses, too.
    """

    max_intensity: int = 4095
    min_intensity: int = 0
    intensity_offset: int = 2048
    pixel_type: ClassVar[str] = "uint16"

    def __post_init__(self) -> None:
        limits = np.iinfo(self.pixel_type)
        if not limits.min <= self.min_intensity < self.max_intensity <= limits.max:
            raise ValueError(
                f"expected min_intensity below max_intensity, both within {limits.min} to {limits.max}, "
                f"not {self.min_intensity} and {self.max_intensity}"
            )

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Float images in, integer images out; anything else passes."""
        for item in items:
            yield self._convert(item, context) if _is_image(item, "f") else item

    def _convert(self, image: ismrmrd.Image, context: Context) -> ismrmrd.Image:
        values = self._shifted(image)
        meta_centre = image.meta.get(_WINDOW_CENTRE)
        clipped = np.clip(values, self.min_intensity, self.max_intensity)
        context.log.counts["saturated pixels"] += int(np.count_nonzero(values > self.max_intensity))
        context.log.counts["non-finite pixels"] += int(np.count_nonzero(~np.isfinite(values)))
        finite = np.nan_to_num(clipped, nan=self.min_intensity).astype(np.float64)
        pixels = np.trunc(finite + np.copysign(0.5, finite)).astype(self.pixel_type)
        made = _with_pixels(image, pixels, image.image_type)
        if meta_centre is not None and image.image_type in (ismrmrd.IMTYPE_REAL, ismrmrd.IMTYPE_IMAG):
            made.meta[_WINDOW_CENTRE] = str(int(float(meta_centre)) + self.intensity_offset)
        return made

    def _shifted(self, image: ismrmrd.Image) -> _Pixels:
        values, offset = image.data.astype(np.float32), np.float32(self.intensity_offset)
        if image.image_type == ismrmrd.IMTYPE_MAGNITUDE:
            return np.asarray(np.abs(values))
        if image.image_type in (ismrmrd.IMTYPE_REAL, ismrmrd.IMTYPE_IMAG):
            return np.asarray(values + offset)
        if image.image_type == ismrmrd.IMTYPE_PHASE:
            return np.asarray(values * offset / _PI + offset)
        raise ScanError(
            f"{type(self).__name__}: an image of type {image.image_type}; expected magnitude ({ismrmrd.IMTYPE_MAGNITUDE}), "
            "phase, real or imaginary: ComplexToFloatGadget or ExtractGadget in front of it set the type"
        )


@dataclass(frozen=True)
class FloatToShortGadget(FloatToUShortGadget):
    """Float images to int16; otherwise as `FloatToUShortGadget`."""

    max_intensity: int = 32767
    min_intensity: int = -32768
    intensity_offset: int = 0
    pixel_type: ClassVar[str] = "int16"


@dataclass(frozen=True)
class ImageFinishGadget:
    """The end of a chain: everything passes."""

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:  # noqa: ARG002
        """Items in, the same items out."""
        yield from items
