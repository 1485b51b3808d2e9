import contextlib
import logging
import re
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.files import table as table_file
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.raw import open_raw

SHARED = Path(__file__).resolve().parents[3] / "../shared"


def edit_line(path, number, change):
    with h5py.File(path, "r+") as file:
        row = file["dataset/data"][number : number + 1]
        change(row[0])
        file["dataset/data"][number : number + 1] = row


def edit_header(path, change):
    with h5py.File(path, "r+") as file:
        file["dataset/xml"][0] = change(file["dataset/xml"][0])


def read(path, group="dataset"):
    with open_raw(path, group) as raw:
        return list(raw.items())


def test_items_come_in_time_order_with_waveforms_in_between(raw_path):
    items = read(raw_path)
    stamps = [i.time_stamp if isinstance(i, ismrmrd.Waveform) else i.acquisition_time_stamp for i in items]
    assert stamps == sorted(stamps)
    kinds = "".join("w" if isinstance(item, ismrmrd.Waveform) else "a" for item in items)
    assert kinds == "aa" + 3 * "waaaa"


def test_waveforms_after_the_last_line_are_not_lost(raw_path):
    with h5py.File(raw_path, "r+") as file:
        rows = file["dataset/waveforms"][:]
        rows["head"]["time_stamp"] = 10**6
        file["dataset/waveforms"][:] = rows
    assert [type(item).__name__ for item in read(raw_path)[-3:]] == 3 * ["Waveform"]


def test_header_bytes_and_counts(raw_path):
    with open_raw(raw_path) as raw:
        assert raw.n_acquisitions == 14
        assert parse_header(raw.header_bytes) == raw.header
        assert raw.header.encoding[0].encodedSpace.matrixSize.x == 32


def test_lines_are_read_in_blocks_of_bounded_size(raw_path, monkeypatch):
    line_bytes = 8 * 2 * 32
    monkeypatch.setattr(table_file, "BLOCK_BYTES", 4 * line_bytes)
    largest = []
    stock = h5py.Dataset.__getitem__

    def spy(table, key, **options):
        rows = stock(table, key, **options)
        if table.name.endswith("/data"):
            largest.append(len(rows))
        return rows

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    assert len(read(raw_path)) == 17
    assert sum(largest) == 14
    assert max(largest) == 4


def test_lines_of_writers_with_another_field_layout(raw_path, tmp_path):
    expected = read(raw_path)
    padded = np.dtype(ismrmrd.hdf5.acquisition_header_dtype.descr, align=True)
    assert padded != ismrmrd.hdf5.acquisition_header_dtype
    kind = np.dtype([("head", padded), *((n, ismrmrd.hdf5.acquisition_dtype[n]) for n in ("traj", "data"))])
    with h5py.File(raw_path) as old, h5py.File(tmp_path / "new.h5", "w") as new:
        old.copy("dataset/xml", new.create_group("dataset"))
        rows = old["dataset/data"][:]
        changed = np.zeros(len(rows), kind)
        for name in padded.names:
            changed["head"][name] = rows["head"][name]
        changed["traj"], changed["data"] = rows["traj"], rows["data"]
        new["dataset"].create_dataset("data", data=changed)
    found = read(tmp_path / "new.h5")
    lines = [item for item in expected if isinstance(item, ismrmrd.Acquisition)]
    assert [bytes(a.getHead()) for a in found] == [bytes(a.getHead()) for a in lines]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(found, lines, strict=True))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"absent\.h5: no such file"):
        open_raw(tmp_path / "absent.h5")
    with pytest.raises(InputError, match="is not a file"):
        open_raw(tmp_path)


@pytest.mark.parametrize("content", [b"", b"GIF89a, or whatever this may be" * 100])
def test_not_hdf5(tmp_path, content):
    path = tmp_path / "raw.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not an HDF5 file"):
        open_raw(path)


def test_missing_group_lists_those_that_exist(raw_path):
    with h5py.File(raw_path, "r+") as file:
        file.create_group("other")
    with pytest.raises(InputError, match=r"no group 'scan'.*groups that exist: dataset, other.*-g"):
        open_raw(raw_path, "scan")


@pytest.mark.parametrize("part", ["xml", "data"])
def test_group_without_raw_data(raw_path, part):
    with h5py.File(raw_path, "r+") as file:
        del file["dataset"][part]
    with pytest.raises(InputError, match=rf"holds no '{part}'.*not ISMRMRD raw data"):
        open_raw(raw_path)


def test_data_that_are_no_lines(raw_path):
    with h5py.File(raw_path, "r+") as file:
        del file["dataset/data"]
        file["dataset/data"] = np.zeros((4, 4))
    with pytest.raises(InputError, match=r"no data and head.*not a table of ISMRMRD lines"):
        open_raw(raw_path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_sample_that_is_not_finite_names_its_line(raw_path, value):
    def spoil(row):
        row["data"][5] = value

    edit_line(raw_path, 9, spoil)
    with open_raw(raw_path) as raw:
        items = raw.items()
        with pytest.raises(InputError, match=r"line 9 has 1 values that are not finite"):
            list(items)


def test_lines_before_a_bad_one_are_handed_out(raw_path):
    def spoil(row):
        row["data"][5] = np.nan

    edit_line(raw_path, 9, spoil)
    seen = []
    with open_raw(raw_path) as raw, contextlib.suppress(InputError):
        seen.extend(raw.items())
    assert sum(isinstance(item, ismrmrd.Acquisition) for item in seen) == 9


def test_line_with_another_number_of_channels(raw_path):
    def spoil(row):
        row["head"]["active_channels"] = 1
        row["data"] = row["data"][:64]

    edit_line(raw_path, 7, spoil)
    with pytest.raises(InputError, match="line 7 has 1 channels, the first line has 2"):
        read(raw_path)


def test_channels_other_than_the_header_has_are_reported(raw_path, caplog):
    edit_header(raw_path, lambda xml: xml.replace(b"receiverChannels>2<", b"receiverChannels>5<"))
    with caplog.at_level(logging.WARNING):
        assert len(read(raw_path)) == 17
    assert "5 receiver channels, the lines have 2" in caplog.text


def test_line_shorter_than_announced(raw_path):
    def spoil(row):
        row["data"] = row["data"][:-2]

    edit_line(raw_path, 3, spoil)
    with pytest.raises(InputError, match="line 3 has 63 complex samples, its header announces 2 channels of 32"):
        read(raw_path)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
def test_truncated_file(raw_path, share):
    content = raw_path.read_bytes()
    raw_path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"truncated|damaged|cannot be read"):
        read(raw_path)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "n_lines"),
    [("data/raw/brain_8ch_R4.h5", 91), ("data/kspace/grappa2_1rep.h5", 143), ("wire/small.h5", 65)],
)
def test_files_of_others(name, n_lines):
    if not (SHARED / name).exists():
        pytest.skip(f"the shared development data are not beside the checkout: {name}")
    with open_raw(SHARED / name) as raw:
        items = list(raw.items())
        assert len(items) == raw.n_acquisitions == n_lines
        assert all(item.data.shape[0] == raw.header.acquisitionSystemInformation.receiverChannels for item in items)


def test_error_in_the_header_names_the_file(raw_path):
    edit_header(raw_path, lambda xml: xml.replace(b">cartesian<", b">radial<"))
    with pytest.raises(InputError, match=f"{re.escape(str(raw_path))}: .*radial trajectory; only Cartesian"):
        open_raw(raw_path)
