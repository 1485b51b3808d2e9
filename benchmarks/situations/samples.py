"""K1 and K2: how the samples of a line were measured, and which of them count."""

from __future__ import annotations

from dataclasses import replace

import ismrmrd
import ismrmrd.xsd as xsd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.fft import fft, ifft
from situations.scan import (
    ACCELERATED,
    CALIBRATION,
    NOISE,
    PLAIN,
    SEPARATE,
    Scan,
    clear_ends,
    copied,
    plain,
    replaced,
    situation,
    with_data,
)

ONE_ECHO = replace(PLAIN, n_coils=6)
RAMP_US, FLAT_US, DWELL_US = 160.0, 800.0, 5.0


def crop(line: ComplexArray, n: int) -> ComplexArray:
    """Crop the field of view of a line (coil, x) to n pixels: the readout without oversampling."""
    image, start = ifft(line, axes=(-1,)), (line.shape[-1] - n) // 2
    cropped: ComplexArray = fft(image[:, start : start + n], axes=(-1,))
    return cropped


@situation("K2", ACCELERATED, "PTB-MR/mrpro#98")
def samples_to_discard(scan: Scan) -> None:
    """Seven samples in front and five behind that do not count, of nonsense."""

    def longer(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        padded = np.pad(line.data, ((0, 0), (7, 5)), constant_values=9)
        made = with_data(line, padded, line.center_sample + 7)
        made.discard_pre, made.discard_post = 7, 5
        return made

    replaced(scan, longer)


@situation("K2", ACCELERATED)
def lines_without_oversampling(scan: Scan) -> None:
    """Oversampling was removed, encodedSpace still has it."""
    n = PLAIN.matrix[0]
    replaced(scan, lambda line: with_data(line, crop(line.data, n), n // 2))


@situation("K2", ACCELERATED, right="told")
def reference_alone_without_oversampling(scan: Scan) -> None:
    """Oversampling was removed from the calibration lines alone; they are lines of the image, too."""
    n = PLAIN.matrix[0]
    marked = {id(line): with_data(line, crop(line.data, n), n // 2) for line in scan.of(CALIBRATION)}
    scan.lines = [marked.get(id(line), line) for line in scan.lines]


@situation("K2", SEPARATE, "ismrmrd/siemens_to_ismrmrd#32")
def reference_as_wide_as_the_image(scan: Scan) -> None:
    """A separate reference of as many samples as the image is wide, over the whole field of view."""
    n = PLAIN.matrix[0]
    marked = {id(line): with_data(line, line.data[:, n // 2 : -n // 2], n // 2) for line in scan.of(CALIBRATION)}
    scan.lines = [marked.get(id(line), line) for line in scan.lines]


@situation("K2", replace(ACCELERATED, asymmetric_echo=0.7))
def echo_without_its_centre_sample(scan: Scan) -> None:
    """An asymmetric echo whose center_sample was left at 0; the data show where it is."""
    for line in scan.imaging:
        line.center_sample = 0


@situation("K2", ACCELERATED)
def centre_sample_of_zero(scan: Scan) -> None:
    """Whole lines whose center_sample was never set."""
    for line in scan.imaging:
        line.center_sample = 0


@situation("K2", ACCELERATED, right="told")
def echo_padded_in_front(scan: Scan) -> None:
    """Lines of 10 samples more in front, with the centre where it belongs, longer than encodedSpace."""
    replaced(scan, lambda line: with_data(line, np.pad(line.data, ((0, 0), (10, 0))), line.center_sample + 10))


@situation("K2", ACCELERATED)
def lines_read_backwards(scan: Scan) -> None:
    """Every other line in the order of time, flagged as reversed, with its own centre."""
    for number, line in enumerate(scan.imaging):
        if number % 2:
            line.data[:] = line.data[:, ::-1].copy()
            line.center_sample = line.number_of_samples - 1 - line.center_sample
            line.set_flag(ismrmrd.ACQ_IS_REVERSE)


@situation("K1", replace(ACCELERATED, matrix=(96, 96, 1)), right="told")
def lines_read_backwards_without_a_flag(scan: Scan) -> None:
    """Every other line is backwards and nothing says so."""
    for number, line in enumerate(scan.imaging):
        if number % 2:
            line.data[:] = line.data[:, ::-1].copy()


@situation("K1", PLAIN, "gadgetron/gadgetron#133", right="told")
def odd_and_even_lines_of_unlike_phase(scan: Scan) -> None:
    """Lines of both directions with a shift of 0.4 samples and 0.3 rad between them, no navigators."""
    k = np.arange(2 * PLAIN.matrix[0])
    for number, line in enumerate(scan.imaging):
        if number % 2:
            line.data[:] = fft(ifft(line.data, axes=(-1,)) * np.exp(0.3j + 0.8j * np.pi * k / k.size), axes=(-1,))
            line.data[:] = line.data[:, ::-1].copy()
            line.center_sample = line.number_of_samples - 1 - line.center_sample
            line.set_flag(ismrmrd.ACQ_IS_REVERSE)


def navigators(scan: Scan) -> None:
    """Put three lines without phase encoding in front, forwards, backwards, forwards."""
    middle = next(line for line in scan.imaging if line.idx.kspace_encode_step_1 == PLAIN.matrix[1] // 2)
    made = []
    for number in range(3):
        line = copied(middle)
        line.set_flag(ismrmrd.ACQ_IS_PHASECORR_DATA)
        line.idx.segment = number % 2
        made.append(line)
    clear_ends(made)
    scan.lines = [*scan.of(NOISE), *made, *scan.imaging]


@situation("K1", PLAIN, "PTB-MR/mrpro#972")
def odd_and_even_lines_with_navigators(scan: Scan) -> None:
    """Lines of both directions with a shift and a phase between them, and navigators that show these."""
    navigators(scan)
    k = np.arange(2 * PLAIN.matrix[0])
    lines = scan.imaging
    for number, line in enumerate(lines):
        backwards = number % 2 == 1 if number < 3 else (number - 3) % 2 == 1
        if backwards:
            line.data[:] = fft(ifft(line.data, axes=(-1,)) * np.exp(0.3j + 0.8j * np.pi * k / k.size), axes=(-1,))
            line.data[:] = line.data[:, ::-1].copy()
            line.center_sample = line.number_of_samples - 1 - line.center_sample
            line.set_flag(ismrmrd.ACQ_IS_REVERSE)
    scan.encoding.trajectory = xsd.trajectoryType.EPI
    describe(scan)


def ramp_positions(n_samples: int, n_x: int) -> np.ndarray:
    """Position of each sample (grid steps) under a trapezoid, its middle in the middle of the readout."""
    total = 2 * RAMP_US + FLAT_US
    t = (np.arange(n_samples) + 0.5) * DWELL_US + (total - n_samples * DWELL_US) / 2
    fine = np.linspace(0, total, 20001)
    gradient = np.clip(np.minimum(fine, total - fine) / RAMP_US, 0, 1)
    area = np.concatenate([[0], np.cumsum((gradient[1:] + gradient[:-1]) / 2)])
    first, last = np.interp([t[0] - DWELL_US / 2, t[-1] + DWELL_US / 2], fine, area)
    return np.asarray((np.interp(t, fine, area) - area[-1] / 2) * n_x / (last - first))


def on_ramps(scan: Scan, *, described: bool) -> None:
    """Sample every line on the ramps of its gradient, too."""
    n_x = 2 * PLAIN.matrix[0]
    n_samples = int((2 * RAMP_US + FLAT_US) / DWELL_US) - 8
    k, x = ramp_positions(n_samples, n_x), np.arange(n_x) - n_x // 2
    matrix = np.exp(-2j * np.pi * np.outer(x, k) / n_x) / np.sqrt(n_x)
    clean = {key_of(line): line.data for line in plain(replace(ACCELERATED, noise_std=1e-6)).imaging}
    root, rng = np.linalg.cholesky(ACCELERATED.noise_covariance), np.random.default_rng(1)

    def sampled(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        noise = root @ rng.standard_normal((len(root), n_samples, 2)).view(complex)[..., 0] / np.sqrt(2)
        return with_data(line, ifft(clean[key_of(line)], axes=(-1,)) @ matrix + noise, n_samples // 2)

    replaced(scan, sampled)
    scan.encoding.trajectory = xsd.trajectoryType.EPI
    if described:
        times = {"rampUpTime": RAMP_US, "rampDownTime": RAMP_US, "flatTopTime": FLAT_US}
        times["acqDelayTime"] = (2 * RAMP_US + FLAT_US - n_samples * DWELL_US) / 2
        describe(scan, numSamples=n_samples, **times)


def key_of(line: ismrmrd.Acquisition) -> int:
    """Encoding step along y."""
    return int(line.idx.kspace_encode_step_1)


def describe(scan: Scan, **numbers: float) -> None:
    """State how an echo-planar readout was sampled."""
    whole = {"etl": PLAIN.matrix[1], "numberOfNavigators": 3, **numbers}
    scan.encoding.trajectoryDescription = xsd.trajectoryDescriptionType(
        identifier="ConventionalEPI",
        userParameterLong=[xsd.userParameterLongType(name=name, value=int(value)) for name, value in whole.items()],
        userParameterDouble=[xsd.userParameterDoubleType(name="dwellTime", value=DWELL_US)],
    )


@situation("K1", ACCELERATED, "gadgetron/gadgetron#133")
def samples_on_the_ramps(scan: Scan) -> None:
    """Lines sampled on the ramps, which trajectoryDescription states."""
    on_ramps(scan, described=True)


@situation("K1", ACCELERATED, right="told")
def samples_on_ramps_that_nothing_states(scan: Scan) -> None:
    """The same without a trajectoryDescription."""
    on_ramps(scan, described=False)


@situation("K1", PLAIN, right="refused")
def simultaneous_slices(scan: Scan) -> None:
    """The header states a multiband factor of 2."""
    multiband = xsd.multibandType(
        spacing=[xsd.multibandSpacingType(dZ=[0.0, 30.0])],
        deltaKz=1.0,
        multiband_factor=2,
        calibration=xsd.multibandCalibrationType("full3D"),
        calibration_encoding=0,
    )
    scan.encoding.parallelImaging = xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=1, kspace_encoding_step_2=1),
        multiband=multiband,
    )


@situation("K1", PLAIN, right="refused")
def radial(scan: Scan) -> None:
    """The header's trajectory is radial."""
    scan.encoding.trajectory = xsd.trajectoryType.RADIAL


@situation("K1", PLAIN, right="refused")
def spokes_under_a_cartesian_header(scan: Scan) -> None:
    """The header says cartesian, the lines bring the trajectory of spokes."""
    n = scan.imaging[0].number_of_samples

    def spoke(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        angle = np.pi * line.idx.kspace_encode_step_1 / PLAIN.matrix[1]
        radius = (np.arange(n) - n // 2) / n
        path = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
        head = line.getHead()
        head.trajectory_dimensions = 2
        return ismrmrd.Acquisition(head, line.data, path)

    replaced(scan, spoke)
