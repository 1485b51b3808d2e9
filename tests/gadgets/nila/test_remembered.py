import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.nila.remembered import geometry_of, position_mm


def head(make=ismrmrd.AcquisitionHeader, normal=(0.0, 0.6, 0.8), position=(1.0, 2.0, 3.0)):
    made = make()
    made.read_dir[:], made.phase_dir[:], made.slice_dir[:] = (1, 0, 0), (0, 0.8, -0.6), normal
    made.position[:] = position
    return made


def test_lines_images_and_records_of_one_slice_have_one_geometry():
    image = head(ismrmrd.ImageHeader)
    record = np.frombuffer(bytes(image), ismrmrd.hdf5.image_header_dtype)[0]
    found = {geometry_of(one, (1, 4, 5)) for one in (head(), image, record)}
    assert len(found) == 1
    assert position_mm(record) == pytest.approx(position_mm(head())) == pytest.approx(3.6)


def test_slices_of_a_stack_share_their_geometry_and_differ_in_position():
    first, second = head(), head(position=(1.0, 2.0 + 0.6 * 3, 3.0 + 0.8 * 3))
    assert geometry_of(first, (1, 4, 5)) == geometry_of(second, (1, 4, 5))
    assert position_mm(second) - position_mm(first) == pytest.approx(3.0)


def test_a_slice_beside_the_stack_has_another():
    assert geometry_of(head(), (1, 4, 5)) != geometry_of(head(position=(6.0, 2.0, 3.0)), (1, 4, 5))
