import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.table import blocks, field_of_all_rows

HEAD = np.dtype([("number", "<u2"), ("position", "<f4", (3,)), ("idx", [("slice", ">u4"), ("user", "<u2", (2,))])])


def make_table(path, n_rows=11, sample="<f4", head=HEAD, **options):
    """A file with a table of heads and variable-length samples, row i with i + 1 of them."""
    rows = np.zeros(n_rows, [("head", head), ("data", h5py.vlen_dtype(np.dtype(sample)))])
    rows["head"]["number"], rows["head"]["idx"]["slice"] = np.arange(n_rows), np.arange(n_rows) * 7
    for i in range(n_rows):
        rows["data"][i] = np.arange(i + 1).astype(np.dtype(sample).newbyteorder("="))
    with h5py.File(path, "w") as file:
        if options.pop("in_rows", False):
            table = file.create_dataset("data", (n_rows,), rows.dtype, **options)
            for i in range(n_rows):
                table[i] = rows[i]
        else:
            file.create_dataset("data", data=rows, **options)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (1,), "maxshape": (None,)},
        {"chunks": (4,)},
        {"chunks": (11,)},
        {"chunks": (64,), "maxshape": (None,)},
        {"chunks": (1,), "in_rows": True},
        {"chunks": (3,), "compression": "gzip"},
        {"chunks": (2,), "shuffle": True},
    ],
)
def test_one_field_of_all_rows(tmp_path, options):
    with h5py.File(make_table(tmp_path / "t.h5", **options)) as file:
        expected = file["data"][:]["head"]
        found = field_of_all_rows(file["data"], "head", "t.h5")
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()
    assert found["number"].tolist() == list(range(11))


def test_rows_that_were_never_written_are_zero(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w") as file:
        table = file.create_dataset("data", (9,), [("head", HEAD)], chunks=(1,))
        table[4] = np.ones(1, table.dtype)[0]
    with h5py.File(tmp_path / "t.h5") as file:
        found = field_of_all_rows(file["data"], "head", "t.h5")
    assert found["number"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


def test_no_rows_and_a_user_block(tmp_path):
    with h5py.File(tmp_path / "t.h5", "w", userblock_size=1024) as file:
        file.create_dataset("none", (0,), [("head", HEAD)], chunks=(1,), maxshape=(None,))
        file.create_dataset("some", data=np.ones(5, [("head", HEAD)]), chunks=(2,))
    with h5py.File(tmp_path / "t.h5") as file:
        assert field_of_all_rows(file["none"], "head", "t.h5").shape == (0,)
        assert field_of_all_rows(file["some"], "head", "t.h5")["number"].tolist() == [1] * 5


@pytest.mark.parametrize("sample", ["<f4", ">f4", ">f8", ">i2", ">c8"])
def test_samples_of_any_byte_order_mean_the_same(tmp_path, sample):
    with h5py.File(make_table(tmp_path / "t.h5", sample=sample)) as file:
        rows = [row for _, block in blocks(file["data"], "t.h5") for row in block["data"]]
    assert all(np.array_equal(row, np.arange(i + 1)) for i, row in enumerate(rows))


def test_compounds_of_any_byte_order_mean_the_same(tmp_path):
    kind = np.dtype([("real", ">f4"), ("imag", "<i2")])
    with h5py.File(tmp_path / "t.h5", "w") as file:
        rows = np.zeros(1, [("head", HEAD), ("data", h5py.vlen_dtype(kind))])
        rows["data"][0] = np.array([(1.5, 2), (3, 4)], kind)
        file.create_dataset("data", data=rows)
    with h5py.File(tmp_path / "t.h5") as file:
        ((_, block),) = blocks(file["data"], "t.h5")
    assert block["data"][0].tolist() == [(1.5, 2), (3, 4)]


@pytest.mark.parametrize("shape", [(11,), (11, 1)])
def test_blocks_cover_all_rows_once(tmp_path, monkeypatch, shape):
    make_table(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        rows = file["data"][:].reshape(shape)
        del file["data"]
        file.create_dataset("data", data=rows)
    monkeypatch.setattr("nilatron.pipelines.files.table.BLOCK_LINES", 4)
    with h5py.File(tmp_path / "t.h5") as file:
        found = [(start, len(block)) for start, block in blocks(file["data"], "t.h5")]
    assert found == [(0, 1), (1, 4), (5, 4), (9, 2)]


def test_a_table_that_cannot_be_read(tmp_path):
    make_table(tmp_path / "t.h5", chunks=(1,))
    content = bytearray((tmp_path / "t.h5").read_bytes())
    while (at := content.find(b"GCOL")) >= 0:  # the heaps where samples lie
        content[at : at + 4] = b"XXXX"
    (tmp_path / "t.h5").write_bytes(bytes(content))
    with h5py.File(tmp_path / "t.h5") as file:
        with pytest.raises(InputError, match=r"t\.h5: rows 0 to 0 of 11 of 'data' cannot be read, .*damaged"):
            list(blocks(file["data"], "t.h5"))
        with pytest.raises(InputError, match=r"t\.h5: 'head' cannot be read, .*damaged"):
            field_of_all_rows(file["data"], "head", "t.h5")
