"""The ISMRMRD header of a simulated scan."""

from __future__ import annotations

import ismrmrd.xsd as xsd

from nilatron.pipelines.simulation.settings import SimulationSettings


def simulated_header(settings: SimulationSettings) -> xsd.ismrmrdHeader:
    """Describe the scan; without a version, as servers refuse headers of another version than their own."""
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=127_740_000),
        # stock whitening fails without a patient ID
        subjectInformation=xsd.subjectInformationType(patientID="phantom"),
        measurementInformation=xsd.measurementInformationType(
            measurementID="1", protocolName="simulation", patientPosition=xsd.patientPositionType.HFS
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="nilatron simulate",
            systemFieldStrength_T=3.0,
            relativeReceiverNoiseBandwidth=settings.noise_bandwidth,
            receiverChannels=settings.n_coils,
        ),
    )
    encoding = xsd.encodingType(
        encodedSpace=_space(settings.encoded_matrix, settings.encoded_fov_mm),
        reconSpace=_space(settings.recon_matrix_xyz, settings.recon_fov_xyz_mm),
        trajectory=xsd.trajectoryType.CARTESIAN,
        encodingLimits=_limits(settings),
    )
    if settings.is_accelerated:
        encoding.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=settings.acceleration, kspace_encoding_step_2=settings.acceleration_z
            ),
            calibrationMode=xsd.calibrationModeType(
                "other" if settings.calibration == "none" else settings.calibration
            ),
        )
    header.encoding = [encoding]
    if settings.waveform_every:
        header.waveformInformation = [
            xsd.waveformInformationType(
                waveformName="ECG",
                waveformType=xsd.waveformInformationTypeWaveformType.ECG,
                userParameters=xsd.userParametersType(),
            )
        ]
    return header


def _space(matrix: tuple[int, int, int], fov_mm: tuple[float, float, float]) -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(**dict(zip("xyz", matrix, strict=True))),
        fieldOfView_mm=xsd.fieldOfViewMm(**dict(zip("xyz", map(float, fov_mm), strict=True))),
    )


def _limits(settings: SimulationSettings) -> xsd.encodingLimitsType:
    def limit(n: int, center: int = 0) -> xsd.limitType:
        return xsd.limitType(minimum=0, maximum=n - 1, center=center)

    n_x, n_y, n_z = settings.encoded_matrix
    return xsd.encodingLimitsType(
        kspace_encoding_step_0=limit(n_x, n_x // 2),
        kspace_encoding_step_1=limit(n_y - settings.first_line, n_y // 2 - settings.first_line),
        kspace_encoding_step_2=limit(n_z, n_z // 2),
        slice=limit(settings.n_slices),
        average=limit(settings.n_averages),
        contrast=limit(settings.n_contrasts),
        repetition=limit(settings.n_repetitions),
        phase=limit(1),
        set=limit(1),
        segment=limit(1),
    )
