import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.nila.remembered import geometry_of
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.earlier import earlier_images
from nilatron.pipelines.files.images import ImageFile


def image(number, value=2.0, *, dtype=np.float32, series=1, doubt=False, n_partitions=1):
    made = ismrmrd.Image.from_array(np.full((n_partitions, 6, 4), value, dtype))
    made.slice, made.contrast, made.image_series_index = number, 1, series
    made.read_dir[:], made.phase_dir[:], made.slice_dir[:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    made.position[:] = (0, 0, 3.0 * number)
    meta = ismrmrd.Meta({"nilatron_doubt": "aliased"} if doubt else {})
    made.attribute_string = meta.serialize()
    return made


def written(path, *images, group="2026"):
    with ImageFile(path, group) as file:
        for one in images:
            file.write(one)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.complex64])
def test_images_have_geometry_position_and_scale(tmp_path, dtype):
    found = earlier_images(written(tmp_path / "a.h5", image(4, dtype=dtype), image(5, dtype=dtype)))
    assert [one.image.number for one in found] == [4, 5]
    assert [one.image.position_mm for one in found] == [12.0, 15.0]
    assert found[0].geometry == geometry_of(image(4), (1, 6, 4))
    assert found[0].contrast == 1
    assert found[0].image.scale == pytest.approx(2)
    assert found[0].image.magnitude.shape == (6, 4)


def test_the_latest_run_counts(tmp_path):
    path = written(tmp_path / "a.h5", image(1), group="2026-01-01")
    written(path, image(2), group="2026-01-02")
    assert [one.image.number for one in earlier_images(path)] == [2]


def test_doubtful_images_volumes_and_other_series_are_left_out(tmp_path):
    images = (image(1, doubt=True), image(2, n_partitions=2), image(3, series=2), image(4))
    assert [one.image.number for one in earlier_images(written(tmp_path / "a.h5", *images))] == [4]


def test_a_file_without_images_of_ours_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dataset/data"] = 1
    with pytest.raises(InputError, match="expected images that nilatron has written"):
        earlier_images(tmp_path / "a.h5")


def test_a_file_of_which_nothing_can_be_used_is_refused(tmp_path):
    with pytest.raises(InputError, match="found volumes, doubtful images or none"):
        earlier_images(written(tmp_path / "a.h5", image(1, doubt=True)))


def test_a_damaged_run_is_one_line(tmp_path):
    path = written(tmp_path / "a.h5", image(1))
    with h5py.File(path, "a") as file:
        del file["2026/image_1/header"]
    with pytest.raises(InputError, match="cannot be read"):
        earlier_images(path)
