"""The outlined picture of a slice as Secondary Capture: what neither the conventional image nor the error interval supports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nilatron import __version__
from nilatron.core.words import counted
from nilatron.pipelines.archive.acquisition import set_series
from nilatron.pipelines.archive.identity import uid
from nilatron.pipelines.archive.mr_image import new_dataset
from nilatron.pipelines.archive.origin import describe_origin
from nilatron.pipelines.archive.series import Gathered, Slice, in_order
from nilatron.pipelines.archive.study import Study
from nilatron.pipelines.files.outlined import count, snr_pixels, spots_of, standard_deviations, with_outlines
from nilatron.pipelines.files.roles import COMPARED, TogetherBySlice

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SECONDARY_CAPTURE_STORAGE = "1.2.840.10008.5.1.4.1.1.7"
SERIES_NUMBER = 161  # beside 101, the uncertainty, and 151, its maps
NAME = "Nilatron unsupported structures research"


def outlined_captures(images: Sequence[Gathered], study: Study, run: str, offset: int) -> Iterator[tuple[str, Dataset]]:
    """The captures of a run with the names of their files: one for each slice of an image that can be compared."""
    together, compared = TogetherBySlice[Gathered](), dict[Gathered, dict[str, Gathered]]()
    for image in images:
        if (found := together.add(image.head, image)) and len({each.load().shape for each in found.values()}) == 1:
            compared[found["main"]] = found
    number = offset + SERIES_NUMBER
    series_uid = uid("outlines", run, str(number), *sorted(main.digest for main in compared))
    for instance, slice_ in enumerate(in_order(list(compared)), 1):
        data = _capture(slice_, compared[slice_.image], study)
        data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = series_uid, number, instance
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid("outline", series_uid, str(instance))
        yield f"series{number:03d}_{instance:04d}.dcm", data


def _capture(slice_: Slice, images: dict[str, Gathered], study: Study) -> Dataset:
    main, conventional, deviation = (snr_pixels(images[role].load()[slice_.z : slice_.z + 1], {}) for role in COMPARED)
    spots = spots_of(main, conventional, standard_deviations(images["uncertainty"].meta) * deviation)
    data = new_dataset(SECONDARY_CAPTURE_STORAGE, "")
    study.describe(data)
    data.Modality, data.ConversionType, data.SeriesDescription = "MR", "WSD", NAME
    data.Manufacturer = data.ManufacturerModelName = "Nilatron"
    data.SecondaryCaptureDeviceManufacturer = "Nilatron"
    data.SecondaryCaptureDeviceManufacturerModelName = "Nilatron"
    data.SoftwareVersions = data.SecondaryCaptureDeviceSoftwareVersions = __version__
    set_series(data, study.header)
    data.ImageType, data.PatientOrientation = ["DERIVED", "SECONDARY", "OTHER", "OUTLINES"], ""  # the plane tells it
    data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
    describe_origin(data, study.header, images["main"].meta)
    data.ImageComments = (
        f"{counted(count(spots), 'spot')} outlined: neither the conventional image nor the interval of the predicted error "
        f"supports them. {data.ImageComments}"
    )
    slice_.plane.describe(data, None)
    picture = with_outlines(main, spots)[0]
    data.Rows, data.Columns = picture.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = picture.tobytes() + b"\0" * (picture.size % 2)
    return data
