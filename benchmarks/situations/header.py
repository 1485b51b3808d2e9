"""K6 and K8: what the header says wrong, and what it does not say; files laid out in another way."""

from __future__ import annotations

from dataclasses import replace

import h5py
import ismrmrd.xsd as xsd
import numpy as np
import numpy.typing as npt

from nilatron.core.fft import fft, ifft
from situations.scan import ACCELERATED, BOTH, CALIBRATION, NOISE, PARTIAL, PLAIN, SLICES, VOLUME, Scan, situation

PARTIAL_VOLUME = replace(VOLUME, partial_fourier=0.75)


@situation("K6", ACCELERATED, "ismrmrd/philips_to_ismrmrd#4")
def fractions_in_matrix_sizes(scan: Scan) -> None:
    """Sizes such as 95.9996."""
    text = xsd.ToXML(scan.header)
    scan.header = text.replace("<y>96</y>", "<y>95.9996</y>").replace("<z>1</z>", "<z>1.0004</z>")


@situation("K6", PARTIAL, "ismrmrd/siemens_to_ismrmrd#142")
def partial_fourier_with_the_centre_of_the_matrix(scan: Scan) -> None:
    """The header's centre is half the matrix, as if the first lines had been acquired."""
    scan.encoding.encodingLimits.kspace_encoding_step_1.center = 48


@situation("K6", PARTIAL_VOLUME, "MagneticResonanceImaging/MRIReco.jl#240")
def partial_fourier_volume_with_the_centre_of_the_matrix(scan: Scan) -> None:
    """The same in a volume."""
    scan.encoding.encodingLimits.kspace_encoding_step_1.center = 32


@situation("K6", ACCELERATED)
def a_centre_of_zero(scan: Scan) -> None:
    """The limits' centres were never set."""
    limits = scan.encoding.encodingLimits
    limits.kspace_encoding_step_1.center = limits.kspace_encoding_step_0.center = 0


@situation("K6", VOLUME)
def a_centre_of_zero_along_z(scan: Scan) -> None:
    """The same along z."""
    scan.encoding.encodingLimits.kspace_encoding_step_2.center = 0


@situation("K6", ACCELERATED)
def a_centre_one_line_off(scan: Scan) -> None:
    """One line off is a phase and no more."""
    scan.encoding.encodingLimits.kspace_encoding_step_1.center = 47


@situation("K6", ACCELERATED)
def limits_of_nothing(scan: Scan) -> None:
    """All limits go from 0 to 0."""
    for name in ("kspace_encoding_step_0", "kspace_encoding_step_1", "kspace_encoding_step_2"):
        limit = getattr(scan.encoding.encodingLimits, name)
        limit.minimum = limit.maximum = limit.center = 0


@situation("K6", ACCELERATED)
def limits_of_half_the_lines(scan: Scan) -> None:
    """The limits are those of another scan: 0 to 47, centre 24."""
    limit = scan.encoding.encodingLimits.kspace_encoding_step_1
    limit.maximum, limit.center = 47, 24


@situation("K6", ACCELERATED)
def limits_of_twice_the_lines(scan: Scan) -> None:
    """The limits are those of another scan: 0 to 191, centre 96."""
    limit = scan.encoding.encodingLimits.kspace_encoding_step_1
    limit.maximum, limit.center = 191, 96


@situation("K6", ACCELERATED)
def limits_that_end_one_line_early(scan: Scan) -> None:
    """Maximum 94 where the last line is 95, or 95 where it is 94."""
    limit = scan.encoding.encodingLimits.kspace_encoding_step_1
    limit.maximum = max(line.idx.kspace_encode_step_1 for line in scan.imaging) - 1


@situation("K6", VOLUME, "ismrmrd/philips_to_ismrmrd#4")
def a_matrix_of_one_partition(scan: Scan) -> None:
    """EncodedSpace and reconSpace have z = 1, limits and lines have 12 partitions."""
    scan.encoding.encodedSpace.matrixSize.z = scan.encoding.reconSpace.matrixSize.z = 1


@situation("K6", VOLUME)
def limits_of_one_partition(scan: Scan) -> None:
    """The matrix has 12 partitions, as the lines, the limits one."""
    limit = scan.encoding.encodingLimits.kspace_encoding_step_2
    limit.maximum = limit.center = 0


@situation("K6", SLICES)
def a_matrix_of_as_many_partitions_as_slices(scan: Scan) -> None:
    """A stack of slices whose encodedSpace counts them as z."""
    scan.encoding.encodedSpace.matrixSize.z = 2


@situation("K6", ACCELERATED)
def a_factor_that_is_not_that_of_the_lines(scan: Scan) -> None:
    """The header says R = 4."""
    scan.encoding.parallelImaging.accelerationFactor.kspace_encoding_step_1 = 4


@situation("K6", PLAIN)
def a_factor_where_all_lines_came(scan: Scan) -> None:
    """The header says R = 2 and embedded, all lines came."""
    scan.encoding.parallelImaging = xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=2, kspace_encoding_step_2=1),
        calibrationMode=xsd.calibrationModeType("embedded"),
    )


@situation("K6", ACCELERATED)
def receiver_channels_of_another_coil(scan: Scan) -> None:
    """ReceiverChannels says 64."""
    scan.header.acquisitionSystemInformation.receiverChannels = 64


