import ismrmrd
import numpy as np
import pytest

DOUBT = {"nilatron_doubt": "ghosts", "SeriesDescription": ["Nilatron AI Nila DOUBTFUL", "research"]}
FALL_BACK = {"nilatron_fallback": "no time", "SeriesDescription": ["Nilatron CG-SENSE", "research"]}


def slices(image, order, **how):
    return [image(at_mm=4.0 * i, slice=i, pixels=np.full((1, 20, 30), 1.0 + i, np.float32), **how) for i in order]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
@pytest.mark.parametrize("step", [1, -1])
def test_instance_numbers_follow_the_place_not_the_arrival_nor_the_counter(image, datasets, order, step):
    """Scanners count interleaved slices in either way; what lies beside each other has neighbouring numbers."""
    images = slices(image, order)
    for each in images:
        each.slice = (2 * each.slice + 1) % 5 if step == 1 else 3 - each.slice
    stack = datasets(*images)
    assert [data.InstanceNumber for data in stack] == [1, 2, 3, 4]
    values = [data.pixel_array[0, 0] * float(data.RescaleSlope) for data in stack]
    assert values == pytest.approx([1, 2, 3, 4], abs=1e-3)
    locations = [float(data.SliceLocation) for data in stack]
    assert np.diff(locations) == pytest.approx(4)
    assert {float(data.SpacingBetweenSlices) for data in stack} == {4.0}
    normal = np.cross(*np.array(stack[0].ImageOrientationPatient, float).reshape(2, 3))
    for data in stack:
        assert float(data.SliceLocation) == pytest.approx(normal @ np.array(data.ImagePositionPatient, float), abs=1e-3)


def test_times_and_echoes_come_one_after_the_other(image, datasets):
    images = [
        image(at_mm=4.0 * i, slice=i, repetition=r, contrast=c, image_index=1)
        for i in (1, 0)
        for r in (1, 0)
        for c in (1, 0)
    ]
    found = [(d.TemporalPositionIdentifier, d.EchoNumbers, float(d.SliceLocation)) for d in datasets(*images)]
    assert found == sorted(found)
    assert len(set(found)) == 8


def test_slices_of_three_directions_are_three_stacks(image, datasets):
    images = slices(image, (1, 0))
    for i in (3, 2):
        other = image(at_mm=7.0 * i, slice=i)
        other.read_dir[:], other.phase_dir[:], other.slice_dir[:] = (
            other.phase_dir[:],
            other.slice_dir[:],
            other.read_dir[:],
        )
        other.position[:] = tuple(7.0 * i * np.array(other.slice_dir[:]))
        images.append(other)
    stack = datasets(*images)
    assert len({data.SeriesInstanceUID for data in stack}) == 1
    assert [tuple(data.ImageOrientationPatient) for data in stack[:2]] != [
        tuple(d.ImageOrientationPatient) for d in stack[2:]
    ]
    assert [float(data.SpacingBetweenSlices) for data in stack] == pytest.approx([4, 4, 7, 7])


def test_uneven_slices_and_single_ones_have_no_spacing(image, datasets):
    assert all("SpacingBetweenSlices" not in data for data in datasets(*slices(image, (0, 1, 3))))
    assert all("SpacingBetweenSlices" not in data for data in datasets(*slices(image, (0,))))


def test_one_slope_and_one_window_in_a_series_and_others_in_another(image, datasets):
    weak = slices(image, (0, 1), series=101)
    for each in weak:
        each.data[:] *= 0.01
    found = datasets(*slices(image, (2, 0, 1)), *weak)
    for series in (found[:3], found[3:5]):
        assert len({(d.RescaleSlope, d.WindowCenter, d.WindowWidth) for d in series}) == 1
        assert max(d.pixel_array.max() for d in series) > 32767 / 2.5
    assert found[0].RescaleSlope != found[3].RescaleSlope


def test_a_doubtful_image_marks_its_series_and_does_not_part_it(image, datasets):
    """One name and one identifier: which of the images it is tells the comment."""
    images = slices(image, (0, 2)) + slices(image, (1,), meta=DOUBT | {"ImageComment": ["doubtful: ghosts"]})
    stack = datasets(*images)
    assert {data.SeriesDescription for data in stack} == {"Nilatron AI Nila DOUBTFUL research"}
    assert len({data.SeriesInstanceUID for data in stack}) == 1
    assert ["ghosts" in data.ImageComments for data in stack] == [False, True, False]
    assert {data.SeriesDescription for data in datasets(*slices(image, (0, 1, 2)))} == {"Nilatron AI Nila research"}


def test_a_fall_back_is_a_series_of_its_own(image, datasets):
    stack = datasets(*slices(image, (1,), meta=FALL_BACK), *slices(image, (0, 2)), *slices(image, (0, 1, 2), series=2))
    found = {data.SeriesNumber: (data.SeriesDescription, data.SeriesInstanceUID) for data in stack}
    assert {number: name for number, (name, _) in found.items()} == {
        1: "Nilatron AI Nila research",
        2: "Nilatron AI Nila research",
        201: "Nilatron CG-SENSE research",
    }
    assert len({series_uid for _, series_uid in found.values()}) == 3


def test_no_series_has_two_names_and_no_name_of_a_series_two_sizes(image, datasets):
    small = image(shape=(1, 10, 15))
    phase = image()
    phase.image_type = ismrmrd.IMTYPE_PHASE
    stack = datasets(image(), small, phase, image(meta=FALL_BACK), image(meta=DOUBT))
    assert len({data.SeriesInstanceUID for data in stack}) == len({data.SeriesNumber for data in stack}) == 4
    for series_uid in {data.SeriesInstanceUID for data in stack}:
        same = [data for data in stack if data.SeriesInstanceUID == series_uid]
        assert len({(data.SeriesDescription, data.Rows, data.ImageType[2], data.SeriesNumber) for data in same}) == 1


def test_the_offset_is_added_to_all_numbers(image, datasets):
    stack = datasets(image(), image(series=101), series_offset=500)
    assert [data.SeriesNumber for data in stack] == [501, 601, 651]
