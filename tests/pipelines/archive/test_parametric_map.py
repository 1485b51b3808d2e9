import numpy as np
import pytest

pytestmark = pytest.mark.slow  # the first of them imports highdicom

PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


@pytest.fixture
def maps(datasets, image):
    """Pixels by slice, the MR images of uncertainty, and the maps."""

    def make(order=(1, 2, 0), times=(0,), **how):
        rng = np.random.default_rng(0)
        pixels = {(t, i): np.abs(rng.normal(size=(1, 20, 30))).astype(np.float32) for t in times for i in order}
        images = [
            image(series=101, slice=i, at_mm=6.0 * i, pixels=values, repetition=t) for (t, i), values in pixels.items()
        ]
        found = datasets(image(), *images, **how)
        is_map = [data.SOPClassUID == PARAMETRIC_MAP for data in found]
        return (
            pixels,
            [d for d, yes in zip(found, is_map, strict=True) if not yes and d.SeriesNumber > 100],
            [d for d, yes in zip(found, is_map, strict=True) if yes],
        )

    return make


def test_standard_deviations_are_there_bit_by_bit_where_the_images_lie(maps):
    pixels, images, (data,) = maps()
    values = np.frombuffer(data.FloatPixelData, "<f4").reshape(3, 20, 30)
    places = [tuple(f.PlanePositionSequence[0].ImagePositionPatient) for f in data.PerFrameFunctionalGroupsSequence]
    assert sorted(places) == sorted(tuple(image.ImagePositionPatient) for image in images)
    for i, image in enumerate(images):
        np.testing.assert_array_equal(values[places.index(tuple(image.ImagePositionPatient))], pixels[0, i][0])
    shared = data.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].PixelSpacing == images[0].PixelSpacing
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == images[0].ImageOrientationPatient
    assert data.FrameOfReferenceUID == images[0].FrameOfReferenceUID
    sources = {item.ReferencedSOPInstanceUID for item in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert sources == {image.SOPInstanceUID for image in images}


def test_a_map_says_what_it_is(maps):
    _, images, (data,) = maps()
    (mapping,) = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.LUTExplanation == "Standard deviation of the error, SNR units"
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert (data.Modality, data.ContentQualification) == ("MR", "RESEARCH")
    assert data.ContributingEquipmentSequence[-1].AlgorithmName == "Nilatron AI Nila"
    assert (data.PatientID, data.StudyInstanceUID) == (images[0].PatientID, images[0].StudyInstanceUID)
    assert (data.SeriesNumber, data.SeriesInstanceUID == images[0].SeriesInstanceUID) == (151, False)
    assert (data.ContentDate, data.ContentTime) == ("20250305", "080910")


def test_each_time_has_its_map_and_all_are_one_series(maps):
    _, _, found = maps(times=(1, 0))
    assert [data.InstanceNumber for data in found] == [1, 2]
    assert len({data.SeriesInstanceUID for data in found}) == 1
    assert len({data.SOPInstanceUID for data in found}) == 2


def test_a_single_slice_has_a_map(maps):
    pixels, _, (data,) = maps(order=(0,))
    np.testing.assert_array_equal(np.frombuffer(data.FloatPixelData, "<f4").reshape(1, 20, 30), pixels[0, 0])


def test_without_dates_the_map_has_those_that_stand_for_none(maps, bare_header):
    _, _, (data,) = maps(header=bare_header)
    assert (data.ContentDate, data.ContentTime) == ("19000101", "000000")


@pytest.mark.parametrize("values", [0.0, np.nan])
def test_an_empty_map_and_one_that_is_not_finite_are_zero(datasets, image, values):
    *_, data = datasets(image(series=101, pixels=np.full((1, 20, 30), values, np.float32)))
    assert data.SOPClassUID == PARAMETRIC_MAP
    assert not np.frombuffer(data.FloatPixelData, "<f4").any()


def test_a_map_that_cannot_be_made_costs_no_image_and_is_told(write, image):
    """Here two images say the same place and time."""
    folder, scan = write(image(), *(image(series=101, image_index=n) for n in (1, 2)))
    assert [path.name for path in folder.files] == [f"series{n}.dcm" for n in ("001_0001", "101_0001", "101_0002")]
    (problem,) = scan.problems
    assert "no Parametric Map of 'Nilatron posterior standard deviation research': " in problem