@situation("K6", ACCELERATED)
def a_matrix_larger_than_the_lines(scan: Scan) -> None:
    """EncodedSpace and its field of view are those before phase oversampling was left out, limits are right.

    k-space is 96 lines of 128, so that pixels are smaller and the field of view is as it was.
    """
    scan.encoding.encodedSpace.matrixSize.y = 128
    scan.encoding.reconSpace.matrixSize.y = 128
    scan.truth = np.stack([resized(image) for image in scan.truth])


@situation("K6", replace(ACCELERATED, recon_matrix=(96, 72), recon_fov_mm=(220.0, 165.0)))
def phase_oversampling_with_the_centre_of_the_recon_matrix(scan: Scan) -> None:
    """The centre of the limits is half of the matrix of reconSpace, without phase oversampling."""
    scan.encoding.encodingLimits.kspace_encoding_step_1.center = 36


@situation("K6", VOLUME)
def a_recon_matrix_of_one_partition(scan: Scan) -> None:
    """ReconSpace of a volume has z = 1, as that of a slice."""
    scan.encoding.reconSpace.matrixSize.z = 1


@situation("K6", VOLUME)
def a_recon_space_of_one_partition(scan: Scan) -> None:
    """ReconSpace of a volume has z = 1, and the thickness of a partition."""
    scan.encoding.reconSpace.matrixSize.z = 1
    scan.encoding.reconSpace.fieldOfView_mm.z = 5.0


@situation("K6", VOLUME)
def a_recon_field_of_view_of_one_partition(scan: Scan) -> None:
    """ReconSpace of a volume has its partitions, and the thickness of one of them."""
    scan.encoding.reconSpace.fieldOfView_mm.z = 5.0


@situation("K6", ACCELERATED, right="told")
def a_field_of_view_without_oversampling(scan: Scan) -> None:
    """EncodedSpace has twice the pixels of reconSpace along x, and its field of view."""
    scan.encoding.encodedSpace.fieldOfView_mm.x = 220.0


@situation("K6", ACCELERATED, right="told")
def lines_numbered_as_they_came(scan: Scan) -> None:
    """Every second line, numbered 0, 1, 2, ..., and limits that say the same; no calibration."""
    lines = [line for line in scan.imaging if line.idx.kspace_encode_step_1 % 2 == 0]
    for number, line in enumerate(lines):
        line.idx.kspace_encode_step_1 = number
        for flag in (CALIBRATION, BOTH):
            line.clear_flag(flag)
    scan.lines = [*scan.of(NOISE), *lines]
    limit = scan.encoding.encodingLimits.kspace_encoding_step_1
    limit.maximum, limit.center = 47, 24


def resized(image: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Interpolate 96 lines (z, y, x) to 128 pixels."""
    padded = np.pad(fft(image.astype(np.complex64), axes=(-2,)), ((0, 0), (16, 16), (0, 0)))
    return np.abs(ifft(padded, axes=(-2,)))


@situation("K8", ACCELERATED, "schote/nexus-console#74")
def no_trajectory(scan: Scan) -> None:
    """No trajectory, no limits."""
    text = xsd.ToXML(scan.header)
    scan.header = text.replace("<trajectory>cartesian</trajectory>", "")


@situation("K8", PLAIN)
def no_limits(scan: Scan) -> None:
    """No encodingLimits."""
    scan.encoding.encodingLimits = xsd.encodingLimitsType()


@situation("K8", replace(ACCELERATED, readout_oversampling=1.0))
def no_recon_space_field_of_view(scan: Scan) -> None:
    """A reconSpace with a field of view of 0."""
    fov = scan.encoding.reconSpace.fieldOfView_mm
    fov.x = fov.y = fov.z = 0.0


@situation("K8", ACCELERATED)
def fields_of_view_in_metres(scan: Scan) -> None:
    """0.44 in place of 440, in both spaces."""
    for space in (scan.encoding.encodedSpace, scan.encoding.reconSpace):
        for axis in "xyz":
            setattr(space.fieldOfView_mm, axis, getattr(space.fieldOfView_mm, axis) / 1000)


@situation("K8", ACCELERATED)
def samples_as_compounds(scan: Scan) -> None:
    """Samples as (real, imag) compounds, as Julia writes them."""

    def rewrite(file: h5py.File) -> None:
        rows = file["dataset/data"][:]
        pair = np.dtype([("real", "<f4"), ("imag", "<f4")])
        dtype = np.dtype([("head", rows.dtype["head"]), ("traj", rows.dtype["traj"]), ("data", h5py.vlen_dtype(pair))])
        made = np.zeros(len(rows), dtype)
        for number, row in enumerate(rows):
            values = np.zeros(len(row["data"]) // 2, pair)
            values["real"], values["imag"] = row["data"][::2], row["data"][1::2]
            made[number] = (row["head"], row["traj"], values)
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=made, dtype=dtype)

    scan.rewrite = rewrite


@situation("K8", ACCELERATED)
def time_stamps_of_zero(scan: Scan) -> None:
    """No time stamps, no scan counters, version 0."""
    for line in scan.lines:
        line.acquisition_time_stamp = line.scan_counter = line.version = 0


@situation("K8", ACCELERATED)
def an_empty_encoding_in_front(scan: Scan) -> None:
    """The first encoding has sizes of 0, and no line refers to it."""
    sizes = "<x>0</x><y>0</y><z>0</z>"
    empty = f"<encodedSpace><matrixSize>{sizes}</matrixSize><fieldOfView_mm>{sizes}</fieldOfView_mm></encodedSpace>"
    scan.header = xsd.ToXML(scan.header).replace("<encoding>", f"<encoding>{empty}</encoding><encoding>", 1)
    for line in scan.lines:
        line.encoding_space_ref = 1
