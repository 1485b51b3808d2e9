import ismrmrd
import numpy as np
import pytest

from nilatron.core.fft import fft, ifft
from nilatron.gadgets.encoding import encoding_of
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.oversampling import without_oversampling
from nilatron.gadgets.placement import grid_width, readout_of


def prepare(header, *lines):
    """Lines as the grid takes them."""
    context = Context(header)
    for line in lines:
        encoding, readout = encoding_of(header, line.encoding_space_ref), readout_of(line)
        yield without_oversampling(readout, encoding, grid_width(readout, encoding), context.log)


@pytest.fixture
def profile(rng):
    """Readout (coil, sample) of an object inside the middle 24 of 48 pixels."""
    image = np.zeros((3, 48), np.complex64)
    image[:, 12:36] = rng.standard_normal((3, 24)) + 1j * rng.standard_normal((3, 24))
    return image


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_oversampling_is_cropped_in_the_image(scan_header, make_line, profile):
    header = scan_header((48, 16, 1), (24, 16, 1))
    (line,) = prepare(header, make_line(fft(profile, axes=(-1,))))
    np.testing.assert_allclose(ifft(line.samples, axes=(-1,)), profile[:, 12:36], atol=1e-5)
    assert (line.n_samples, line.echo) == (24, 12)
    assert (line.pre, line.post) == (0, 0)


def test_white_noise_stays_white_with_the_same_variance(scan_header, make_line, rng):
    header = scan_header((512, 16, 1), (256, 16, 1))
    noise = rng.standard_normal((64, 512)) + 1j * rng.standard_normal((64, 512))
    (line,) = prepare(header, make_line(noise))
    assert np.mean(np.abs(line.samples) ** 2) == pytest.approx(2.0, rel=0.03)
    neighbours = np.mean(line.samples[:, 1:] * line.samples[:, :-1].conj())
    assert abs(neighbours) < 0.05


def test_prepared_line_passes_unchanged(scan_header, make_line, rng):
    header = scan_header((48, 16, 1), (24, 16, 1))
    samples = rng.standard_normal((3, 24)).astype(np.complex64)
    (line,) = prepare(header, make_line(samples))
    np.testing.assert_array_equal(line.samples, samples)


def test_asymmetric_echo_is_completed_and_the_gap_is_marked(scan_header, make_line, profile):
    header = scan_header((48, 16, 1), (48, 16, 1))
    kspace = fft(profile, axes=(-1,)).astype(np.complex64)
    (line,) = prepare(header, make_line(kspace[:, 10:], echo=14))
    np.testing.assert_array_equal(line.samples[:, 10:], kspace[:, 10:])
    assert not line.samples[:, :10].any()
    assert (line.pre, line.post, line.echo) == (10, 0, 24)


@pytest.mark.parametrize(("measured", "echo", "discard"), [(slice(10, 48), 14, (7, 0)), (slice(38), 24, (0, 7))])
def test_what_rings_beside_a_gap_does_not_count(scan_header, make_line, rng, measured, echo, discard):
    """Of 10 unmeasured samples of 48 that become 24, 5 do not count, nor the 2 beside them that the cropping spoils."""
    header, place = scan_header((48, 16, 1), (24, 16, 1)), np.arange(48) - 24
    image = np.exp(-((place / 6) ** 2)) * (rng.standard_normal((50, 48)) + 1j * rng.standard_normal((50, 48)))
    kspace = fft(image, axes=(-1,)) * np.exp(-np.abs(place) / 6)
    (whole,) = prepare(header, make_line(kspace))
    (line,) = prepare(header, make_line(kspace[:, measured], echo=echo))
    assert (line.pre, line.post) == discard
    error = np.sqrt(np.mean(np.abs(line.samples - whole.samples) ** 2, axis=0))
    from_gap = error if discard[0] else error[::-1]
    assert from_gap[7:12].max() < 0.5 * from_gap[5:7].max()


def test_reversed_readout_is_turned_around(scan_header, make_line, profile):
    header = scan_header((48, 16, 1), (24, 16, 1))
    kspace = fft(profile, axes=(-1,))
    (forward,) = prepare(header, make_line(kspace))
    given = make_line(kspace[:, ::-1], ismrmrd.ACQ_IS_REVERSE, echo=23)
    (line,) = prepare(header, given)
    np.testing.assert_array_equal(line.samples, forward.samples)
    assert given.is_flag_set(ismrmrd.ACQ_IS_REVERSE)


@pytest.mark.parametrize(("echo", "reverse"), [(24, True), (22, True), (22, False), (27, False)])
def test_an_echo_beside_the_middle_is_brought_there(scan_header, make_line, profile, echo, reverse):
    """A line of 48 samples of which some lie off the grid, so that as many at its other end are missing."""
    header = scan_header((48, 16, 1), (48, 16, 1))
    kspace = fft(np.pad(profile, ((0, 0), (24, 24))), axes=(-1,)).astype(np.complex64)[:, ::2]  # of a wider grid
    kspace = np.pad(kspace, ((0, 0), (8, 8)))
    shift = 24 - (47 - echo if reverse else echo)
    samples = kspace[:, 8 + shift : 56 + shift]
    flags = [ismrmrd.ACQ_IS_REVERSE] if reverse else []
    (line,) = prepare(header, make_line(samples[:, ::-1] if reverse else samples, *flags, echo=echo))
    measured = slice(max(shift, 0), 48 + min(shift, 0))
    np.testing.assert_array_equal(line.samples[:, measured], kspace[:, 8:56][:, measured])
    assert (line.pre, line.post) == (max(shift, 0), max(-shift, 0))
    assert np.abs(line.samples[:, 24]).sum() == np.abs(kspace[:, 32]).sum() > 0


@pytest.mark.parametrize(("n_samples", "echo"), [(60, 30), (40, 3), (40, 39)])
def test_lines_that_do_not_fit(scan_header, make_line, n_samples, echo):
    header = scan_header((48, 16, 1), (24, 16, 1))
    with pytest.raises(ScanError, match=f"line 0.* {n_samples} samples"):
        list(prepare(header, make_line(np.ones((3, n_samples)), echo=echo)))


def test_unknown_encoding_space(scan_header, make_line):
    line = make_line(np.ones((3, 48)))
    line.encoding_space_ref = 2
    with pytest.raises(ScanError, match="encoding space 2, but the header describes 1"):
        list(prepare(scan_header((48, 16, 1)), line))
