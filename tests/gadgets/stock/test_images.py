import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS


@pytest.fixture
def context():
    return Context(header=None)


def image_of(pixels, image_type=ismrmrd.IMTYPE_MAGNITUDE, **meta):
    image = ismrmrd.Image.from_array(np.asarray(pixels)[None, None])
    image.image_type, image.image_series_index, image.slice = image_type, 2, 7
    image.meta = {"role": "nila", **meta}
    return image


def through(name, image, context, **properties):
    return list(STOCK_GADGETS[name](properties)([image], context))


COMPLEX = np.array([[3 + 4j, -2j]], dtype=np.complex64)


@pytest.mark.parametrize(
    ("image_type", "expected"),
    [
        (ismrmrd.IMTYPE_MAGNITUDE, [5, 2]),
        (ismrmrd.IMTYPE_PHASE, [np.arctan2(4, 3), -np.pi / 2]),
        (ismrmrd.IMTYPE_REAL, [3, 0]),
        (ismrmrd.IMTYPE_IMAG, [4, -2]),
        (ismrmrd.IMTYPE_COMPLEX, [5, 2]),
        (0, [5, 2]),
    ],
)
def test_complex_to_float_goes_by_image_type(context, image_type, expected):
    source = image_of(COMPLEX, image_type)
    (made,) = through("ComplexToFloatGadget", source, context)
    assert made.data.dtype == np.float32
    np.testing.assert_allclose(made.data.ravel(), expected, rtol=1e-6)
    assert made.image_type == (image_type if image_type in (1, 2, 3, 4) else ismrmrd.IMTYPE_MAGNITUDE)
    assert (made.slice, made.image_series_index, made.meta["role"]) == (7, 2, "nila")
    assert source.data.dtype == np.complex64


def test_extract_sends_each_wanted_part_in_its_own_series(context):
    made = through(
        "ExtractGadget", image_of(COMPLEX), context, extract_real="true", extract_phase="1", real_imag_offset="10"
    )
    assert [(image.image_series_index, image.image_type) for image in made] == [(2, 1), (3002, 2), (1002, 3)]
    np.testing.assert_allclose(made[2].data.ravel(), [13, 10])


def test_extracted_phase_runs_from_0_to_2_pi(context):
    pixels = np.array([[1, 1j, -1, -1j, -1 - 1e-6j]], dtype=np.complex64)
    made = through("ExtractGadget", image_of(pixels), context, extract_magnitude="false", extract_phase="true")
    np.testing.assert_allclose(made[0].data.ravel(), np.pi * np.array([1, 1.5, 2, 0.5, 0]), atol=2e-6)


@pytest.mark.parametrize(("mask", "types"), [("4", [1, 4]), ("8", [1, 2]), ("15", [1, 2, 3, 4]), ("1", [1])])
def test_the_older_mask_adds_to_the_switches(context, mask, types):
    made = through("ExtractGadget", image_of(COMPLEX), context, extract_mask=mask)
    assert [image.image_type for image in made] == types


def test_the_older_mask_alone(context):
    made = through("ExtractGadget", image_of(COMPLEX), context, extract_mask="4", extract_magnitude="false")
    assert [image.image_type for image in made] == [ismrmrd.IMTYPE_IMAG]


def test_auto_scale_brings_the_99th_percentile_to_the_maximum(context):
    pixels = np.random.default_rng(0).uniform(0, 50, (100, 100)).astype(np.float32)
    pixels[0, 0] = 5000  # one hot pixel in 10,000 decides nothing but the width of the bins
    (made,) = through("AutoScaleGadget", image_of(pixels), context, max_value="1000", histogram_bins="10000")
    assert np.percentile(made.data, 99) == pytest.approx(1000, rel=0.03)


def test_auto_scale_leaves_phase_and_empty_images(context):
    for image in (image_of(np.ones((2, 2), np.float32), ismrmrd.IMTYPE_PHASE), image_of(np.zeros((2, 2), np.float32))):
        assert through("AutoScaleGadget", image, context) == [image]


