"""The header of an imported scan: that of the file where it fits the data, or one of what the user says; never a guess."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import ismrmrd.xsd as xsd

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.importing.kspace import Kspace
from nilatron.pipelines.importing.sampling import Sampling

COUNTERS = ("average", "contrast", "phase", "repetition", "set", "segment")  # which such files do not have


@dataclass(frozen=True)
class Geometry:
    """What files without a header do not say.

    Attributes
    ----------
    fov_mm
        Field of view (x, y, z) of the images; z is the distance of slices in a 2D scan.
    oversampling
        Of the readout.
    """

    fov_mm: tuple[float, float, float]
    oversampling: float = 1.0


def header_of(kspace: Kspace, sampling: Sampling, geometry: Geometry | None) -> xsd.ismrmrdHeader:
    """Header of the scan; limits, acceleration and calibration are those of the lines.

    Parameters
    ----------
    geometry
        Used in place of what the file says.

    Raises
    ------
    InputError
        When there is neither a header that fits the data nor a geometry.
    """
    if geometry is not None:
        header = _made(kspace, geometry)
    elif kspace.header is None:
        raise InputError("the file does not state the field of view: say --fov X,Y,Z, in mm")
    else:
        header = copy.deepcopy(kspace.header)
        _see_that_it_fits(header, kspace, sampling)
    if header.acquisitionSystemInformation is None:
        header.acquisitionSystemInformation = xsd.acquisitionSystemInformationType()
    header.acquisitionSystemInformation.receiverChannels = kspace.shape[0]
    (encoding,) = header.encoding = header.encoding[:1]
    encoding.trajectory, encoding.echoTrainLength = xsd.trajectoryType.CARTESIAN, None
    encoding.trajectoryDescription = None
    encoding.encodingLimits = _limits(kspace, sampling)
    encoding.parallelImaging = _parallel(sampling)
    return header


def _see_that_it_fits(header: Any, kspace: Kspace, sampling: Sampling) -> None:
    encoding, (_, n_z, n_y, n_x) = header.encoding[0], kspace.shape
    matrix = encoding.encodedSpace.matrixSize
    if (int(matrix.x), int(matrix.y), int(matrix.z)) != (n_x, n_y, n_z):
        raise InputError(
            f"the header's encoded matrix is {matrix.x} x {matrix.y} x {matrix.z}, the k-space {n_x} x {n_y} x {n_z} (readout, "
            "phase, partitions): if the header is of another scan, say --fov X,Y,Z, in mm, and its geometry is not used"
        )
    limit = encoding.encodingLimits.kspace_encoding_step_1 if encoding.encodingLimits is not None else None
    if limit is not None and limit.center:
        first, last = sampling.span(1)
        begin = n_y // 2 - int(limit.center)
        if first < begin or last > begin + int(limit.maximum):
            raise InputError(
                f"the header has lines {begin} to {begin + int(limit.maximum)} of {n_y} acquired, those that are not zero go "
                f"from {first} to {last}"
            )


def _made(kspace: Kspace, geometry: Geometry) -> xsd.ismrmrdHeader:
    (_, n_z, n_y, n_x), (x_mm, y_mm, z_mm) = kspace.shape, geometry.fov_mm
    n_kept = round(n_x / geometry.oversampling)
    if abs(n_kept * geometry.oversampling - n_x) > 1e-6 * n_x:
        raise InputError(f"a readout of {n_x} samples cannot be {geometry.oversampling:g} times oversampled")
    encoding = xsd.encodingType(
        encodedSpace=_space((n_x, n_y, n_z), (x_mm * geometry.oversampling, y_mm, z_mm)),
        reconSpace=_space((n_kept, n_y, n_z), geometry.fov_mm),
        trajectory=xsd.trajectoryType.CARTESIAN,
        encodingLimits=xsd.encodingLimitsType(),
    )
    frequency = xsd.experimentalConditionsType(H1resonanceFrequency_Hz=0)  # the schema wants one; 0: not known
    return xsd.ismrmrdHeader(experimentalConditions=frequency, encoding=[encoding])


def _space(matrix: tuple[int, int, int], fov_mm: tuple[float, float, float]) -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(**dict(zip("xyz", matrix, strict=True))),
        fieldOfView_mm=xsd.fieldOfViewMm(**dict(zip("xyz", map(float, fov_mm), strict=True))),
    )


def _limits(kspace: Kspace, sampling: Sampling) -> xsd.encodingLimitsType:
    def of_axis(axis: int, size: int) -> xsd.limitType:
        first, last = sampling.span(axis)
        return xsd.limitType(minimum=0, maximum=last - first, center=size // 2 - first)

    _, n_z, n_y, n_x = kspace.shape
    return xsd.encodingLimitsType(
        kspace_encoding_step_0=xsd.limitType(minimum=0, maximum=n_x - 1, center=n_x // 2),
        kspace_encoding_step_1=of_axis(1, n_y),
        kspace_encoding_step_2=of_axis(0, n_z),
        slice=xsd.limitType(minimum=0, maximum=kspace.n_slices - 1, center=0),
        **{name: xsd.limitType(minimum=0, maximum=0, center=0) for name in COUNTERS},
    )


def _parallel(sampling: Sampling) -> xsd.parallelImagingType | None:
    factors = sampling.acceleration(1), sampling.acceleration(0)
    if factors == (1, 1):
        return None
    calibrates = any(last >= first for first, last in (sampling.calibration(axis) for axis in (0, 1)))
    return xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(
            kspace_encoding_step_1=factors[0], kspace_encoding_step_2=factors[1]
        ),
        calibrationMode=xsd.calibrationModeType("embedded" if calibrates else "other"),
    )
