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


def read_lines(path):
    return [item for item in read(path) if isinstance(item, ismrmrd.Acquisition)]


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
        if table.name.endswith("/data") and not options:  # not the heads
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


def test_heads_of_all_lines_without_their_samples(raw_path):
    lines = read_lines(raw_path)
    with open_raw(raw_path) as raw:
        heads = raw.heads()
        assert heads is raw.heads()
    assert heads.dtype == ismrmrd.hdf5.acquisition_header_dtype
    assert heads.tobytes() == b"".join(bytes(line.getHead()) for line in lines)


def test_heads_are_those_of_the_lines_in_any_layout(raw_path, rewrite, fields):
    wide = fields(ismrmrd.hdf5.acquisition_header_dtype, physiology_time_stamp=("u4", 8), number_of_samples=">i4")
    rewrite(raw_path, head=wide, chunks=(3,), compression="gzip")
    lines = read_lines(raw_path)
    with open_raw(raw_path) as raw:
        assert raw.heads().tobytes() == b"".join(bytes(line.getHead()) for line in lines)


LAYOUTS = {
    "8 physiology time stamps": ({"physiology_time_stamp": ("u4", 8)}, "physiology_time_stamp has 8 values, not 3"),
    "no user_float": ({"user_float": None}, "no user_float"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_heads_of_another_layout_are_told_and_give_the_same_lines(raw_path, rewrite, fields, caplog, layout):
    changes, note = LAYOUTS[layout]
    expected = read(raw_path)
    rewrite(raw_path, head=fields(ismrmrd.hdf5.acquisition_header_dtype, **changes))
    with caplog.at_level(logging.WARNING):
        found = read(raw_path)
    assert f"heads other than ISMRMRD's: {note}" in caplog.text
    assert all(np.array_equal(a.data, b.data) for a, b in zip(found, expected, strict=True))


def test_heads_that_lack_what_is_needed_name_the_file(raw_path, rewrite, fields):
    rewrite(raw_path, head=fields(ismrmrd.hdf5.acquisition_header_dtype, flags=None))
    with pytest.raises(InputError, match=rf"^{re.escape(str(raw_path))}: the heads lack flags$"):
        open_raw(raw_path)


def test_a_value_of_a_head_that_does_not_fit_names_file_and_line(raw_path, rewrite, fields):
    rewrite(raw_path, head=fields(ismrmrd.hdf5.acquisition_header_dtype, center_sample="i4"))

    def spoil(row):
        row["head"]["center_sample"] = -1

    edit_line(raw_path, 9, spoil)
    message = rf"{re.escape(str(raw_path))}: line 9: center_sample is -1, expected a whole number from 0 to 65535"
    with pytest.raises(InputError, match=message):
        read(raw_path)
    with open_raw(raw_path) as raw, pytest.raises(InputError, match=message):
        raw.heads()


def test_the_encoding_of_a_line_may_only_be_left_out_where_there_is_one(raw_path, rewrite, fields):
    rewrite(raw_path, head=fields(ismrmrd.hdf5.acquisition_header_dtype, encoding_space_ref=None))
    assert len(read(raw_path)) == 17
    encoding = re.compile(rb"<encoding>.*?</encoding>", re.S)
    edit_header(raw_path, lambda xml: encoding.sub(lambda found: 2 * found[0], xml, count=1))
    with pytest.raises(InputError, match="the heads lack encoding_space_ref"):
        open_raw(raw_path)


def test_a_table_of_one_column(raw_path, rewrite):
    expected = read(raw_path)
    rewrite(raw_path, shape=(14, 1))
    assert [bytes(item.getHead()) for item in read(raw_path)] == [bytes(item.getHead()) for item in expected]
    with open_raw(raw_path) as raw:
        assert raw.n_acquisitions == len(raw.heads()) == 14
    rewrite(raw_path, shape=(2, 7))
    with pytest.raises(InputError, match=r"dataset/data has the shape \(2, 7\), so it is not a table"):
        open_raw(raw_path)


def test_trajectories_of_odd_lengths_are_left_out_and_told_once(raw_path, rewrite, caplog):
    expected = read_lines(raw_path)
    rewrite(raw_path, trajectory=lambda n: np.ones(2 * n + 1, np.float32))
    with caplog.at_level(logging.WARNING):
        found = read_lines(raw_path)
    assert caplog.text.count("trajectories are ignored") == 1
    assert "line 0 has 65 trajectory values for 32 samples, its header announces 0 for each" in caplog.text
    assert {item.trajectory_dimensions for item in found} == {0}
    assert all(np.array_equal(a.data, b.data) for a, b in zip(found, expected, strict=True))


def test_trajectories_whose_dimensions_are_not_announced(raw_path, rewrite):
    rewrite(raw_path, trajectory=lambda n: np.arange(2 * n, dtype=np.float32))
    found = read_lines(raw_path)
    assert all(np.array_equal(item.traj, np.arange(64).reshape(32, 2)) for item in found)


def store_header(path, value, **options):
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0]
        del file["dataset/xml"]
        file["dataset"].create_dataset("xml", data=value(xml), **options)


STORED = {
    "text": lambda xml: xml.decode(),
    "text in an array": lambda xml: np.array([xml.decode()], dtype=h5py.string_dtype()),
    "bytes": np.bytes_,
    "bytes in an array": lambda xml: np.array([xml]),
    "more NULs than a text needs": lambda xml: np.array([xml], f"S{len(xml) + 100}"),
    "characters": lambda xml: np.frombuffer(xml, "S1"),
    "numbers": lambda xml: np.frombuffer(xml + b"\0", np.uint8),
    "16-bit numbers": lambda xml: np.array([*xml, 0], np.uint16),
    "UTF-8 with a mark": lambda xml: b"\xef\xbb\xbf" + xml,
    "UTF-16": lambda xml: np.void(xml.decode().replace("ascii", "UTF-16").encode("utf-16")),
}


@pytest.mark.parametrize("kind", STORED)
def test_headers_stored_in_any_way(raw_path, kind):
    with open_raw(raw_path) as raw:
        expected = raw.header
    store_header(raw_path, STORED[kind])
    with open_raw(raw_path) as raw:
        assert raw.header == expected


@pytest.mark.parametrize("value", [h5py.Empty("S1"), np.zeros(0, "S1"), np.zeros(0, np.uint8), b"", np.float64(3)])
def test_headers_that_are_none(raw_path, value):
    store_header(raw_path, lambda _: value)
    with pytest.raises(InputError, match=r"the ISMRMRD header is (empty|not XML)"):
        open_raw(raw_path)


def test_groups_tables_and_attributes_of_others_are_ignored(raw_path):
    expected = read(raw_path)
    with h5py.File(raw_path, "r+") as file:
        file.create_group("dataset/pulseq/extra")["data"] = np.zeros(3)
        file["dataset/notes"], file["version"] = "hello", 7
        file.attrs["writer"] = file["dataset"].attrs["writer"] = file["dataset/data"].attrs["writer"] = "somebody"
    found = read(raw_path)
    assert [bytes(item.getHead()) for item in found] == [bytes(item.getHead()) for item in expected]


@pytest.mark.parametrize("is_table", [True, False])
def test_waveforms_that_cannot_be_read_cost_no_line(raw_path, is_table, caplog):
    with h5py.File(raw_path, "r+") as file:
        rows = file["dataset/waveforms"][:]
        rows["head"]["number_of_samples"] = 999
        del file["dataset/waveforms"]
        file["dataset"].create_dataset("waveforms", data=rows if is_table else np.zeros(3))
    with caplog.at_level(logging.WARNING):
        assert [type(item).__name__ for item in read(raw_path)] == 14 * ["Acquisition"]
    assert "waveforms are left out: " in caplog.text


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


def test_lines_before_a_bad_one_are_handed_out(raw_path):
    def spoil(row):
        row["data"] = row["data"][:-2]

    edit_line(raw_path, 9, spoil)
    seen = []
    with open_raw(raw_path) as raw, contextlib.suppress(InputError):
        seen.extend(raw.items())
    assert sum(isinstance(item, ismrmrd.Acquisition) for item in seen) == 9


def test_what_a_line_holds_is_for_those_to_judge_who_use_it(raw_path):
    def spoil(row):
        row["head"]["active_channels"] = 1
        row["data"] = np.full(64, np.nan, np.float32)

    edit_line(raw_path, 7, spoil)
    line = read_lines(raw_path)[7]
    assert line.data.shape == (1, 32)
    assert np.isnan(line.data).all()


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


def test_a_line_shorter_than_announced_that_no_image_needs_is_left_out(raw_path, caplog):
    def spoil(row):
        row["data"] = row["data"][:-2]
        row["head"]["flags"] = 1 << (ismrmrd.ACQ_IS_NAVIGATION_DATA - 1)

    n_lines = len(read_lines(raw_path))
    edit_line(raw_path, 3, spoil)
    assert len(read_lines(raw_path)) == n_lines - 1
    assert re.search("line 3 has 63 complex samples.*no image needs the line: left out", caplog.text)


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


def lengthened(path, place, n_bytes):
    """The file with a length of 3 GB written at a place."""
    content = bytearray(path.read_bytes())
    content[place : place + n_bytes] = (3 << 30).to_bytes(n_bytes, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["xml", "data"])
def test_a_length_beyond_the_file_is_refused_before_memory_is_taken(raw_path, part):
    with h5py.File(raw_path) as file:
        found = file["dataset"][part]
        if found.chunks is None:
            place = found.id.get_offset()
        else:
            rows = found.id.get_type()
            inside = rows.get_member_offset(rows.get_member_index(b"data")) if part == "data" else 0
            place = found.id.get_chunk_info(0).byte_offset + inside
    lengthened(raw_path, place, 4)
    with pytest.raises(InputError, match=r"fields claim 3221\d{6} bytes|fields claim 1288\d{7} bytes"):
        read(raw_path)