def test_to_unsigned_short_rounds_clips_and_counts(context):
    pixels = np.array([[-3.6, 0.4, 40000.0, np.nan]], dtype=np.float32)
    (made,) = through(
        "FloatToUShortGadget", image_of(pixels), context, max_intensity="32767", min_intensity="0", intensity_offset="0"
    )
    assert made.data.dtype == np.uint16
    np.testing.assert_array_equal(made.data.ravel(), [4, 0, 32767, 0])
    assert context.log.counts["saturated pixels"] == 1
    assert context.log.counts["non-finite pixels"] == 1


def test_phase_covers_the_range_around_the_offset(context):
    pixels = np.array([[-np.pi, 0, np.pi / 2]], dtype=np.float32)
    (made,) = through("FloatToUShortGadget", image_of(pixels, ismrmrd.IMTYPE_PHASE), context)
    np.testing.assert_array_equal(made.data.ravel(), [0, 2048, 3072])


def test_to_short_keeps_the_sign_of_real_images_and_shifts_their_window(context):
    image = image_of(np.array([[-7.4, 8.6]], dtype=np.float32), ismrmrd.IMTYPE_REAL, GADGETRON_WindowCenter="5")
    (made,) = through("FloatToShortGadget", image, context, intensity_offset="3")
    assert made.data.dtype == np.int16
    np.testing.assert_array_equal(made.data.ravel(), [-4, 12])
    assert made.meta["GADGETRON_WindowCenter"] == "8"


@pytest.mark.parametrize("image_type", [ismrmrd.IMTYPE_REAL, ismrmrd.IMTYPE_IMAG])
def test_to_unsigned_short_shifts_real_and_imaginary_parts(context, image_type):
    image = image_of(np.array([[-3000, -2, 0, 1.5, 2.5, 3000]], dtype=np.float32), image_type)
    (made,) = through("FloatToUShortGadget", image, context)
    np.testing.assert_array_equal(made.data.ravel(), [0, 2046, 2048, 2050, 2051, 4095])


def test_halves_are_rounded_away_from_zero(context):
    image = image_of(np.array([[-2.5, -1.5, 1.5, 2.5]], dtype=np.float32), ismrmrd.IMTYPE_REAL)
    (made,) = through("FloatToShortGadget", image, context)
    np.testing.assert_array_equal(made.data.ravel(), [-3, -2, 2, 3])


@pytest.mark.parametrize("name", ["FloatToUShortGadget", "FloatToShortGadget"])
@pytest.mark.parametrize("image_type", [0, ismrmrd.IMTYPE_COMPLEX])
def test_to_integers_refuses_images_of_unset_type(context, name, image_type):
    with pytest.raises(ScanError, match=f"{name}: an image of type {image_type}; expected magnitude"):
        through(name, image_of(np.ones((1, 1), np.float32), image_type), context)


@pytest.mark.parametrize("name", ["FloatToUShortGadget", "AutoScaleGadget", "ImageFinishGadget"])
def test_items_of_other_types_pass_unchanged(context, name):
    for item in (image_of(COMPLEX), "text", ismrmrd.Waveform()):
        assert list(STOCK_GADGETS[name]({})([item], context)) == [item]


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("FloatToUShortGadget", {"max_intensity": "70000"}),
        ("FloatToShortGadget", {"min_intensity": "5", "max_intensity": "5"}),
        ("AutoScaleGadget", {"max_value": "0"}),
        ("ExtractGadget", {"extract_mask": "16"}),
        ("ExtractGadget", {"extract_magnitude": "false"}),
        ("ComplexToFloatGadget", {"max_value": "0"}),
    ],
)
def test_wrong_properties_are_errors_that_name_the_gadget(name, properties):
    with pytest.raises(SettingsError, match=name):
        STOCK_GADGETS[name](properties)
