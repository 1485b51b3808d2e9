"""Uncertainty as Parametric Map Storage: standard deviations as float32, in SNR units, one object for each stack of slices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nilatron import __version__
from nilatron.pipelines.archive.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID, uid
from nilatron.pipelines.archive.origin import describe_origin, is_uncertainty
from nilatron.pipelines.archive.pixels import finite
from nilatron.pipelines.archive.series import Series
from nilatron.pipelines.archive.study import Study
from nilatron.pipelines.files.atomic import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

NUMBER_STEP = 50  # from a series to the series of its maps
NO_DATE, NO_TIME = "19000101", "000000"  # the standard asks for a date; the same run gives the same file on every day
LABEL = "POSTERIOR_SD"
SAME_AS_SOURCE = (
    "StudyDescription",
    "SpecificCharacterSet",
    "SeriesDate",
    "SeriesTime",
    "PatientPosition",
    "BodyPartExamined",
    "Laterality",
    "ProtocolName",
)


def has_maps(series: Series) -> bool:
    """Whether the series is one of uncertainty."""
    return is_uncertainty(series.slices[0].image.meta)


def parametric_map(series: Series, stack: Sequence[int], sources: Sequence[Dataset], n: int, study: Study) -> Dataset:
    """The `n`-th map (1, 2, ...) of a series: the slices of a stack, whose DICOM objects are `sources`.

    Raises
    ------
    InputError
        When a map cannot hold them, as where two images say the same place and time.
    """
    slices = [series.slices[place] for place in stack]
    pixels = finite(np.stack([slice_.image.load()[slice_.z] for slice_ in slices]).astype(np.float32))
    try:
        made = _highdicom_map(series, stack, sources, pixels, n)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"no Parametric Map of {series.name!r}: {error}") from error
    complete(made, series, sources[0], study)
    return made


def _highdicom_map(
    series: Series, stack: Sequence[int], sources: Sequence[Dataset], pixels: npt.NDArray[np.float32], n: int
) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    series_uid = uid("maps", series.uid)
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="SD",
        lut_explanation="Standard deviation of the error, SNR units",
        unit=codes.UCUM.NoUnits,
        value_range=(float(pixels.min()), float(pixels.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.DCM.StandardDeviation,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about names of one word: they are the archive's
        return highdicom.pm.ParametricMap(
            source_images=sources,
            pixel_array=pixels,
            series_instance_uid=series_uid,
            series_number=series.number + NUMBER_STEP,
            sop_instance_uid=uid("map", series_uid, *(series.instance_uid(place) for place in stack)),
            instance_number=n,
            manufacturer="Nilatron",
            manufacturer_model_name="Nilatron",
            software_versions=__version__,
            device_serial_number=__version__,
            contains_recognizable_visual_features=True,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[highdicom.VOILUTTransformation(*series.scaling.window)],
            content_label=LABEL,
            content_description=series.name,
        )


def complete(made: Any, series: Series, source: Any, study: Study) -> None:
    """Set what the source has and the map does not; nothing of the time of writing or of chance stays in it."""
    for name in SAME_AS_SOURCE:
        if name in source:
            setattr(made, name, source[name].value)
    made.Modality = source.Modality
    made.SeriesDescription = f"{series.name} map"[:64]
    made.ContentDate = source.get("SeriesDate") or source.StudyDate or NO_DATE
    made.ContentTime = source.get("SeriesTime") or source.StudyTime or NO_TIME
    for name in ("InstanceCreationDate", "InstanceCreationTime"):
        if name in made:
            delattr(made, name)
    made.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_NAME
    organisation = uid("dimensions", made.SOPInstanceUID)
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    describe_origin(made, study.header, series.slices[0].image.meta)
