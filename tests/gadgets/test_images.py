from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.images import ImageMaker, ImageSettings, scale_of
from nilatron.gadgets.items import Context, KSpaceSlice, Reconstruction
from nilatron.gadgets.numbering import place_of


@pytest.fixture
def source(scan_header):
    """A slice whose header has a value of its own in every field that an image takes over."""
    header = scan_header((48, 32, 1), (24, 20, 1))
    line = ismrmrd.Acquisition()
    line.measurement_uid, line.scan_counter, line.acquisition_time_stamp = 5, 6, 7000
    line.position[:], line.patient_table_position[:] = (1.0, -2.0, 3.0), (4.0, 5.0, 6.0)
    line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = (0.6, 0.8, 0.0), (-0.8, 0.6, 0.0), (0.0, 0.0, 1.0)
    line.physiology_time_stamp[:], line.user_int[:] = (11, 12, 13), range(8)
    line.user_float[:] = [0.5 * i for i in range(8)]
    names = ("average", "slice", "contrast", "phase", "repetition", "set")
    for value, name in enumerate(names, start=1):
        setattr(line.idx, name, value)
    shape = (1, 32, 24)
    return KSpaceSlice(
        np.zeros((2, *shape), np.complex64), np.ones(shape, np.float32), None, line.getHead(), header.encoding[0]
    )


def reconstruction(source, value=3 - 4j, role="main", **provenance):
    image = np.full(source.counts.shape, value, np.complex64)
    return Reconstruction(image, role, source, {"target": "nila", "sigma_used": "1", **provenance})


def make(*items, **settings):
    context = Context(None)
    return list(ImageMaker(ImageSettings(**settings))(items, context)), context.log


def test_geometry_and_indices_are_those_of_the_central_line(source):
    (image,), _ = make(reconstruction(source))
    head = source.head
    names = "measurement_uid acquisition_time_stamp position read_dir phase_dir slice_dir patient_table_position"
    for name in (*names.split(), "physiology_time_stamp", "user_int", "user_float"):
        found, expected = getattr(image, name), getattr(head, name)
        assert (tuple(found) == tuple(expected)) if hasattr(found, "__len__") else (found == expected), name
    for value, name in enumerate(("average", "slice", "contrast", "phase", "repetition", "set"), start=1):
        assert getattr(image, name) == value


def test_matrix_and_field_of_view_are_those_of_the_recon_space(source):
    (image,), _ = make(reconstruction(source))
    assert image.data.shape == (1, 1, 20, 24)
    assert tuple(image.getHead().matrix_size) == (24, 20, 1)
    assert tuple(image.field_of_view) == (48.0, 40.0, 2.0)
    assert image.channels == 1


def test_recon_matrix_of_another_resolution_keeps_the_intensity(source):
    encoding = source.encoding
    encoding.reconSpace.matrixSize.x, encoding.reconSpace.matrixSize.y = 48, 40
    (image,), _ = make(reconstruction(source))
    assert image.data.shape == (1, 1, 40, 48)
    np.testing.assert_allclose(image.data, 5, rtol=1e-4)


