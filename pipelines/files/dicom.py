"""Writing images as DICOM for viewers and archives; needs the extra `dicom` (pydicom).

Each slice becomes one MR Image Storage object. The position in the image header is the centre of pixel n // 2 of each axis
(see `gadgets.images`), so the centre of the first pixel of slice z lies at

    position - (n_x // 2) dx read_dir - (n_y // 2) dy phase_dir + (z - n_z // 2) dz slice_dir,

with d = field of view / n. Positions and directions are in patient coordinates (left, posterior, superior), as DICOM defines
them, so they do not depend on the patient position. Images are marked DERIVED and as research; no patient data are copied. All
identifiers are computed from the scan, so that the same scan gives the same files.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron import __version__
from nilatron.pipelines.files.atomic import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
UID_ROOT = "2.25."  # root of identifiers made from a 128-bit number, which needs no registration
MAX_STORED = 32767
SLOPE = 0.1  # SNR units of one stored step, unless an image is too bright for it
DIRECTION_TOLERANCE = 1e-3  # largest error of lengths and cosines that counts as rounding
MIN_SLOPE = 1e-9  # of uncertainty maps, which may be empty


@dataclass(frozen=True)
class DicomScan:
    """Properties of a scan that all its DICOM files share.

    Attributes
    ----------
    header_bytes
        The ISMRMRD header as stored; the identifiers are made from its hash.
    position
        DICOM's Patient Position, e.g. "HFS"; empty if it is unknown.

    Raises
    ------
    InputError
        When pydicom is not installed.
    """

    header_bytes: bytes
    position: str = ""

    def __post_init__(self) -> None:
        """Check for pydicom before images are reconstructed."""
        if importlib.util.find_spec("pydicom") is None:
            raise InputError("DICOM output needs pydicom: pip install 'nilatron[dicom]'")

    def uid(self, *parts: object) -> str:
        """A unique identifier of the scan and these parts."""
        text = repr(parts).encode() + self.header_bytes
        return UID_ROOT + str(int.from_bytes(hashlib.sha256(text).digest()[:16], "big"))

    def datasets(self, image: ismrmrd.Image) -> list[Dataset]:
        """DICOM objects of an image, one for each slice.

        Raises
        ------
        InputError
            When the image has several channels, or no geometry that DICOM can hold.
        """
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian

        pixels = np.abs(image.data) * image_slope(image)
        if pixels.shape[0] != 1 or not all(0 < size < np.inf for size in image.field_of_view):
            raise InputError(
                f"DICOM needs one channel and a field of view, got {pixels.shape[0]} and {list(image.field_of_view)} mm"
            )
        stored, slope = to_stored(pixels[0], finest=is_uncertainty(image))
        datasets = []
        for z in range(stored.shape[0]):
            number = (image.image_index - 1) * stored.shape[0] + z + 1
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID = MR_IMAGE_STORAGE
            meta.MediaStorageSOPInstanceUID = self.uid("image", image.image_series_index, number)
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data = Dataset()
            data.file_meta = meta
            self._describe(data, image, number)
            set_geometry(data, image, z, stored.shape)
            set_pixels(data, stored[z], slope)
            datasets.append(data)
        return datasets

    def write(self, image: ismrmrd.Image, folder: Path, stem: str) -> None:
        """Write one file for each slice of an image."""
        datasets = self.datasets(image)
        for z, data in enumerate(datasets):
            name = f"{stem}.dcm" if len(datasets) == 1 else f"{stem}_{z:04d}.dcm"
            data.save_as(folder / name, enforce_file_format=True)

    def _describe(self, data: Any, image: ismrmrd.Image, number: int) -> None:
        meta = ismrmrd.Meta.deserialize(image.attribute_string)
        description = meta.get("SeriesDescription", "Nilatron")
        comment = meta.get("ImageComment", "research only")
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.FrameOfReferenceUID = self.uid("study"), self.uid("frame")
        data.SeriesInstanceUID = self.uid("series", image.image_series_index)
        data.Modality = "MR"
        kind = "UNCERTAINTY" if is_uncertainty(image) else "OTHER"
        data.ImageType = ["DERIVED", "SECONDARY", kind]
        data.PatientName, data.PatientID = "anonymous", "anonymous"
        data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = data.StudyID = ""
        data.AccessionNumber = data.ReferringPhysicianName = data.PositionReferenceIndicator = data.Laterality = ""
        data.PatientPosition = self.position
        data.Manufacturer, data.SoftwareVersions = "Nilatron", __version__
        data.SeriesNumber, data.InstanceNumber = image.image_series_index, number
        data.AcquisitionNumber = image.repetition + 1
        data.SeriesDescription = " ".join([description] if isinstance(description, str) else description)[:64]
        data.ImageComments = "; ".join([comment] if isinstance(comment, str) else comment)
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions = "RM", "NONE", ""
        data.MRAcquisitionType = "3D" if image.data.shape[1] > 1 else "2D"
        data.EchoTime = data.EchoTrainLength = data.RepetitionTime = None


def is_uncertainty(image: ismrmrd.Image) -> bool:
    """Whether the pixels are standard deviations."""
    return int(image.image_series_index) > 100


def image_slope(image: ismrmrd.Image) -> np.float32:
    """SNR units of one pixel value, as the image says; 1 if it does not."""
    return np.float32(ismrmrd.Meta.deserialize(image.attribute_string).get("RescaleSlope", 1))


def to_stored(pixels: npt.NDArray[Any], *, finest: bool = False) -> tuple[npt.NDArray[np.uint16], float]:
    """Stored values 0 to 32767 and the slope that turns them into pixels; a power of ten times `SLOPE`.

    With `finest` the smallest such slope, where even one standard deviation of the noise is many steps.
    """
    top = float(np.nan_to_num(pixels).max(initial=0.0))
    slope = SLOPE
    while finest and 10 * top / slope < MAX_STORED and slope > MIN_SLOPE:
        slope /= 10
    while top / slope > MAX_STORED:
        slope *= 10
    return np.rint(np.nan_to_num(pixels) / slope).astype(np.uint16), slope


def set_geometry(data: Any, image: ismrmrd.Image, z: int, shape: tuple[int, ...]) -> None:
    """Set position, orientation and spacing of slice `z` of an image of `shape` (z, y, x), in mm and patient coordinates.

    Raises
    ------
    InputError
        When the position is not finite, or `directions` refuses the directions.
    """
    position, axes = np.array(image.position[:], float), directions(image)
    if not np.isfinite(position).all():
        raise InputError(f"DICOM needs a position, got {_numbers(position)} mm")
    sizes = np.array(shape[::-1])
    spacing = np.array(image.field_of_view[:], float) / sizes
    first = position + ((0, 0, z) - sizes // 2) * spacing @ axes
    data.ImagePositionPatient = [f"{v:.8g}" for v in first]
    data.ImageOrientationPatient = [f"{v:.8g}" for v in axes[:2].reshape(-1)]
    data.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]  # between rows, then between columns
    data.SliceThickness = f"{spacing[2]:.8g}"
    if shape[0] > 1:
        data.SpacingBetweenSlices = f"{spacing[2]:.8g}"


def directions(image: ismrmrd.Image) -> npt.NDArray[np.float64]:
    """Read, phase and slice direction of an image (rows of a matrix), with rounding errors removed.

    Raises
    ------
    InputError
        When a direction does not have unit length, or two of them are not at right angles.
    """
    found = np.array([image.read_dir[:], image.phase_dir[:], image.slice_dir[:]], float)
    lengths = np.linalg.norm(found, axis=1)
    cosines = (found @ found.T)[np.triu_indices(3, 1)]
    if not max(np.abs(lengths - 1).max(), np.abs(cosines).max()) < DIRECTION_TOLERANCE:  # NaN is refused as well
        names = ("read_dir", "phase_dir", "slice_dir")
        told = ", ".join(f"{name} {_numbers(axis)}" for name, axis in zip(names, found, strict=True))
        raise InputError(f"DICOM needs directions of length 1 at right angles, got {told}")
    left, _, right = np.linalg.svd(found)
    nearest: npt.NDArray[np.float64] = left @ right
    return np.round(nearest, 9) + 0.0  # without it, zeros would be written as -0


def _numbers(values: npt.NDArray[np.float64]) -> str:
    return f"({', '.join(f'{v:.4g}' for v in values)})"


def set_pixels(data: Any, stored: npt.NDArray[np.uint16], slope: float) -> None:
    """Set the pixels (y, x), their format and slope, and a window from 0 to the 99.5th percentile in rescaled units."""
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = f"{slope:g}", "0", "US"
    width = max(slope, slope * float(np.percentile(stored, 99.5)))
    data.WindowCenter, data.WindowWidth = f"{width / 2:.6g}", f"{width:.6g}"
    data.PixelData = stored.astype("<u2").tobytes()
