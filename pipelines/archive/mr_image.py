"""One slice as MR Image Storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nilatron import __version__
from nilatron.pipelines.archive.acquisition import set_sequence, set_series, set_time
from nilatron.pipelines.archive.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from nilatron.pipelines.archive.origin import describe_origin, is_uncertainty
from nilatron.pipelines.archive.series import Series
from nilatron.pipelines.archive.study import Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
PARTS = {2: "PHASE MAP", 3: "OTHER", 4: "OTHER"}  # third value of Image Type, by ISMRMRD's image type


def mr_image(series: Series, place: int, study: Study, between_slices: float | None) -> Dataset:
    """The DICOM object of the slice at a place of a series; `between_slices` in mm."""
    data = new_dataset(MR_IMAGE_STORAGE, series.instance_uid(place))
    slice_ = series.slices[place]
    head, meta = slice_.image.head, slice_.image.meta
    study.describe(data)
    data.Modality = "MR"
    data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription = series.uid, series.number, series.name
    data.Manufacturer = data.ManufacturerModelName = "Nilatron"
    data.SoftwareVersions = __version__
    set_series(data, study.header)
    set_sequence(data, study.header, int(head.contrast))
    set_time(data, study.header, head)
    data.InstanceNumber = place + 1
    kind = ["OTHER", "UNCERTAINTY"] if is_uncertainty(meta) else [PARTS.get(int(head.image_type), "OTHER")]
    data.ImageType = ["DERIVED", "SECONDARY", *kind]
    data.MRAcquisitionType = "3D" if len(slice_.image.planes) > 1 else "2D"
    data.BurnedInAnnotation, data.LossyImageCompression = "NO", "00"
    describe_origin(data, study.header, meta)
    slice_.plane.describe(data, between_slices)
    series.scaling.set_pixels(data, slice_.image.load()[slice_.z])
    return data


def new_dataset(sop_class: str, sop_instance: str) -> Dataset:
    """An empty DICOM object of a class, with its identifier."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop_instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION_UID, IMPLEMENTATION_NAME
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = sop_class, sop_instance
    return data


def written(data: Any, path: Any) -> None:
    """Write a DICOM file."""
    data.save_as(path, enforce_file_format=True)