def test_what_lies_at_a_place_in_mm_stays_there(source):
    """The slice has 24 of 48 readout samples, 48 of 96 mm; the image cuts 40 of 64 mm out along y, with smaller pixels."""
    recon = source.encoding.reconSpace
    recon.matrixSize.x, recon.matrixSize.y = 40, 50

    def spot(shape, pixel_mm):
        y, x = (step * (np.arange(n) - n // 2) for n, step in zip(shape, pixel_mm, strict=True))
        return np.exp(-(((y[:, None] - 7) / 5) ** 2) - ((x + 9) / 5) ** 2)

    on_slice = replace(reconstruction(source), image=spot((32, 24), (2.0, 2.0))[None].astype(np.complex64))
    (image,), _ = make(on_slice)
    pixel_mm = np.divide(image.field_of_view, image.getHead().matrix_size)
    np.testing.assert_allclose(pixel_mm, (1.2, 0.8, 2.0), rtol=1e-6)
    np.testing.assert_allclose(image.data[0, 0], spot((50, 40), pixel_mm[1::-1]), atol=0.01)


def test_series_and_indices_are_unique(source):
    items = [reconstruction(source, role=role) for _ in range(3) for role in ("main", "conventional", "uncertainty")]
    images, _ = make(*items)
    assert [image.image_series_index for image in images[:3]] == [1, 2, 101]
    assert len({(image.image_series_index, image.image_index) for image in images}) == len(images)
    first = place_of(source.head, None)
    assert [image.image_index for image in images[::3]] == [first, first + 1, first + 2]


@pytest.mark.parametrize(
    ("pixel_type", "dtype", "image_type", "value"),
    [
        ("float32", np.float32, ismrmrd.IMTYPE_MAGNITUDE, 5),
        ("uint16", np.uint16, ismrmrd.IMTYPE_MAGNITUDE, 5),
        ("int16", np.int16, ismrmrd.IMTYPE_MAGNITUDE, 5),
        ("complex64", np.complex64, ismrmrd.IMTYPE_COMPLEX, 3 - 4j),
    ],
)
def test_pixel_types(source, pixel_type, dtype, image_type, value):
    (image,), log = make(reconstruction(source), pixel_type=pixel_type)
    assert image.data.dtype == dtype
    assert image.image_type == image_type
    np.testing.assert_allclose(image.data, value, rtol=1e-5)
    assert log.problems == []


def test_integers_are_scaled_and_rounded(source):
    (image,), _ = make(reconstruction(source, 0.26), pixel_type="int16", image_scale=10.0)
    assert np.unique(image.data).tolist() == [3]
    assert image.meta["GADGETRON_ScaleRatio"] == "10"
    assert float(image.meta["RescaleSlope"]) == pytest.approx(0.1)


def uncertainty(source, top):
    """A map of standard deviations from 0 to `top`, many of them different."""
    spread = np.linspace(0, top, source.counts.size, dtype=np.float32).reshape(source.counts.shape)
    return replace(reconstruction(source, role="uncertainty"), image=spread.astype(np.complex64))


@pytest.mark.parametrize("image_scale", [1.0, 10.0, 3.0])
@pytest.mark.parametrize("top", [1e-3, 0.9, 4.0, 32.767, 5e5])
@pytest.mark.parametrize("pixel_type", ["int16", "uint16"])
def test_an_uncertainty_map_uses_the_range_of_its_integers_and_says_their_step(source, pixel_type, top, image_scale):
    item = uncertainty(source, top)
    (exact,), _ = make(item)
    (image,), log = make(item, pixel_type=pixel_type, image_scale=image_scale)
    slope = float(image.meta["RescaleSlope"])
    assert 3000 < image.data.max() <= 32767
    assert np.abs(image.data * slope - exact.data).max() <= 0.501 * slope  # half a step, and float32's rounding
    assert len(np.unique(image.data)) >= min(200, len(np.unique(exact.data)))
    assert float(image.meta["GADGETRON_ScaleRatio"]) * slope == pytest.approx(1)
    assert np.log10(1 / slope / image_scale) == pytest.approx(round(np.log10(1 / slope / image_scale)), abs=1e-6)
    assert (log.problems, image.meta["nilatron_saturated_pixels"]) == ([], "0")
    assert int(image.meta["WindowWidth"]) == pytest.approx(image.data.max(), rel=0.02)


@pytest.mark.parametrize("pixel_type", ["float32", "complex64"])
def test_an_uncertainty_map_of_floats_has_the_scale_of_the_image(source, pixel_type):
    item = uncertainty(source, 4.0)
    (exact,), _ = make(item)
    (spread, image), _ = make(item, reconstruction(source), pixel_type=pixel_type, image_scale=10.0)
    np.testing.assert_allclose(np.abs(spread.data), 10 * exact.data, rtol=1e-6)
    assert spread.meta["RescaleSlope"] == image.meta["RescaleSlope"] == "0.1"


@pytest.mark.parametrize("top", [0.0, np.inf])
def test_an_uncertainty_map_without_a_maximum_has_the_scale_of_the_image(source, top):
    item = replace(uncertainty(source, 1.0), image=np.full(source.counts.shape, top, np.complex64))
    settings = ImageSettings(pixel_type="int16", image_scale=10.0)
    assert scale_of("uncertainty", item.image, settings) == 10.0


@pytest.mark.parametrize(("pixel_type", "top"), [("int16", 32767), ("uint16", 65535)])
def test_saturation_is_clipped_counted_and_a_problem(source, pixel_type, top):
    (image,), log = make(reconstruction(source, 1e5), pixel_type=pixel_type)
    assert np.unique(image.data).tolist() == [top]
    assert image.meta["nilatron_saturated_pixels"] == str(20 * 24)
    assert "480 pixels saturated, lower image_scale" in log.problems[0]


def test_metadata_in_both_families(source):
    (image,), _ = make(reconstruction(source.with_note("a warning"), seed="3"))
    meta = image.meta
    assert meta["DataRole"] == meta["GADGETRON_DataRole"] == "Image"
    assert meta["SeriesDescription"][0] == "Nilatron AI Nila"
    assert meta["ImageProcessingHistory"] == meta["GADGETRON_ImageProcessingHistory"] == ["Nilatron", "AI Nila"]
    assert meta["ImageComment"] == meta["GADGETRON_ImageComment"]
    assert {"research only", "a warning"} <= set(meta["ImageComment"])
    assert "DERIVED" in meta["ImageType"]
    assert meta["WindowWidth"] == meta["GADGETRON_WindowWidth"] == "5"
    assert meta["nilatron_seed"] == "3"
    assert meta["Keep_image_geometry"] == "1"
    assert [float(value) for value in meta["encoding_FOV"]] == [96.0, 64.0, 2.0]
    assert [float(value) for value in meta["recon_FOV"]] == [48.0, 40.0, 2.0]


def test_roles_have_names_of_their_own(source):
    fallback = reconstruction(source, role="conventional", fallback="out of memory")
    (main, conventional, spread), _ = make(reconstruction(source), fallback, reconstruction(source, role="uncertainty"))
    assert conventional.meta["ImageProcessingHistory"] == ["Nilatron", "CG-SENSE"]
    assert "fall-back: out of memory" in conventional.meta["ImageComment"]
    assert spread.meta["DataRole"] == ["Image", "Quantitative"]
    names = {image.meta["SeriesDescription"][0] for image in (main, conventional, spread)}
    assert len(names) == 3


def test_estimates_from_samples_are_series_of_their_own(source):
    roles = ("mean", "map", "sample", "std")
    said = {"uncertainty_from": "prediction", "uncertainty_calibration": "calibrated", "uncertainty_kappa": "1.6"}
    images, _ = make(*(reconstruction(source, value=0.3, role=role, samples="8", **said) for role in roles))
    assert [image.image_series_index for image in images] == [3, 4, 5, 102]
    assert [image.meta["SeriesDescription"][0] for image in images] == [
        "Nilatron AI Nila posterior mean",
        "Nilatron AI Nila posterior maximum",
        "Nilatron AI Nila posterior sample",
        "Nilatron AI Nila posterior deviation",
    ]
    assert [image.meta["ImageType"][2] for image in images] == ["IMAGE", "IMAGE", "IMAGE", "UNCERTAINTY"]
    assert [image.meta["WindowWidth"] for image in images] == ["5", "5", "5", "1"]
    assert {image.meta["nilatron_samples"] for image in images} == {"8"}
    deviation = images[-1].meta
    assert deviation["DataRole"] == ["Image", "Quantitative"]
    assert deviation["nilatron_uncertainty_from"] == "samples"
    assert deviation["nilatron_uncertainty_calibration"] == "uncalibrated"
    assert "nilatron_uncertainty_kappa" not in deviation
    assert not any("times this map" in comment for comment in deviation["ImageComment"])


def test_volume(source):
    volume = replace(source, counts=np.ones((6, 32, 24), np.float32))
    volume.encoding.reconSpace.matrixSize.z = volume.encoding.encodedSpace.matrixSize.z = 6
    (image,), _ = make(reconstruction(volume))
    assert image.data.shape == (1, 6, 20, 24)


@pytest.mark.parametrize("changes", [{"pixel_type": "float64"}, {"image_scale": 0.0}, {"image_scale": -1.0}])
def test_settings_outside_their_range(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        ImageSettings(**changes)


def test_other_items_pass():
    assert make("item")[0] == ["item"]


@pytest.mark.parametrize(("role", "width"), [("main", "5"), ("conventional", "5"), ("uncertainty", "1")])
def test_the_window_does_not_turn_noise_into_structure(source, role, width):
    (image,), _ = make(reconstruction(source, value=0.3, role=role))
    assert ismrmrd.Meta.deserialize(image.attribute_string)["WindowWidth"] == width


@pytest.mark.parametrize(("n_bright", "width"), [(2, "10"), (5, "1000")])
def test_the_window_reaches_what_one_pixel_in_two_hundred_exceeds(source, n_bright, width):
    pixels = np.full(source.counts.shape, 10, np.complex64)
    pixels[0, 16, :n_bright] = 1000j  # of 480 pixels
    (image,), _ = make(replace(reconstruction(source), image=pixels))
    assert ismrmrd.Meta.deserialize(image.attribute_string)["WindowWidth"] == width


def test_a_doubtful_image_is_marked_counted_and_a_problem(source):
    noted = source.with_note("no calibration lines")
    (image, spread), log = make(reconstruction(noted, doubt="look for ghosts"), uncertainty(source, 1.0))
    meta = image.meta
    assert meta["nilatron_doubt"] == "look for ghosts"
    assert meta["SeriesDescription"][0] == "Nilatron AI Nila DOUBTFUL"
    assert meta["GADGETRON_SeqDescription"] == "Nilatron_AI_Nila_DOUBTFUL"
    assert "doubtful: look for ghosts" in meta["ImageComment"]
    assert log.counts["doubtful images"] == 1
    (problem,) = log.problems
    assert problem.endswith(": doubtful main image: look for ghosts; no calibration lines")
    assert "DOUBTFUL" not in str(spread.meta["SeriesDescription"])


@pytest.mark.parametrize(
    ("said", "description", "comment"),
    [
        ({"uncertainty_from": "samples"}, "Nilatron posterior standard deviation", None),
        (
            {"uncertainty_from": "prediction", "uncertainty_calibration": "uncalibrated"},
            "Nilatron predicted error",
            "standard deviation of the magnitude's error, uncalibrated",
        ),
        (
            {
                "uncertainty_from": "prediction",
                "uncertainty_calibration": "calibrated",
                "uncertainty_kappa": "1.61",
                "uncertainty_coverage": "0.9",
                "uncertainty_subjects": "11",
            },
            "Nilatron predicted error",
            "magnitude within 1.61 times this map for 90% of the object's pixels, calibrated on 11 subjects",
        ),
    ],
)
def test_an_uncertainty_map_says_what_it_is_and_promises(source, said, description, comment):
    (spread, image), _ = make(reconstruction(source, role="uncertainty", **said), reconstruction(source, **said))
    assert spread.meta["SeriesDescription"][0] == description
    comments = spread.meta["ImageComment"]
    assert comment is None or comment in comments
    assert not any("magnitude" in one for one in image.meta["ImageComment"])


def test_what_is_quoted_in_the_metadata_is_escaped(source):
    hostile, context = "coil \x1b[31m\n\u202e<a>", Context(None)
    pixels, provenance = np.ones((1, 32, 24), np.complex64), {"target": "nila", "doubt": hostile}
    item = Reconstruction(pixels, "main", replace(source, notes=(hostile,)), provenance)
    image = ImageMaker(ImageSettings()).make(item, context)
    read = ismrmrd.Meta.deserialize(image.attribute_string)
    assert read["nilatron_doubt"] == r"coil \x1b[31m\n\u202e<a>"
    assert read["ImageComment"][-1] == r"coil \x1b[31m\n\u202e<a>"
