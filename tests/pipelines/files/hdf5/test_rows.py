import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.hdf5.rows import has_variable_values, row_of

TEXT, LIST = h5py.string_dtype(), h5py.vlen_dtype(np.int16)
KINDS = {
    "numbers": (np.dtype([("a", "u2"), ("b", "f8", (3,))]), []),
    "a text": (np.dtype(TEXT), [(0, 1)]),
    "lists": (np.dtype(LIST), [(0, 2)]),
    "fields": (np.dtype([("a", "u2"), ("t", TEXT), ("b", "u1"), ("l", LIST)]), [(2, 1), (19, 2)]),
    "inner": (np.dtype([("t", TEXT), ("in", [("n", "u4"), ("l", LIST), ("t", TEXT)])]), [(0, 1), (20, 2), (36, 1)]),
}


@pytest.mark.parametrize("name", KINDS)
def test_rows_are_as_long_as_they_lie_in_the_file(tmp_path, name):
    kind, values = KINDS[name]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        table = file.create_dataset("a", (10,), kind, dcpl=plist)
        layout = row_of(table.id)
        assert 10 * layout.n_bytes == table.id.get_storage_size()
        assert [(one.offset, one.element_bytes) for one in layout.values] == values
        assert has_variable_values(table.id.get_type()) is bool(values)
