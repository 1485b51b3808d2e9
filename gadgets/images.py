"""Reconstructions become ISMRMRD images: recon geometry, header, metadata in Gadgetron's and FIRE's names, pixel type.

Geometry: `position` is copied from the lines. It is the point whose signal has the same phase everywhere in k-space, and
therefore the centre of pixel n // 2 along each axis. For even n the middle of the field of view is half a pixel before it.
Pixels have the size field_of_view / matrix along read_dir (x), phase_dir (y) and slice_dir (z), which are copied as well.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.oversampling import to_recon_space
from nilatron.core.words import shown
from nilatron.gadgets.items import UNCERTAINTY_ROLES, Context, Reconstruction
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.numbering import Numbering

log = logging.getLogger(__name__)

SERIES_INDEX = {"main": 1, "conventional": 2, "mean": 3, "map": 4, "sample": 5, "uncertainty": 101, "std": 102}
ESTIMATES = {
    "mean": "posterior mean",
    "map": "posterior maximum",
    "sample": "posterior sample",
    "std": "posterior deviation",
}
PIXEL_TYPES = {"float32": np.float32, "complex64": np.complex64, "uint16": np.uint16, "int16": np.int16}
IMAGE_TYPE_MAGNITUDE, IMAGE_TYPE_COMPLEX = 1, 5
MAX_INDEX = 65535  # image_index is 16 bits wide
MAX_UNCERTAINTY = 32700  # pixel values, of uint16 as well: what is on the way may hold int16 only
MIN_UNCERTAINTY = 1e-6  # SNR units: a map that nowhere exceeds this is empty
MIN_WINDOW = 5.0  # SNR units: a window fitted to an image without signal would show its noise as structure
DOUBTFUL = " DOUBTFUL"  # at the end of the series description
COPIED = (
    "version",
    "measurement_uid",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "patient_table_position",
    "acquisition_time_stamp",
    "physiology_time_stamp",
    "user_int",
    "user_float",
)
INDICES = ("average", "slice", "contrast", "phase", "repetition", "set")


@dataclass(frozen=True)
class ImageSettings:
    """How images leave.

    `image_scale` multiplies SNR units before conversion to integers, where 1 would round to one noise standard deviation.
    Uncertainty maps have steps of their own as integers, see `scale_of`.
    """

    pixel_type: str = "float32"  # float32, uint16, int16 or complex64; complex64 for a chain that goes on
    image_scale: float = 1.0  # pixel values per SNR unit; raise it for integers, whose step is 1

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.pixel_type not in PIXEL_TYPES:
            raise ValueError(f"pixel_type must be one of {', '.join(PIXEL_TYPES)}, got {self.pixel_type!r}")
        if not self.image_scale > 0:
            raise ValueError(f"image_scale must be positive, got {self.image_scale}")


@dataclass
class ImageMaker:
    """The gadget of one scan; it numbers the images of each series."""

    settings: ImageSettings
    numbering: Numbering = field(default_factory=Numbering)

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Reconstructions in, `ismrmrd.Image` out; everything else passes."""
        for item in items:
            yield self.make(item, context) if isinstance(item, Reconstruction) else item

    def make(self, item: Reconstruction, context: Context) -> ismrmrd.Image:
        """The image of one reconstruction."""
        recon = item.source.encoding.reconSpace
        pixels = to_recon_space(item.image, encoded_fov_mm(item), zyx(recon.fieldOfView_mm), zyx(recon.matrixSize, int))
        scale = scale_of(item.role, pixels, self.settings)
        converted, n_saturated = convert(pixels, self.settings.pixel_type, scale)
        if n_saturated:
            context.log.problem(log, f"{item.source.label}: {n_saturated} pixels saturated, lower image_scale")
        if doubt := item.provenance.get("doubt"):
            context.log.counts["doubtful images"] += 1
            reasons = "; ".join((doubt, *item.source.notes))
            context.log.problem(log, f"{item.source.label}: doubtful {item.role} image: {reasons}")
        series = SERIES_INDEX[item.role]
        number = self.numbering.number(series, item.source.head, context.header)
        image = ismrmrd.Image.from_array(converted)
        for name in COPIED:
            copy_field(item.source.head, image, name)
        for name in INDICES:
            setattr(image, name, getattr(item.source.head.idx, name))
        image.field_of_view[:] = zyx(recon.fieldOfView_mm)[::-1]
        image.image_type = IMAGE_TYPE_COMPLEX if self.settings.pixel_type == "complex64" else IMAGE_TYPE_MAGNITUDE
        image.image_series_index = series
        image.image_index = (number - 1) % MAX_INDEX + 1
        image.attribute_string = self._meta(item, converted, scale, n_saturated, number).serialize()
        return image

    def _meta(
        self, item: Reconstruction, pixels: np.ndarray[Any, Any], scale: float, n_saturated: int, number: int
    ) -> ismrmrd.Meta:
        top = float(np.percentile(np.abs(pixels), 99.5)) if pixels.size else 0.0
        is_map = item.role in UNCERTAINTY_ROLES
        if not is_map:
            top = max(top, MIN_WINDOW * scale)
        window = str(max(1, round(top)))
        centre = str(max(1, round(top / 2)))
        derived = "uncertainty" if is_map else "image"
        stated = provenance_of(item)
        method = METHODS[item.provenance["target"]]
        history = "CG-SENSE" if item.role == "conventional" else method.history
        predicted = stated.get("uncertainty_from") == "prediction"
        description = description_of(item.role, history, predicted=predicted)
        description += DOUBTFUL if "doubt" in item.provenance else ""
        comments = [description, "research only"]
        comments += [f"fall-back: {item.provenance['fallback']}"] if "fallback" in item.provenance else []
        comments += [f"doubtful: {item.provenance['doubt']}"] if "doubt" in item.provenance else []
        comments += list(item.source.notes)
        if is_map and predicted:
            comments.append(interval_of(item.provenance))
        quantitative = ["Quantitative"] if is_map else []
        encoding = item.source.encoding
        meta: dict[str, Any] = {
            "DataRole": ["Image", *quantitative],
            "GADGETRON_DataRole": ["Image", *quantitative],
            "SeriesDescription": [description, "research"],
            "GADGETRON_SeqDescription": description.replace(" ", "_"),
            "ImageComment": comments,
            "GADGETRON_ImageComment": comments,
            "ImageType": ["DERIVED", "SECONDARY", derived.upper()],
            "ImageProcessingHistory": ["Nilatron", history],
            "GADGETRON_ImageProcessingHistory": ["Nilatron", history],
            "WindowCenter": centre,
            "WindowWidth": window,
            "GADGETRON_WindowCenter": centre,
            "GADGETRON_WindowWidth": window,
            "GADGETRON_ScaleRatio": f"{scale:.9g}",
            "RescaleSlope": f"{1 / scale:.9g}",
            "RescaleIntercept": "0",
            "GADGETRON_ImageNumber": str(number),
            "Keep_image_geometry": "1",
            "encoding": str(int(item.source.head.encoding_space_ref)),
            "encoding_FOV": [f"{v:g}" for v in zyx(encoding.encodedSpace.fieldOfView_mm)[::-1]],
            "recon_FOV": [f"{v:g}" for v in zyx(encoding.reconSpace.fieldOfView_mm)[::-1]],
            "nilatron_saturated_pixels": str(n_saturated),
        }
        if is_map:
            meta["Skip_processing_after_recon"] = "1"
        meta |= {f"nilatron_{name}": value for name, value in stated.items()}
        return ismrmrd.Meta({name: _as_shown(value) for name, value in meta.items()})


