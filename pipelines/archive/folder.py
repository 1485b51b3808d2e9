"""The DICOM folder of a run: images are gathered, and written when all are there."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ismrmrd

from nilatron.core.words import counted
from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.archive.identity import RunIdentity
from nilatron.pipelines.archive.mr_image import mr_image, written
from nilatron.pipelines.archive.outlines import outlined_captures
from nilatron.pipelines.archive.parametric_map import has_maps, parametric_map
from nilatron.pipelines.archive.series import Gathered, Series, all_series, gather
from nilatron.pipelines.archive.study import Study, study_of
from nilatron.pipelines.files.atomic import InputError, SpareFolder
from nilatron.pipelines.files.disk import reason_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

log = logging.getLogger(__name__)

PACKAGES = ("pydicom", "highdicom")
OVERLAPPING = 1.9  # thickness over distance of slices; overlaps that are planned are by half a slice at most


@dataclass(frozen=True)
class DicomSettings:
    """What DICOM files say beyond what header and images say.

    Attributes
    ----------
    study_uid
        Study that the images join; by default that of `like`, of the header, or one of the raw file's own.
    like
        DICOM file whose patient and study are taken.
    series_offset
        Added to series numbers.
    """

    study_uid: str | None = None
    like: Path | None = None
    series_offset: int = 0


def check_packages(names: Sequence[str] = PACKAGES) -> None:
    """Check for packages before images are reconstructed.

    Raises
    ------
    InputError
        When one is not installed.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"DICOM output needs {' and '.join(missing)}: pip install 'nilatron[dicom]'")


@dataclass
class DicomFolder(SpareFolder):
    """Folder of the DICOM files of a run, which appear together; images that DICOM cannot hold are reported.

    Attributes
    ----------
    study
        Whom the images belong to.
    run
        What the identifiers of series and images follow from, beside the images.
    series_offset
        Added to series numbers.
    files
        Paths of the files that were written, once they have appeared.
    """

    study: Study
    run: str
    series_offset: int = 0
    files: list[Path] = field(default_factory=list)
    refused: list[InputError | str] = field(default_factory=list)
    _images: list[Gathered] = field(default_factory=list, init=False)

    @classmethod
    def of_run(
        cls, folder: Path, header: Any, identity: RunIdentity, settings: DicomSettings, *, overwrite: bool = False
    ) -> DicomFolder:
        """The folder of a run of this header and identity; `overwrite` replaces the DICOM files of an earlier run.

        Raises
        ------
        InputError
            When a package is missing, or the study cannot be used.
        """
        check_packages()
        study = study_of(header, identity, settings.study_uid, settings.like)
        patient = "" if study.reference is None else str(study.reference.PatientID)
        run = json.dumps([identity.text, study.study_uid, patient])
        return cls(folder, study, run, settings.series_offset, own=("series*.dcm",), overwrite=overwrite)

    @property
    def waiting(self) -> Path:
        """Folder of the pixels that wait."""
        return self.temporary / "pixels"

    def write(self, image: ismrmrd.Image) -> None:
        """Take an image; it is written with the others of its series."""
        if self.failure:
            return
        try:
            self.waiting.mkdir(exist_ok=True)
            self._images.append(gather(image, self.waiting / f"{len(self._images)}.npy"))
        except InputError as error:
            self.refused.append(error)
        except OSError as error:
            self.refused.append(reason_of(error))

    def finish(self, scan: ScanLog) -> None:
        """Write the files, and report how many images could not be written, and why."""
        all_of_run = all_series(self._images, self.run, self.series_offset)
        for series in all_of_run:
            self._tell_places(series, scan)
        for name, data in self._objects(all_of_run):
            try:
                written(data, self.temporary / name)
                self.files.append(self.folder / name)
            except OSError as error:
                self.refused.append(reason_of(error))
                (self.temporary / name).unlink(missing_ok=True)  # no half file
        if not self.failure:
            shutil.rmtree(self.waiting, ignore_errors=True)
        if self.refused:
            scan.problem(
                log, f"{self.folder}: {counted(len(self.refused), 'image')} could not be written: {self.refused[0]}"
            )

    def _tell_places(self, series: Series, scan: ScanLog) -> None:
        """Tell of slices that lie on each other, or that are much thicker than the distance between them."""
        if n := sum(map(series.n_on_others, series.stacks())):
            told = (
                f"{counted(n, 'slice')} of series {series.number} {'lie' if n > 1 else 'lies'} where another one does"
            )
            scan.problem(log, f"{self.folder}: {told}: the positions in the heads of the lines are wrong")
        for stack in series.stacks():
            between, thick = series.between_slices(stack), float(series.slices[stack[0]].plane.spacing[2])
            if between is not None and thick > OVERLAPPING * between:
                log.warning(
                    "%s: slices of series %d are %g mm thick and lie %g mm apart: the thickness may be that of the stack",
                    *(self.folder, series.number, thick, between),
                )
                break

    def _objects(self, all_of_run: Sequence[Series]) -> Iterator[tuple[str, Dataset]]:
        """All DICOM objects of the series of a run with the names of their files."""
        for series in all_of_run:
            yield from objects_of(series, self.study, self.refused)
        yield from outlined_captures(self._images, self.study, self.run, self.series_offset)


def objects_of(series: Series, study: Study, refused: list[InputError | str]) -> Iterator[tuple[str, Dataset]]:
    """All DICOM objects of a series with the names of their files, its maps last; maps that cannot be made are `refused`."""
    maps = []
    for n, stack in enumerate(series.stacks(), 1):
        between = series.between_slices(stack)
        sources = []
        for place in stack:
            data = mr_image(series, place, study, between)
            yield f"series{series.number:03d}_{place + 1:04d}.dcm", data
            if has_maps(series):
                sources.append(data)
        try:
            maps += [parametric_map(series, stack, sources, n, study)] if sources else []
        except InputError as error:
            refused.append(error)
    for n, data in enumerate(maps, 1):
        yield f"series{data.SeriesNumber:03d}_map{n:04d}.dcm", data
