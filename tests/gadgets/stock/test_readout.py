import ismrmrd
import numpy as np
import pytest

from nilatron.core import fft
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.stock.readout import AsymmetricEchoAdjustROGadget, RemoveROOversamplingGadget


@pytest.fixture
def samples():
    rng = np.random.default_rng(2)
    return (rng.standard_normal((3, 64)) + 1j * rng.standard_normal((3, 64))).astype(np.complex64)


@pytest.mark.parametrize(("first", "last"), [(16, 64), (0, 48), (10, 60)])
def test_a_short_echo_is_padded_to_its_place(samples, scan_header, make_line, first, last):
    context = Context(scan_header((64, 8, 1)))
    (line,) = AsymmetricEchoAdjustROGadget()([make_line(samples[:, first:last], echo=32 - first)], context)
    expected = np.zeros_like(samples)
    expected[:, first:last] = samples[:, first:last]
    np.testing.assert_array_equal(line.data, expected)
    assert (line.number_of_samples, line.center_sample) == (64, 32)
    assert (line.discard_pre, line.discard_post) == (first, 64 - last)


def test_centred_full_unset_and_noise_lines_stay(samples, scan_header, make_line):
    context = Context(scan_header((64, 8, 1)))
    items = [
        make_line(samples[:, :48]),
        make_line(samples, echo=20),
        make_line(samples[:, :48], echo=0),
        make_line(samples[:, :48], ismrmrd.ACQ_IS_NOISE_MEASUREMENT, echo=10),
        ismrmrd.Waveform(),
    ]
    assert [a is b for a, b in zip(AsymmetricEchoAdjustROGadget()(items, context), items, strict=True)] == [True] * 5


@pytest.mark.parametrize(("n_encoded", "n_recon"), [(64, 32), (64, 64), (66, 33), (63, 21)])
def test_oversampling_removal_crops_the_image_and_keeps_the_noise(scan_header, make_line, n_encoded, n_recon):
    rng = np.random.default_rng(3)
    profile = (rng.standard_normal((2, n_encoded)) + 1j * rng.standard_normal((2, n_encoded))).astype(np.complex64)
    line = make_line(fft.fft(profile, axes=(-1,)), discard=(n_encoded // 4, 0))
    (cropped,) = RemoveROOversamplingGadget()([line], Context(scan_header((n_encoded, 8, 1), (n_recon, 8, 1))))
    start = n_encoded // 2 - n_recon // 2
    np.testing.assert_allclose(fft.ifft(cropped.data, axes=(-1,)), profile[:, start : start + n_recon], atol=1e-5)
    assert cropped.number_of_samples == n_recon
    assert cropped.discard_pre == int(n_encoded // 4 * n_recon / n_encoded)
    assert line.number_of_samples == n_encoded


def test_without_oversampling_the_line_itself_passes(samples, scan_header, make_line):
    line = make_line(samples)
    (passed,) = RemoveROOversamplingGadget()([line], Context(scan_header((64, 8, 1))))
    assert passed is line


def test_a_trajectory_keeps_its_length_in_step(samples, scan_header):
    trajectory = np.linspace(-0.5, 0.5, 64, endpoint=False, dtype=np.float32)[:, None]
    line = ismrmrd.Acquisition.from_array(samples, trajectory)
    (cropped,) = RemoveROOversamplingGadget()([line], Context(scan_header((64, 8, 1), (32, 8, 1))))
    np.testing.assert_allclose(cropped.traj, trajectory[::2])
    assert ismrmrd.Acquisition.from_bytes(cropped.to_bytes()).to_bytes() == cropped.to_bytes()


def test_a_smaller_encoded_field_of_view_is_an_error(samples, scan_header, make_line):
    with pytest.raises(ScanError, match="expected a ratio of 1 or more"):
        list(RemoveROOversamplingGadget()([make_line(samples)], Context(scan_header((32, 8, 1), (64, 8, 1)))))


def test_an_encoding_that_the_header_lacks_is_an_error(samples, scan_header, make_line):
    line = make_line(samples)
    line.encoding_space_ref = 3
    with pytest.raises(ScanError, match="encoding space 3"):
        list(AsymmetricEchoAdjustROGadget()([line], Context(scan_header((64, 8, 1)))))


@pytest.mark.parametrize(("encoded_mm", "recon_mm", "kept"), [(300.3, 100.1, 128), (300.6, 100.2, 127)])
def test_the_samples_that_stay_are_counted_in_single_precision(scan_header, make_line, encoded_mm, recon_mm, kept):
    """As the gadget of that name counts them, whose ratio of fields of view is a float."""
    header = scan_header((384, 8, 1), (128, 8, 1))
    encoding = header.encoding[0]
    encoding.encodedSpace.fieldOfView_mm.x, encoding.reconSpace.fieldOfView_mm.x = encoded_mm, recon_mm
    (cropped,) = RemoveROOversamplingGadget()([make_line(np.ones((1, 384)))], Context(header))
    assert cropped.number_of_samples == kept