def _as_shown(value: Any) -> Any:
    """A metadata value in which nothing quoted from headers and peers can break the XML or a terminal."""
    return [shown(str(part)) for part in value] if isinstance(value, list) else shown(str(value))


def description_of(role: str, history: str, *, predicted: bool) -> str:
    """Name of a series, by the role of its images and the method's history."""
    of_map = "predicted error" if predicted else "posterior standard deviation"
    words = {"main": history, "conventional": "CG-SENSE", "uncertainty": of_map}
    return f"Nilatron {words.get(role) or f'{history} {ESTIMATES[role]}'}"


def provenance_of(item: Reconstruction) -> dict[str, str]:
    """What an image says of how it was made; a map of the samples' deviation nothing of another uncertainty map."""
    if item.role != "std":
        return item.provenance
    own = {name: value for name, value in item.provenance.items() if not name.startswith("uncertainty_")}
    return own | {"uncertainty_from": "samples", "uncertainty_calibration": "uncalibrated"}


def interval_of(provenance: Mapping[str, str]) -> str:
    """What calibration lets a predicted error map promise, in a sentence."""
    if provenance.get("uncertainty_calibration") != "calibrated":
        return "standard deviation of the magnitude's error, uncalibrated"
    return (
        f"magnitude within {provenance['uncertainty_kappa']} times this map for "
        f"{float(provenance['uncertainty_coverage']):.0%} of the object's pixels, calibrated on "
        f"{provenance['uncertainty_subjects']} subjects"
    )


def scale_of(role: str, pixels: np.ndarray[Any, Any], settings: ImageSettings) -> float:
    """Pixel values per SNR unit: `image_scale`; for uncertainty maps as integers that times a power of ten.

    The power is the largest with which the brightest pixel of the map is at most `MAX_UNCERTAINTY`, so at least a tenth of it.
    """
    kind = PIXEL_TYPES[settings.pixel_type]
    brightest = float(np.abs(pixels).max(initial=0.0))
    if role not in UNCERTAINTY_ROLES or not issubclass(kind, np.integer) or not MIN_UNCERTAINTY < brightest < math.inf:
        return settings.image_scale
    power = math.floor(math.log10(MAX_UNCERTAINTY / (brightest * settings.image_scale)))
    return settings.image_scale * 10.0**power


def convert(pixels: np.ndarray[Any, Any], pixel_type: str, scale: float) -> tuple[np.ndarray[Any, Any], int]:
    """Pixels of the wanted type, and how many had to be clipped; magnitudes unless complex."""
    scaled = pixels * np.float32(scale)
    if pixel_type == "complex64":
        return scaled.astype(np.complex64), 0
    magnitude = np.abs(scaled)
    kind = PIXEL_TYPES[pixel_type]
    if pixel_type == "float32":
        return magnitude.astype(np.float32), 0
    top = np.iinfo(kind).max
    return np.clip(np.rint(magnitude), 0, top).astype(kind), int(np.count_nonzero(magnitude > top))


def zyx(triple: Any, kind: type[Any] = float) -> Any:
    """A header's x, y, z element as a (z, y, x) tuple."""
    return kind(triple.z), kind(triple.y), kind(triple.x)


def encoded_fov_mm(item: Reconstruction) -> tuple[float, float, float]:
    """Field of view (z, y, x) of the reconstructed grid: readout oversampling is gone already."""
    encoded = item.source.encoding.encodedSpace
    fov: tuple[float, float, float] = zyx(encoded.fieldOfView_mm)
    pixel_mm = fov[2] / max(1, int(encoded.matrixSize.x))
    return fov[0], fov[1], pixel_mm * item.image.shape[-1]


def copy_field(source: Any, target: Any, name: str) -> None:
    """Copy one header field, number or fixed array."""
    value = getattr(source, name)
    if hasattr(value, "__len__"):
        place = getattr(target, name)
        for i in range(min(len(place), len(value))):
            place[i] = value[i]
    else:
        setattr(target, name, value)
